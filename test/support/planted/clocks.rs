//! Schedules in which clocks are set wrong and corrected while a removed node is unreachable.

use std::time::Duration;

use causeway::node::{Refusal, World};
use tokio::time::sleep;

use super::Seen;
use super::returning::remove;
use super::schedules::{LONG, found, put, serving, serving_with};
use crate::simulated::cluster::SimCluster;
use crate::simulated::fault::Fault;
use crate::simulated::requests::operate;
use crate::simulated::simulate;
use crate::support::history::{Action, Outcome};

const DAY_MS: i64 = 86_400_000;

/// n0 is cut off with a key that the others delete and one that only n0 has, and is removed.
async fn removed_with_a_write() -> SimCluster {
    let mut cluster = SimCluster::new(1, 4, 3);
    cluster.limits.forget_after = Duration::from_secs(40);
    cluster.limits.clock_limit = Duration::from_secs(2);
    serving_with(&mut cluster, &[0, 1, 2, 3]).await;
    put(&cluster, 0, "deleted", "v", "").await;
    sleep(Duration::from_secs(1)).await;
    cluster.isolate(0);
    put(&cluster, 0, "mine", "v", "").await;
    remove(&cluster, 1, 0).await;
    let deleted = operate(&cluster, 1, "deleted", Action::Delete, "").await;
    assert!(
        matches!(deleted.outcome, Outcome::Ok(_)),
        "a deletion: {deleted:?}"
    );
    cluster
}

/// n0 returns in time by the true clock: its write comes back, and the deleted key does not.
async fn comes_back(cluster: &SimCluster) -> Seen {
    let deadline = tokio::time::Instant::now() + LONG;
    while found(&operate(cluster, 1, "mine", Action::Get, "").await).is_none() {
        if tokio::time::Instant::now() > deadline {
            return Err("what a removed node brought back in time was refused".to_owned());
        }
        sleep(Duration::from_millis(100)).await;
    }
    match found(&operate(cluster, 1, "deleted", Action::Get, "").await) {
        None => Ok(()),
        Some(_) => Err("a deleted key came back".to_owned()),
    }
}

/// All clocks are days ahead for a while: by those clocks the tombstone is old.
pub(crate) fn all_clocks_ahead_while_a_removed_node_is_away() -> Seen {
    simulate(async {
        let mut cluster = removed_with_a_write().await;
        cluster.suffer(Fault::Clocks(2 * DAY_MS));
        // Expired tombstones are looked for every ten seconds.
        sleep(Duration::from_secs(12)).await;
        cluster.suffer(Fault::Clocks(0));
        sleep(Duration::from_secs(1)).await;
        cluster.rejoin(0);
        comes_back(&cluster).await
    })
}

/// n0 returns while all clocks are days ahead: by those clocks it is late.
pub(crate) fn a_removed_node_returns_while_all_clocks_are_ahead() -> Seen {
    simulate(async {
        let mut cluster = removed_with_a_write().await;
        cluster.suffer(Fault::Clocks(2 * DAY_MS));
        cluster.rejoin(0);
        sleep(Duration::from_secs(6)).await;
        let told = cluster.node(0).expect("runs").status().waiting_for;
        if told == Some(Refusal::RemovedLongAgo) {
            return Err("what a removed node brings back in time is refused for good".to_owned());
        }
        cluster.suffer(Fault::Clocks(0));
        comes_back(&cluster).await
    })
}

/// One clock of three is a year ahead, and its node takes a write.
pub(crate) fn a_write_at_the_one_that_is_a_year_ahead() -> Seen {
    simulate(async {
        let mut cluster = serving(1, 3, 3, &[0, 1, 2]).await;
        cluster.suffer(Fault::Clock(0, 365 * DAY_MS));
        sleep(Duration::from_secs(1)).await;
        put(&cluster, 0, "k", "v", "").await;
        sleep(Duration::from_secs(1)).await;
        let ahead_ms = cluster.node(1).expect("runs").clock_now().wall_ms();
        let ahead_ms = ahead_ms.saturating_sub(cluster.nodes[1].world.wall_ms());
        if ahead_ms > 3_600_000 {
            return Err(format!(
                "the wrong clock of one is everybody's: {ahead_ms} ms ahead"
            ));
        }
        Ok(())
    })
}

/// A lone node's clock is a day ahead for one write, and is then corrected.
pub(crate) fn a_payload_of_a_clock_that_was_ahead() -> Seen {
    simulate(async {
        let mut cluster = SimCluster::new(1, 1, 1);
        cluster.suffer(Fault::Clock(0, DAY_MS));
        serving_with(&mut cluster, &[0]).await;
        let payload = put(&cluster, 0, "k", "v", "").await;
        cluster.suffer(Fault::Clock(0, 0));
        match operate(&cluster, 0, "k", Action::Get, &payload).await.outcome {
            Outcome::Ok(_) => Ok(()),
            other => Err(format!("the node refused its own payload: {other:?}")),
        }
    })
}
