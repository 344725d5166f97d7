//! Processes that end and disks that fail: acknowledged writes are there after the restart.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::ask::put;
use crate::cluster::{Cluster, Disk};
use crate::patience::{HEALED, PATIENT, PROMPT, eventually, let_pass};
use crate::plan::Plan;
use crate::support::stopping::StopOnDrop;

/// The results of one writer: each key's last acknowledged value, and its current payload.
#[derive(Debug, Default)]
struct Acknowledged {
    values: BTreeMap<String, u64>,
    payload: String,
}

/// Sessions that write until told to stop, each its own keys, with values that only rise.
fn write_until(cluster: &Cluster, stop: &AtomicBool, disturb: impl FnOnce()) -> Vec<Acknowledged> {
    const WRITERS: usize = 6;
    let session = |writer: usize| {
        let mut told = Acknowledged::default();
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let key = format!("w{writer}-{}", number % 40);
            let node = usize::try_from(number).expect("small") % cluster.nodes.len();
            let sent = cluster.try_send(node, put(&key, &number.to_string(), &told.payload));
            // An unacknowledged write may have been done or not.
            if let Ok(reply) = sent
                && matches!(reply.status, 200 | 201)
            {
                told.payload = reply.payload();
                told.values.insert(key, number);
            }
        }
        told
    };
    thread::scope(|scope| {
        let session = &session;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || session(writer)))
            .collect();
        let stopping = StopOnDrop(stop);
        disturb();
        drop(stopping);
        writers
            .into_iter()
            .map(|w| w.join().expect("no panic in a session"))
            .collect()
    })
}

/// Every node returns every acknowledged value or a later one to the session that wrote it.
fn nothing_is_lost(cluster: &Cluster, told: &[Acknowledged]) {
    let keys: usize = told.iter().map(|session| session.values.len()).sum();
    assert!(keys >= 20, "only {keys} keys were written: no load, no test");
    for session in told {
        for (number, (key, value)) in session.values.iter().enumerate() {
            let node = number % cluster.nodes.len();
            let read = eventually(HEALED, &format!("{key} at n{}", node + 1), || {
                let reply = cluster.get(node, key, &session.payload);
                if reply.status == 200 {
                    Ok(reply)
                } else {
                    Err(reply.to_string())
                }
            });
            let found: u64 = read.text("value").parse().expect("values are numbers");
            assert!(found >= *value, "{value} was acknowledged: {read}");
        }
    }
}

#[test]
fn killing_all_nodes_under_load_loses_no_acknowledged_write() {
    let cluster = Cluster::start_new(4, 2);
    let stop = AtomicBool::new(false);
    let told = write_until(&cluster, &stop, || {
        let_pass(3.0);
        cluster.kill_all();
        let_pass(0.2);
    });
    cluster.on_all(|node| cluster.start(node));
    cluster.on_all(|node| cluster.wait_ready(node));
    nothing_is_lost(&cluster, &told);
}

#[test]
fn sigterm_under_load_ends_a_node_at_once_and_loses_nothing() {
    let cluster = Cluster::start_new(3, 3);
    let stop = AtomicBool::new(false);
    let mut stopped = None;
    let told = write_until(&cluster, &stop, || {
        let_pass(1.5);
        stopped = Some(cluster.stop(0));
        let_pass(0.5);
    });
    let stopped = stopped.expect("stopped above");
    assert!(stopped.exit == 0 && stopped.took <= PROMPT, "{stopped:?}");
    cluster.start(0);
    cluster.wait_ready(0);
    nothing_is_lost(&cluster, &told);
}

