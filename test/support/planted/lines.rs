//! Written schedules of two lines of views: removals that are forced or decided on both sides of a cut,
//! and what clients and nodes see when the sides meet again.

use std::time::Duration;

use causeway::node::{RequestKind, ViewOutcome, ViewRefusal};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::Seen;
use super::schedules::{LONG, found, put, serve, until_whole};
use crate::simulated::cluster::SimCluster;
use crate::simulated::requests::operate;
use crate::simulated::simulate;
use crate::support::history::{Action, Answer, Outcome, Reply};

/// This long after the network is whole, all nodes follow one line and everything is handed over.
const MET: Duration = Duration::from_secs(10);

pub(super) async fn remove(
    cluster: &SimCluster,
    via: usize,
    node: usize,
    force: bool,
) -> Result<ViewOutcome, ViewRefusal> {
    cluster
        .change_view(via, node, RequestKind::Remove { force })
        .await
}

fn cut(cluster: &SimCluster, here: &[usize], there: &[usize]) {
    for a in here {
        for b in there {
            cluster.cut(*a, *b);
        }
    }
}

fn heal(cluster: &SimCluster, here: &[usize]) {
    here.iter().for_each(|node| cluster.rejoin(*node));
}

fn is_missing(reply: &Reply) -> bool {
    matches!(reply.outcome, Outcome::Ok(Answer::NotFound))
}

async fn get(cluster: &SimCluster, node: usize, key: &str, payload: &str) -> Reply {
    operate(cluster, node, key, Action::Get, payload).await
}

/// Every node that serves finds what was written on both lines.
async fn finds_all(cluster: &SimCluster, keys: &[&str]) -> Seen {
    for number in cluster.members() {
        for key in keys {
            let reply = get(cluster, number, key, "").await;
            if found(&reply).is_none() {
                return Err(format!("{key} is gone at n{number}: {:?}", reply.outcome));
            }
        }
    }
    Ok(())
}

/// Five nodes of one partition: the two that are cut off force one of the others out, while those others
/// remove one of the two in the ordinary way.
pub(crate) fn a_minority_that_forces() -> Seen {
    for seed in 1..=3 {
        simulate(async move {
            let cluster = SimCluster::serving(seed, 5, 5).await;
            put(&cluster, 0, "before", "v", "").await;
            cut(&cluster, &[0, 1], &[2, 3, 4]);
            remove(&cluster, 0, 2, true).await.expect("is forced");
            remove(&cluster, 3, 0, false)
                .await
                .expect("is decided by three of five");
            put(&cluster, 1, "won", "v", "").await;
            let payload = put(&cluster, 4, "lost", "v", "").await;
            heal(&cluster, &[0, 1]);
            // Before the sides meet and while they do, no answer may precede what the session saw.
            for _ in 0..200 {
                let reply = get(&cluster, 1, "lost", &payload).await;
                if is_missing(&reply) {
                    return Err("a session that saw the lost line was answered from before it".to_owned());
                }
                sleep(Duration::from_millis(5)).await;
            }
            until_whole(&cluster, MET).await?;
            finds_all(&cluster, &["before", "won", "lost"]).await
        })?;
    }
    Ok(())
}

/// Both sides force, and the losing line has advanced further.
pub(crate) fn both_sides_that_force() -> Seen {
    for seed in 1..=6 {
        simulate(async move {
            let mut cluster = SimCluster::serving(seed, 4, 2).await;
            put(&cluster, 0, "before", "v", "").await;
            cut(&cluster, &[0, 1], &[2, 3]);
            remove(&cluster, 0, 3, true).await.expect("is forced");
            remove(&cluster, 2, 1, true).await.expect("is forced");
            remove(&cluster, 2, 0, true).await.expect("is forced");
            put(&cluster, 0, "one", "v", "").await;
            put(&cluster, 2, "other", "v", "").await;
            // Both lines outlive their processes.
            for number in 0..4 {
                cluster.kill(number);
            }
            heal(&cluster, &[0, 1]);
            for number in 0..4 {
                cluster.start(number).await;
            }
            until_whole(&cluster, MET).await?;
            finds_all(&cluster, &["before", "one", "other"]).await
        })?;
    }
    Ok(())
}

