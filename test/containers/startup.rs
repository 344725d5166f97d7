//! Tests the start of a node: alone, late, out of order, without a view, with mistakes, without rights.

use crate::cluster::Cluster;
use crate::docker::run_to_end;
use crate::patience::{HEALED, PROMPT, eventually, let_pass};
use crate::plan::Plan;
use crate::support::request::Request;

#[test]
fn a_single_node_is_a_cluster() {
    let cluster = Cluster::start_new(1, 1);
    let payload = cluster.put(0, "k", "v", "").expect(201).payload();
    assert_eq!(cluster.get(0, "k", &payload).expect(200).text("value"), "v");
    assert_eq!(cluster.members(0, 0), [0]);
}

#[test]
fn fewer_nodes_than_k_serve_degraded() {
    let cluster = Cluster::start_new(2, 3);
    let ids = cluster.info(0, "get_all_partition_ids").expect(200).json();
    assert_eq!(ids["partition_id_list"], serde_json::json!([0]));
    assert_eq!(cluster.members(1, 0), [0, 1]);
    let payload = cluster.put(0, "k", "v", "").expect(201).payload();
    let read = cluster.get(1, "k", &payload).expect(200);
    assert_eq!(
        (read.text("value").as_str(), read.number("partition_id")),
        ("v", 0)
    );
}

#[test]
fn a_node_without_a_view_waits_to_be_added() {
    let cluster = Plan::new(1, 1).in_view(0).lay_out();
    cluster.start(0);
    cluster.wait_live(0);
    cluster.get(0, "k", "").refused(503, "not_in_view");
    cluster.put(0, "k", "v", "").refused(503, "not_in_view");
    cluster.send(0, Request::new("GET", "/")).expect(200);
}