#[test]
fn a_node_that_lost_its_disk_is_taken_in_by_itself() {
    let cluster = Cluster::start_new(3, 3);
    let payload = cluster.put(0, "kept", "v", "").expect(201).payload();
    cluster.kill(2);
    let later = cluster.put(0, "later", "v", &payload).expect(201).payload();
    cluster.wipe(2);
    cluster.start(2);
    cluster.wait_ready(2);
    for key in ["kept", "later"] {
        // Both with the payload from before the loss and without: it may not answer if it lacks the key.
        for payload in [later.as_str(), ""] {
            assert_eq!(cluster.get(2, key, payload).expect(200).text("value"), "v");
        }
    }
    // Its keys are on its own new disk: the others may die.
    cluster.kill(0);
    cluster.kill(1);
    assert_eq!(
        cluster
            .get(2, "kept", "")
            .expect(200)
            .within(PROMPT)
            .text("value"),
        "v"
    );
}

#[test]
fn every_node_one_after_the_other_can_lose_its_disk() {
    const KEYS: usize = 120;
    let cluster = Cluster::start_new(4, 2);
    let mut payload = String::new();
    for number in 0..KEYS {
        let written = cluster.put(number % 4, &format!("d{number}"), &number.to_string(), &payload);
        payload = written.expect(201).payload();
    }
    for node in 0..4 {
        cluster.kill(node);
        cluster.wipe(node);
        cluster.start(node);
        cluster.wait_ready(node);
        // Meanwhile writes go on, though a busy machine may leave an outcome unknown.
        let written = eventually(PATIENT, "a write is confirmed", || {
            let reply = cluster.put(node, &format!("during-{node}"), "v", &payload);
            match reply.status {
                200 | 201 => Ok(reply),
                _ => Err(reply.to_string()),
            }
        });
        payload = written.payload();
    }
    for number in 0..KEYS {
        let read = cluster
            .get((number + 1) % 4, &format!("d{number}"), &payload)
            .expect(200);
        assert_eq!(read.text("value"), number.to_string());
    }
    for node in 0..4 {
        cluster
            .get(3 - node, &format!("during-{node}"), &payload)
            .expect(200);
    }
}

#[test]
fn a_minority_without_disks_can_restart() {
    let cluster = Plan::new(3, 3).disk(Disk::None).start();
    let mut payload = String::new();
    for number in 0..30 {
        let written = cluster.put(number % 3, &format!("m{number}"), "v", &payload);
        payload = written.expect(201).payload();
    }
    for node in [1, 0] {
        let stopped = cluster.stop(node);
        assert_eq!(stopped.exit, 0);
        cluster.start(node);
        cluster.wait_ready(node);
        for number in 0..30 {
            let read = cluster.get(node, &format!("m{number}"), &payload).expect(200);
            assert_eq!(read.text("value"), "v");
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let cluster = Plan::new(1, 1).disk(Disk::Small(256)).start();
    let payload = cluster.put(0, "before", "v", "").expect(201).payload();
    let filler = cluster.data_dir(0).join("filler");
    fill_up(&filler);
    let large = "x".repeat(256 * 1024);
    let mut taken = Vec::new();
    let refused = eventually(Duration::from_secs(20), "the disk is full", || {
        let key = format!("full-{}", taken.len());
        let reply = cluster.put(0, &key, &large, "").within(PROMPT);
        match reply.status {
            200 | 201 => {
                taken.push(key);
                Err(reply.to_string())
            }
            _ => Ok(reply),
        }
    });
    refused.refused(507, "storage_failed");
    assert_eq!(
        cluster
            .get(0, "before", &payload)
            .expect(200)
            .within(PROMPT)
            .text("value"),
        "v"
    );
    std::fs::remove_file(&filler).expect("this machine may remove what it put there");
    eventually(Duration::from_secs(10), "writes are taken again", || {
        let reply = cluster.put(0, "after", &large, &payload);
        if reply.status == 201 {
            Ok(())
        } else {
            Err(reply.to_string())
        }
    });
    for key in taken.iter().map(String::as_str).chain(["after"]) {
        assert_eq!(cluster.get(0, key, "").expect(200).text("value"), large);
    }
}

/// Uses up all free space; from outside, since the container has no tool for it.
fn fill_up(filler: &std::path::Path) {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(filler)
        .expect("this needs root, to write into the container's data directory");
    for block in [1 << 20, 1 << 12] {
        let zeros = vec![0; block];
        while file.write_all(&zeros).is_ok() {}
    }
}