/// Each of two nodes served alone and removed the other by force. A session that saw the losing line
/// waits for the node that returns its writes, even at nodes that had given that node up.
pub(crate) fn two_that_removed_each_other() -> Seen {
    for seed in 1..=6 {
        simulate(async move {
            let mut cluster = SimCluster::serving(seed, 2, 2).await;
            let old = put(&cluster, 0, "k", "old", "").await;
            cluster.kill(1);
            remove(&cluster, 0, 1, true).await.expect("is forced");
            let payload = put(&cluster, 0, "k", "new", &old).await;
            let payload = put(&cluster, 0, "other", "v", &payload).await;
            cluster.kill(0);
            cluster.start(1).await;
            let serves = || serve(&cluster, &[1], 1);
            cluster.until(LONG, "the other serves alone", serves).await;
            remove(&cluster, 1, 0, true).await.expect("is forced");
            cluster.start(0).await;
            // While the lines meet, and until everything is handed over.
            let reads = (0..2000).map(async |after_ms| {
                sleep(Duration::from_millis(after_ms)).await;
                (
                    get(&cluster, 1, "k", &payload).await,
                    get(&cluster, 1, "other", &payload).await,
                )
            });
            for (of_k, other) in join_all(reads).await {
                if found(&of_k) == Some("old") || is_missing(&of_k) || is_missing(&other) {
                    return Err(format!(
                        "answered from before what it has seen: {of_k:?}, {other:?}"
                    ));
                }
            }
            until_whole(&cluster, MET).await?;
            finds_all(&cluster, &["k", "other"]).await
        })?;
    }
    Ok(())
}

/// The payload of the lost line has no entries, and a write at the other one gives it a higher epoch.
pub(crate) fn a_payload_that_saw_both_lines() -> Seen {
    simulate(async {
        let cluster = SimCluster::serving(1, 4, 2).await;
        cluster.isolate(1);
        remove(&cluster, 1, 3, true).await.expect("is forced");
        remove(&cluster, 2, 1, false)
            .await
            .expect("is decided by three of four");
        let keys: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
        let mut payload = String::new();
        for key in &keys {
            payload = put(&cluster, 3, key, "v", &payload).await;
        }
        cluster.rejoin(1);
        let payload = put(&cluster, 1, "another", "v", &payload).await;
        for key in &keys {
            if is_missing(&get(&cluster, 1, key, &payload).await) {
                return Err(format!(
                    "{key} was seen on the lost line, and is answered as missing"
                ));
            }
        }
        until_whole(&cluster, MET).await
    })
}

/// All owners of a partition were on the losing line.
pub(crate) fn a_partition_that_was_on_the_lost_line() -> Seen {
    simulate(async {
        let cluster = SimCluster::serving(1, 6, 3).await;
        let keys: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
        for key in &keys {
            put(&cluster, 1, key, "old", "").await;
        }
        cut(&cluster, &[2, 3], &[0, 1, 4, 5]);
        remove(&cluster, 3, 0, true).await.expect("is forced");
        remove(&cluster, 1, 3, false)
            .await
            .expect("is decided by four of six");
        for key in &keys {
            put(&cluster, 1, key, "new", "").await;
        }
        heal(&cluster, &[2, 3]);
        until_whole(&cluster, MET).await?;
        for key in &keys {
            let reply = get(&cluster, 2, key, "").await;
            if found(&reply) != Some("new") {
                return Err(format!("{key}: {:?}", reply.outcome));
            }
        }
        Ok(())
    })
}

/// No life that the winning view lists is left to vote.
pub(crate) fn a_view_of_which_nobody_is_left() -> Seen {
    for seed in 1..=8 {
        simulate(async move {
            let mut cluster = SimCluster::new(seed, 4, 2);
            for number in [0, 2, 3] {
                cluster.start(number).await;
            }
            let serves = || serve(&cluster, &[0, 2, 3], 1);
            cluster.until(LONG, "three of four form a view", serves).await;
            cluster.isolate(0);
            remove(&cluster, 0, 3, true).await.expect("is forced");
            // Its own answer may be missing: the node leaves.
            let _ = remove(&cluster, 0, 0, true).await;
            let _ = remove(&cluster, 2, 0, true).await;
            cluster.rejoin(0);
            cluster.start(1).await;
            until_whole(&cluster, MET).await
        })?;
    }
    Ok(())
}
