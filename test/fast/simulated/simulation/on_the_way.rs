//! Requests wait for what is coming: links after a restart, the next view, a node that is starting.

use std::time::Duration;

use causeway::node::RequestKind;
use tokio::join;
use tokio::time::{Instant, sleep};

use crate::simulated::cluster::{REMOVE, SimCluster};
use crate::simulated::requests::operate;
use crate::simulated::simulate;
use crate::support::history::{Action, Answer, Outcome, Reply};

const LONG: Duration = Duration::from_secs(10);

/// The longest wait of a client for the answer to a write.
const WRITE_LIMIT: Duration = Duration::from_millis(1000);

fn put(value: &str) -> Action {
    Action::Put(value.to_owned())
}

/// A key that this node owns, where each node owns keys of its own.
async fn key_of(cluster: &SimCluster, number: usize) -> String {
    for key in (0..).map(|at| format!("k{at}")) {
        let keys = |cluster: &SimCluster| cluster.node(number).expect("runs").status().keys;
        let before = keys(cluster);
        operate(cluster, number, &key, put("first"), "").await;
        if keys(cluster) > before {
            return key;
        }
    }
    unreachable!("there are keys enough")
}

fn is_done(reply: &Reply) -> bool {
    matches!(
        reply.outcome,
        Outcome::Ok(Answer::Written { .. } | Answer::Found { .. })
    )
}

#[test]
fn a_request_waits_for_an_owner_that_is_being_restarted() {
    for action in [put("second"), Action::Get, Action::Delete] {
        simulate(async move {
            let mut cluster = SimCluster::serving(1, 2, 1).await;
            let key = key_of(&cluster, 1).await;
            cluster.kill(1);
            // Until the end of the link is detected, the outcome of requests that are sent is unknown.
            sleep(Duration::from_millis(50)).await;
            let began = Instant::now();
            let asking = operate(&cluster, 0, &key, action.clone(), "");
            let restart = async {
                sleep(Duration::from_millis(400)).await;
                cluster.start(1).await;
            };
            let (reply, ()) = join!(asking, restart);
            assert!(
                is_done(&reply) && began.elapsed() < WRITE_LIMIT,
                "{action:?}: {:?}",
                reply.outcome
            );
        });
    }
}

/// `CAUSAL_WAIT` bounds the wait for a client's dependencies, not the way to an owner and back.
#[test]
fn a_read_that_may_wait_for_nothing_still_goes_to_an_owner() {
    simulate(async {
        let mut cluster = SimCluster::new(1, 2, 1);
        cluster.limits.causal_wait = Duration::ZERO;
        cluster.start_all().await;
        let key = key_of(&cluster, 1).await;
        let reply = operate(&cluster, 0, &key, Action::Get, "").await;
        assert!(is_done(&reply), "{:?}", reply.outcome);
    });
}

#[test]
fn nobody_waits_for_an_owner_that_has_been_dead_for_long() {
    simulate(async {
        let mut cluster = SimCluster::serving(1, 2, 1).await;
        let key = key_of(&cluster, 1).await;
        cluster.kill(1);
        sleep(Duration::from_secs(4)).await;
        for action in [put("second"), Action::Get] {
            let began = Instant::now();
            let reply = operate(&cluster, 0, &key, action, "").await;
            assert!(!is_done(&reply));
            assert!(
                began.elapsed() < Duration::from_millis(600),
                "{:?}",
                began.elapsed()
            );
        }
    });
}

#[test]
fn nodes_that_were_killed_between_seal_and_activation_go_on_at_once() {
    for seed in 1..=6 {
        simulate(async move {
            let mut cluster = SimCluster::serving(seed, 4, 2).await;
            let change = cluster.change_view(0, 3, REMOVE);
            let sealed = async {
                let is_sealed = |number| {
                    cluster
                        .node(number)
                        .is_some_and(|node| node.status().sealed_for.is_some())
                };
                while !(0..4).all(is_sealed) {
                    sleep(Duration::from_micros(200)).await;
                }
            };
            tokio::select! {
                biased;
                () = sealed => {}
                changed = change => panic!("nobody saw it sealed: {changed:?}"),
            }
            for number in 0..4 {
                cluster.kill(number);
            }
            for number in 0..4 {
                cluster.start(number).await;
            }
            for number in 0..3 {
                for at in 0..8 {
                    let began = Instant::now();
                    let reply = operate(&cluster, number, &format!("k{at}"), put("v"), "").await;
                    let is_soon = began.elapsed() < WRITE_LIMIT;
                    assert!(is_done(&reply) && is_soon, "seed {seed}: {:?}", reply.outcome);
                }
            }
            cluster.until_serving(LONG).await;
        });
    }
}

#[test]
fn an_owner_that_is_behind_a_payload_takes_the_write_when_it_has_caught_up() {
    simulate(async {
        let mut cluster = SimCluster::with_spares(1, 3, 1, 1);
        cluster.start_all().await;
        let key = key_of(&cluster, 2).await;
        cluster.isolate(2);
        let added = cluster.change_view(0, 3, RequestKind::Add);
        added.await.expect("two of three decide");
        let mine = key_of(&cluster, 0).await;
        let seen = operate(&cluster, 0, &mine, put("after"), "").await;
        let began = Instant::now();
        let asking = operate(&cluster, 2, &key, put("second"), &seen.payload);
        let healing = async {
            sleep(Duration::from_millis(200)).await;
            cluster.rejoin(2);
        };
        let (reply, ()) = join!(asking, healing);
        assert!(
            is_done(&reply) && began.elapsed() < WRITE_LIMIT,
            "{:?}",
            reply.outcome
        );
    });
}
