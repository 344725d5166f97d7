//! Wrong clocks and their correction: the effects on clients, payloads and tombstones.

use std::time::Duration;

use causeway::node::{Refusal, RequestKind, World};
use causeway::protocol::causality::{Payload, Timestamp};
use tokio::time::sleep;

use crate::simulated::cluster::SimCluster;
use crate::simulated::fault::Fault;
use crate::simulated::requests::operate;
use crate::simulated::simulate;
use crate::support::history::{Action, Answer, Outcome};

const LONG: Duration = Duration::from_secs(10);
const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: i64 = 365 * 86_400_000;

async fn put(cluster: &SimCluster, number: usize, payload: &str) -> String {
    let reply = operate(cluster, number, "k", Action::Put("v".to_owned()), payload).await;
    let is_written = matches!(reply.outcome, Outcome::Ok(Answer::Written { .. }));
    assert!(is_written, "a put that no clock may hinder: {:?}", reply.outcome);
    reply.payload
}

/// A payload of this time, as a client would forge it for a node.
fn forged(cluster: &SimCluster, number: usize, wall_ms: u64) -> String {
    let payload = Payload {
        timestamp: Timestamp::from_wall_ms(wall_ms),
        ..Payload::default()
    };
    cluster
        .node(number)
        .expect("runs")
        .requests
        .payload_text(&payload)
}

fn wall_ms(cluster: &SimCluster, number: usize) -> u64 {
    cluster.nodes[number].world.wall_ms()
}

fn hybrid_ms(cluster: &SimCluster, number: usize) -> u64 {
    cluster.node(number).expect("runs").clock_now().wall_ms()
}

/// Sets clocks before the nodes start.
async fn started_with(count: usize, clocks: &[(usize, i64)]) -> SimCluster {
    let mut cluster = SimCluster::new(1, count, 1);
    for (number, off_ms) in clocks {
        cluster.suffer(Fault::Clock(*number, *off_ms));
    }
    cluster.start_all().await;
    cluster
}

#[test]
fn payloads_near_the_limit_do_not_drive_clocks_beyond_it() {
    simulate(async {
        let cluster = SimCluster::serving(1, 3, 1).await;
        for round in 0..12 {
            let number = round % 3;
            let near = forged(&cluster, number, wall_ms(&cluster, number) + HOUR_MS - 1);
            // Written at one node; its payload and its frames carry the timestamp to the others.
            let carried = put(&cluster, number, &near).await;
            put(&cluster, (number + 1) % 3, &carried).await;
            sleep(Duration::from_secs(1)).await;
            for other in 0..3 {
                let ahead_ms = hybrid_ms(&cluster, other) - wall_ms(&cluster, other);
                assert!(
                    ahead_ms <= HOUR_MS,
                    "n{other} is {ahead_ms} ms ahead in round {round}"
                );
                let beyond = forged(&cluster, other, hybrid_ms(&cluster, other) + HOUR_MS);
                let refused = cluster.node(other).expect("runs").requests.payload(&beyond);
                assert!(matches!(refused, Err(Refusal::BadPayload(_))), "{refused:?}");
            }
        }
    });
}

#[test]
fn a_wrong_clock_does_not_open_the_door_to_forged_payloads() {
    simulate(async {
        // A majority shows which clock is wrong, also to the node that is a year ahead itself.
        let cluster = started_with(3, &[(0, YEAR_MS)]).await;
        sleep(Duration::from_secs(1)).await;
        for number in 0..3 {
            let forgery = forged(&cluster, number, wall_ms(&cluster, 1) + 2 * HOUR_MS);
            let refused = cluster.node(number).expect("runs").requests.payload(&forgery);
            assert!(
                matches!(refused, Err(Refusal::BadPayload(_))),
                "n{number}: {refused:?}"
            );
        }
    });
}

#[test]
fn a_payload_of_the_node_ahead_is_good_where_no_node_knows_which_clock_is_wrong() {
    simulate(async {
        let cluster = started_with(2, &[(0, YEAR_MS)]).await;
        let mut payload = String::new();
        for round in 0..20 {
            payload = put(&cluster, round % 2, &payload).await;
        }
        let forgery = forged(&cluster, 1, wall_ms(&cluster, 0) + 2 * HOUR_MS);
        assert!(cluster.node(1).expect("runs").requests.payload(&forgery).is_err());
    });
}

#[test]
fn the_wrong_clock_of_a_few_does_not_reach_the_others() {
    simulate(async {
        let mut cluster = started_with(5, &[(0, YEAR_MS)]).await;
        cluster.suffer(Fault::Clock(1, 2 * YEAR_MS));
        cluster.kill(2);
        cluster.suffer(Fault::Clock(2, 3 * YEAR_MS));
        cluster.start(2).await;
        cluster.suffer(Fault::Clock(2, 0));
        sleep(Duration::from_secs(2)).await;
        for number in 0..5 {
            put(&cluster, number, "").await;
        }
        sleep(Duration::from_secs(1)).await;
        for number in 0..5 {
            let ahead_ms = hybrid_ms(&cluster, number).saturating_sub(wall_ms(&cluster, 4));
            assert!(ahead_ms <= HOUR_MS, "n{number} is {ahead_ms} ms ahead");
        }
    });
}

#[test]
fn a_tombstone_from_the_future_goes_when_it_is_old_by_the_monotonic_clock() {
    const FORGET_AFTER: Duration = Duration::from_secs(200);
    simulate(async {
        let mut cluster = SimCluster::new(1, 2, 2);
        cluster.limits.forget_after = FORGET_AFTER;
        cluster.limits.clock_limit = Duration::from_secs(10);
        cluster.suffer(Fault::Clocks(YEAR_MS));
        cluster.start_all().await;
        let payload = put(&cluster, 0, "").await;
        operate(&cluster, 0, "k", Action::Delete, &payload).await;
        cluster.suffer(Fault::Clocks(0));
        let is_there = || cluster.nodes[0].disk.records().contains_key("k");
        sleep(FORGET_AFTER / 2).await;
        assert!(is_there(), "kept for FORGET_AFTER");
        // Expired tombstones are looked for every quarter of the time.
        sleep(FORGET_AFTER * 2).await;
        assert!(!is_there(), "not kept for the year that the clock was ahead");
        put(&cluster, 0, &payload).await;
    });
}

#[test]
fn clients_go_on_while_a_view_changes_and_a_clock_is_set() {
    simulate(async {
        let mut cluster = SimCluster::with_spares(1, 3, 1, 2);
        cluster.start_all().await;
        let mut payload = put(&cluster, 0, "").await;
        cluster.suffer(Fault::Clocks(YEAR_MS));
        cluster.suffer(Fault::Clock(3, -YEAR_MS));
        let asked = cluster.change_view(0, 3, RequestKind::Add).await;
        assert!(asked.is_ok(), "{asked:?}");
        cluster.suffer(Fault::Clocks(0));
        cluster.until_serving(LONG).await;
        for number in 0..4 {
            payload = put(&cluster, number, &payload).await;
        }
    });
}
