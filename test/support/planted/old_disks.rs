//! Written schedules in which old copies of disks are restored, one at a time and together.

use std::time::Duration;

use causeway::names::Epoch;
use tokio::time::sleep;

use super::Seen;
use super::lines::remove;
use super::schedules::{LONG, found, put, until_whole};
use crate::simulated::cluster::SimCluster;
use crate::simulated::requests::operate;
use crate::simulated::simulate;
use crate::support::history::{Action, Answer, Outcome};

/// Kills a node, restores the copy of its disk and starts it.
async fn put_back(cluster: &mut SimCluster, number: usize) {
    cluster.kill(number);
    assert!(cluster.nodes[number].disk.put_back(), "there is a copy");
    cluster.start(number).await;
}

async fn value(cluster: &SimCluster, node: usize, key: &str, payload: &str) -> Option<String> {
    let reply = operate(cluster, node, key, Action::Get, payload).await;
    found(&reply).map(str::to_owned)
}

/// The basic case: a copy is restored after further writes that other nodes acknowledged.
pub(crate) fn a_copy_of_a_disk() -> Seen {
    for seed in 1..=3 {
        simulate(async move {
            let mut cluster = SimCluster::serving(seed, 2, 2).await;
            put(&cluster, 1, "k", "old", "").await;
            cluster.nodes[1].disk.copy();
            let payload = put(&cluster, 1, "k", "new", "").await;
            put_back(&mut cluster, 1).await;
            if value(&cluster, 1, "k", &payload)
                .await
                .is_some_and(|value| value == "old")
            {
                return Err("a disk that went back in time answers from before what was seen".to_owned());
            }
            until_whole(&cluster, LONG).await?;
            put(&cluster, 1, "later", "v", "").await;
            let everywhere = |key| {
                let disks = cluster.nodes.iter().map(|node| node.disk.records());
                disks.filter(|records| records.contains_key(key)).count() == 2
            };
            cluster.until(LONG, "both have it", || everywhere("later")).await;
            match value(&cluster, 1, "k", "").await.as_deref() {
                Some("new") => Ok(()),
                other => Err(format!("k is {other:?}")),
            }
        })?;
    }
    Ok(())
}

/// No node that could know answers, so the old disk serves. Its new writes must not reuse numbers that
/// it gave out before.
pub(crate) fn a_number_that_is_drawn_again() -> Seen {
    simulate(async {
        let mut cluster = SimCluster::serving(1, 2, 2).await;
        cluster.nodes[0].disk.copy();
        put(&cluster, 0, "a", "v", "").await;
        cluster.cut(0, 1);
        put_back(&mut cluster, 0).await;
        let payload = put(&cluster, 0, "b", "v", "").await;
        let reply = operate(&cluster, 1, "b", Action::Get, &payload).await;
        if matches!(reply.outcome, Outcome::Ok(Answer::NotFound)) {
            return Err("a number was drawn twice, and covers another write".to_owned());
        }
        cluster.rejoin(0);
        until_whole(&cluster, LONG).await?;
        match value(&cluster, 1, "b", &payload).await {
            Some(_) => Ok(()),
            None => Err("what only the old disk took did not come back".to_owned()),
        }
    })
}

