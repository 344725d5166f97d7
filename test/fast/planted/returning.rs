//! Schedules of nodes that are removed while they are cut off, and come back with what they have.

use std::time::Duration;

use causeway::node::{RequestKind, ViewRequest};
use tokio::time::sleep;

use super::Seen;
use super::schedules::{LONG, found, operate, put, serve, serving_with};
use crate::support::history::{Action, Outcome};
use crate::support::simulated::cluster::SimCluster;
use crate::support::simulated::simulate;

/// n0 has a key that is deleted while it is away, and comes back when the deletion is forgotten.
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

/// Removes a node that nobody reaches, and waits until the others serve without it.
pub(super) async fn remove(cluster: &SimCluster, via: usize, node: usize) {
    let request = ViewRequest {
        node: cluster.nodes[node].id.clone(),
        kind: RequestKind::Remove { force: false },
        dry_run: false,
    };
    let asked = cluster.node(via).expect("runs").change_view(request).await;
    assert!(asked.is_ok(), "the others remove one that is cut off: {asked:?}");
    let others: Vec<usize> = (0..cluster.nodes.len()).filter(|other| *other != node).collect();
    cluster
        .until(LONG, "the others serve", || serve(cluster, &others, 2))
        .await;
}
