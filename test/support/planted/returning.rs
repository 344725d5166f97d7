//! Schedules of nodes that are removed while they are cut off, and return with their data.

use std::time::Duration;

use causeway::names::{SLOTS, Slot};
use tokio::time::sleep;

use super::Seen;
use super::schedules::{LONG, found, put, serve, serving_with};
use crate::simulated::cluster::{REMOVE, SimCluster};
use crate::simulated::requests::operate;
use crate::simulated::simulate;
use crate::support::history::{Action, Outcome};

/// n0 has a key that is deleted while it is cut off, and returns when the tombstone is forgotten.
pub(crate) fn a_removed_owner_that_comes_back_too_late() -> Seen {
    simulate(async {
        let mut cluster = SimCluster::new(1, 4, 3);
        cluster.limits.forget_after = Duration::from_millis(800);
        serving_with(&mut cluster, &[0, 1, 2, 3]).await;
        put(&cluster, 0, "k", "v", "").await;
        sleep(Duration::from_secs(1)).await;
        cluster.isolate(0);
        remove(&cluster, 1, 0).await;
        let deleted = operate(&cluster, 1, "k", Action::Delete, "").await;
        assert!(
            matches!(deleted.outcome, Outcome::Ok(_)),
            "a deletion: {deleted:?}"
        );
        let is_forgotten = || !cluster.nodes[1].disk.records().contains_key("k");
        cluster
            .until(LONG, "the deletion is forgotten", is_forgotten)
            .await;
        cluster.rejoin(0);
        sleep(Duration::from_secs(5)).await;
        match found(&operate(&cluster, 1, "k", Action::Get, "").await) {
            None => Ok(()),
            Some(_) => Err("a deleted key came back with a removed node".to_owned()),
        }
    })
}

/// n0 is removed with a write that no other node has. When its epoch is closed, a client that depends on
/// the write reads another key first.
pub(crate) fn a_reader_of_what_a_removed_member_has() -> Seen {
    simulate(async {
        let cluster = SimCluster::serving(1, 4, 2).await;
        put(&cluster, 0, "k", "old", "").await;
        cluster.isolate(0);
        let written = put(&cluster, 0, "k", "new", "").await;
        remove(&cluster, 1, 0).await;
        // Closing takes a round of gossip after the last exchange.
        sleep(LONG).await;
        // The other partition has the upper half of the slots.
        let mut keys = (0..).map(|number| format!("another{number}"));
        let is_elsewhere = |key: &String| Slot::of(key).0 >= SLOTS / 2;
        let another = keys.find(is_elsewhere).expect("half of all keys are there");
        let other = operate(&cluster, 2, &another, Action::Get, &written).await;
        assert!(matches!(other.outcome, Outcome::Ok(_)), "another key: {other:?}");
        let read = operate(&cluster, 2, "k", Action::Get, &other.payload).await;
        match read.outcome {
            Outcome::Ok(answer) => Err(format!(
                "a reader of the removed member's write is told {answer:?}"
            )),
            _ => Ok(()),
        }
    })
}

/// n0 returns its write to n1 in time, while n2 is cut off from both. Then n0's time is up at n2.
pub(crate) fn a_removed_member_that_came_back_to_another_just_in_time() -> Seen {
    simulate(async {
        let mut cluster = SimCluster::new(1, 4, 3);
        cluster.limits.forget_after = Duration::from_secs(12);
        cluster.limits.clock_limit = Duration::from_millis(500);
        serving_with(&mut cluster, &[0, 1, 2, 3]).await;
        put(&cluster, 0, "k", "old", "").await;
        cluster.isolate(0);
        let written = put(&cluster, 0, "k", "new", "").await;
        remove(&cluster, 1, 0).await;
        // n2 hears from its siblings once in the new view, but not of what n1 takes afterwards.
        sleep(Duration::from_secs(2)).await;
        cluster.isolate(2);
        cluster
            .network
            .heal_link(&cluster.nodes[0].id, &cluster.nodes[1].id);
        let has_taken_it = || {
            let records = cluster.nodes[1].disk.records();
            records
                .get("k")
                .is_some_and(|record| record.value() == Some(b"new"))
        };
        cluster.until(LONG, "n1 has what came back", has_taken_it).await;
        sleep(cluster.limits.forget_after).await;
        let read = operate(&cluster, 2, "k", Action::Get, &written).await;
        match read.outcome {
            Outcome::Ok(answer) => Err(format!("a reader of the returned write is told {answer:?}")),
            _ => Ok(()),
        }
    })
}

/// Removes an unreachable node, and waits until the others serve without it.
pub(super) async fn remove(cluster: &SimCluster, via: usize, node: usize) {
    let asked = cluster.change_view(via, node, REMOVE).await;
    assert!(asked.is_ok(), "the others remove one that is cut off: {asked:?}");
    let others: Vec<usize> = (0..cluster.nodes.len()).filter(|other| *other != node).collect();
    cluster
        .until(LONG, "the others serve", || serve(cluster, &others, 2))
        .await;
}