#[test]
fn nodes_may_come_in_any_order_and_late_and_one_never() {
    let cluster = Plan::new(4, 2).lay_out();
    for node in [3, 2] {
        cluster.start(node);
        cluster.wait_live(node);
        let_pass(1.5);
    }
    // Half without the smallest address is no quorum: a node serves everything except keys.
    for node in [3, 2] {
        let starting = cluster.get(node, "k", "").refused(503, "starting").within(PROMPT);
        for missing in [&cluster.nodes[0].address, &cluster.nodes[1].address] {
            assert!(starting.text("error").contains(missing.as_str()), "{starting}");
        }
        cluster.put(node, "k", "v", "").refused(503, "starting");
        cluster.send(node, Request::new("GET", "/livez")).expect(200);
        let ids = cluster.info(node, "get_all_partition_ids").expect(200).json();
        assert_eq!(ids["partition_id_list"], serde_json::json!([0, 1]));
        assert_eq!(
            cluster.info(node, "get_all_replicas").json()["replicas"]
                .as_array()
                .map(Vec::len),
            Some(4)
        );
    }
    cluster.start(1);
    // A second after the quorum, plus the container's start.
    for node in [1, 2, 3] {
        eventually(HEALED, "keys are served without the last node", || {
            let reply = cluster.try_send(node, Request::new("GET", "/readyz"));
            match reply {
                Ok(reply) if reply.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
    let mut payload = String::new();
    for number in 0..40 {
        let written = cluster.put(1 + number % 3, &format!("k{number}"), "v", &payload);
        payload = written.expect(201).within(PROMPT).payload();
    }
    cluster.start(0);
    cluster.wait_ready(0);
    for number in 0..40 {
        let read = cluster.get(0, &format!("k{number}"), &payload).expect(200);
        assert_eq!(read.text("value"), "v");
    }
    // It has its own copy of what was written before it came.
    let own = cluster.info(0, "get_partition_id").number("partition_id");
    for sibling in cluster.members(0, own).into_iter().filter(|node| *node != 0) {
        cluster.kill(sibling);
    }
    for number in 0..40 {
        cluster
            .get(0, &format!("k{number}"), "")
            .expect(200)
            .within(PROMPT);
    }
}

#[test]
fn the_assignments_own_slips_are_all_named_at_once() {
    // The fourth example of the assignment: a port 80 in VIEW, and another node's IPPORT.
    let ended = run_to_end(
        &[
            "--env=K=2",
            "--env=VIEW=10.0.0.21:8080,10.0.0.22:8080,10.0.0.23:80,10.0.0.24:8080",
            "--env=IPPORT=10.0.0.23:8080",
        ],
        &[],
    );
    assert_eq!(ended.exit, 64, "{ended:?}");
    assert!(
        ended.stderr.contains("10.0.0.23:8080") && ended.stderr.contains("10.0.0.23:80"),
        "{ended:?}"
    );
    let ended = run_to_end(
        &[
            "--env=K=0",
            "--env=VIEW=10.0.0.1:80,10.0.0.1:80,10.0.0.300:1,x",
            "--env=IPPORT=10.0.0.9",
        ],
        &[],
    );
    assert_eq!(ended.exit, 64, "{ended:?}");
    for mistake in ["K", "10.0.0.1:80", "10.0.0.300:1", "\"x\"", "10.0.0.9"] {
        assert!(
            ended.stderr.contains(mistake),
            "{mistake} is not named: {ended:?}"
        );
    }
    let ended = run_to_end(&["--env=K=two", "--env=VIEW=a:1", "--env=IPPORT=a:1"], &[]);
    assert!(ended.exit == 64 && ended.stderr.contains("two"), "{ended:?}");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named_with_the_user_and_the_fix() {
    let ended = run_to_end(
        &[
            "--tmpfs=/data:uid=0,gid=0,mode=0755",
            "--env=K=1",
            "--env=VIEW=10.0.0.1:8080",
            "--env=IPPORT=10.0.0.1:8080",
        ],
        &[],
    );
    assert_eq!(ended.exit, 1, "{ended:?}");
    assert!(
        ended.stderr.contains("/data") && ended.stderr.contains("65532"),
        "{ended:?}"
    );
    assert_eq!(ended.stderr.trim().lines().count(), 1, "one line: {ended:?}");
}

#[test]
fn the_image_has_no_rights_and_tells_its_health() {
    let cluster = Cluster::start_new(1, 1);
    let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.pid(0)));
    let status = status.expect("the process of a running container");
    let uids = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .expect("a Uid line");
    assert!(
        uids.split_whitespace().skip(1).all(|uid| uid == "65532"),
        "{uids}"
    );
    cluster
        .docker_on(0, &["exec", "NODE", "/bin/causeway", "health"])
        .expect("a node that serves is healthy");
    // Docker's own check is switched off in these clusters; the image declares this one:
    let declared = cluster
        .docker_on(
            0,
            &[
                "image",
                "inspect",
                "--format",
                "{{json .Config}}",
                crate::docker::image(),
            ],
        )
        .expect("the image is there");
    let declared: serde_json::Value = serde_json::from_str(&declared).expect("docker prints JSON");
    assert_eq!(declared["User"], "65532:65532");
    assert_eq!(
        declared["Healthcheck"]["Test"],
        serde_json::json!(["CMD", "/bin/causeway", "health"])
    );
    assert_eq!(declared["StopSignal"], "SIGTERM");
    assert!(declared["Volumes"].is_null(), "anonymous volumes pile up");
    // Nothing listens: not healthy.
    assert_eq!(run_to_end(&[], &["health"]).exit, 1);
}

#[test]
fn help_names_every_setting_as_variable_and_flag() {
    let ended = run_to_end(&[], &["serve", "--help"]);
    assert_eq!(ended.exit, 0, "{ended:?}");
    for setting in [
        "VIEW",
        "IPPORT",
        "LISTEN",
        "DATA_DIR",
        "STORE",
        "--view",
        "--listen",
        "--data-dir",
    ] {
        assert!(
            ended.stdout.contains(setting),
            "{setting} is not in {}",
            ended.stdout
        );
    }
}