/// The end of a journal is lost, and all members stopped before any stored how far the others had come.
/// The node takes a write before another member is back.
pub(crate) fn a_lost_end_that_is_written_over() -> Seen {
    for seed in 1..=3 {
        simulate(async move {
            let mut cluster = SimCluster::serving(seed, 2, 2).await;
            put(&cluster, 0, "k", "old", "").await;
            sleep(Duration::from_secs(2)).await;
            cluster.nodes[0].disk.copy();
            let payload = put(&cluster, 0, "k", "new", "").await;
            cluster.kill(0);
            cluster.kill(1);
            put_back(&mut cluster, 0).await;
            put(&cluster, 0, "later", "v", "").await;
            cluster.start(1).await;
            until_whole(&cluster, LONG).await?;
            for node in 0..2 {
                match value(&cluster, node, "k", &payload).await.as_deref() {
                    Some("new") => {}
                    other => return Err(format!("k is {other:?} at n{node}")),
                }
                if value(&cluster, node, "later", "").await.is_none() {
                    return Err(format!("n{node} lacks what the old disk took"));
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// A copy from before a view change is restored while its node is cut off: it takes writes in an epoch
/// that all others left. If `is_open`, one of them lacks the new view, so that the epoch is not closed.
fn written_to_an_earlier_epoch(is_open: bool) -> Seen {
    simulate(async move {
        let mut cluster = SimCluster::serving(1, 4, 3).await;
        cluster.nodes[0].disk.copy();
        if is_open {
            cluster.isolate(2);
        }
        let removed = remove(&cluster, 1, 3, false).await;
        removed.map_err(|refusal| refusal.to_string())?;
        // By then every node that may close the epoch has done so.
        sleep(Duration::from_secs(5)).await;
        cluster.isolate(0);
        put_back(&mut cluster, 0).await;
        let payload = put(&cluster, 0, "b", "v", "").await;
        let reply = operate(&cluster, 1, "b", Action::Get, &payload).await;
        if matches!(reply.outcome, Outcome::Ok(Answer::NotFound)) {
            return Err("a log that was at its end covers what was added to it".to_owned());
        }
        // A reader that writes passes on its dependencies.
        let later = put(&cluster, 1, "later", "v", &payload).await;
        let reply = operate(&cluster, 1, "b", Action::Get, &later).await;
        if matches!(reply.outcome, Outcome::Ok(Answer::NotFound)) {
            return Err("what a write depends on was dropped".to_owned());
        }
        cluster.network.heal();
        until_whole(&cluster, LONG).await?;
        for node in 0..3 {
            if value(&cluster, node, "b", &later).await.is_none() {
                return Err(format!("n{node} does not have what only the old disk took"));
            }
        }
        Ok(())
    })
}

pub(crate) fn a_write_to_a_closed_epoch() -> Seen {
    written_to_an_earlier_epoch(false)
}

pub(crate) fn a_write_to_a_log_that_was_handed_over() -> Seen {
    written_to_an_earlier_epoch(true)
}

/// A cluster that serves, and forgets deletions within seconds.
async fn forgetting_soon(count: usize, replicas: u32) -> SimCluster {
    let mut cluster = SimCluster::new(1, count, replicas);
    cluster.limits.forget_after = Duration::from_millis(1500);
    cluster.limits.clock_limit = Duration::from_millis(150);
    cluster.start_all().await;
    cluster
}

/// Waits until no disk has the tombstone of `w`.
async fn until_forgotten(cluster: &SimCluster) {
    let is_forgotten = || {
        let mut disks = cluster.nodes.iter().map(|node| node.disk.records());
        disks.all(|records| !records.contains_key("w"))
    };
    cluster.until(LONG, "the tombstone is gone", is_forgotten).await;
}

/// A key that was deleted after the copy, and whose tombstone was dropped, does not return with it.
pub(crate) fn a_copy_from_before_a_deletion() -> Seen {
    simulate(async {
        let mut cluster = forgetting_soon(2, 2).await;
        put(&cluster, 0, "w", "v", "").await;
        let is_there = || cluster.nodes[1].disk.records().contains_key("w");
        cluster.until(LONG, "n1 has it", is_there).await;
        cluster.nodes[1].disk.copy();
        operate(&cluster, 0, "w", Action::Delete, "").await;
        until_forgotten(&cluster).await;
        put_back(&mut cluster, 1).await;
        until_whole(&cluster, LONG).await?;
        match value(&cluster, 0, "w", "").await {
            None => Ok(()),
            Some(_) => Err("a deleted key came back with an old disk".to_owned()),
        }
    })
}

/// The copy is recent, and has a record whose deletion had not yet arrived.
pub(crate) fn a_copy_that_lagged_behind_a_deletion() -> Seen {
    simulate(async {
        let mut cluster = forgetting_soon(2, 2).await;
        put(&cluster, 0, "w", "v", "").await;
        let is_there = || cluster.nodes[1].disk.records().contains_key("w");
        cluster.until(LONG, "n1 has it", is_there).await;
        cluster.cut(0, 1);
        operate(&cluster, 0, "w", Action::Delete, "").await;
        sleep(Duration::from_secs(3)).await;
        cluster.nodes[1].disk.copy();
        cluster.rejoin(1);
        until_forgotten(&cluster).await;
        put_back(&mut cluster, 1).await;
        until_whole(&cluster, LONG).await?;
        match value(&cluster, 0, "w", "").await {
            None => Ok(()),
            Some(_) => Err("a deleted key came back with a copy that had not heard of it".to_owned()),
        }
    })
}

/// With one replica no other node has the slots: all that the copy has returns, however old.
pub(crate) fn the_only_disk_of_a_partition() -> Seen {
    simulate(async {
        let mut cluster = forgetting_soon(3, 1).await;
        let keys: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
        for key in &keys {
            put(&cluster, 0, key, "v", "").await;
        }
        cluster.nodes[1].disk.copy();
        for key in &keys {
            put(&cluster, 0, key, "later", "").await;
        }
        sleep(Duration::from_secs(4)).await;
        put_back(&mut cluster, 1).await;
        until_whole(&cluster, LONG).await?;
        for key in &keys {
            if value(&cluster, 0, key, "").await.is_none() {
                return Err(format!("{key} was on the disk that was put back, and is gone"));
            }
        }
        Ok(())
    })
}

/// Each of two nodes knows a later state of the other, so no life of the view is left.
pub(crate) fn all_disks_go_back() -> Seen {
    for seed in 1..=4 {
        simulate(async move {
            let mut cluster = SimCluster::serving(seed, 2, 2).await;
            put(&cluster, 0, "first", "v", "").await;
            cluster.nodes.iter().for_each(|node| node.disk.copy());
            put(&cluster, 0, "second", "v", "").await;
            put_back(&mut cluster, 1).await;
            let has_ended = || {
                let node = cluster.node(1).expect("runs");
                node.status().epoch == Epoch::NONE
            };
            cluster.until(LONG, "n1 begins another life", has_ended).await;
            cluster.cut(0, 1);
            cluster.kill(0);
            cluster.rejoin(0);
            assert!(cluster.nodes[0].disk.put_back(), "there is a copy");
            cluster.start(0).await;
            until_whole(&cluster, LONG).await?;
            match value(&cluster, 0, "first", "").await {
                Some(_) => Ok(()),
                None => Err("what every copy had is gone".to_owned()),
            }
        })?;
    }
    Ok(())
}
