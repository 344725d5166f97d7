//! Schedules of nodes that are started under another node's name.

use tokio::time::sleep;

use super::Seen;
use super::lines::remove;
use super::schedules::{LONG, found, put, serve};
use crate::simulated::cluster::SimCluster;
use crate::simulated::requests::operate;
use crate::simulated::simulate;
use crate::support::history::{Action, Outcome};

/// n1 is started under n0's name, which as the smallest of two may serve alone. A client writes at each.
pub(crate) fn two_with_one_name() -> Seen {
    simulate(async {
        let mut cluster = SimCluster::new(1, 2, 2);
        cluster.start(0).await;
        let running = cluster.starting_as(1, 0).await;
        cluster.started(1, running);
        cluster
            .until(LONG, "n0 serves", || serve(&cluster, &[0], 1))
            .await;
        // If n1 serves too, it does so by now.
        sleep(LONG / 5).await;
        for node in [0, 1] {
            let key = format!("k{node}");
            let put = operate(&cluster, node, &key, Action::Put("v".to_owned()), "").await;
            let read = operate(&cluster, 0, &key, Action::Get, "").await;
            if matches!(put.outcome, Outcome::Ok(_)) && found(&read) != Some("v") {
                let outcome = read.outcome;
                return Err(format!("a write that n{node} acknowledged is {outcome:?} at n0"));
            }
        }
        cluster.kill(1);
        cluster.start(1).await;
        cluster
            .until(LONG, "both serve", || serve(&cluster, &[0, 1], 1))
            .await;
        match found(&operate(&cluster, 1, "k0", Action::Get, "").await) {
            Some("v") => Ok(()),
            other => Err(format!("a write of n0 is {other:?} at n1")),
        }
    })
}

/// n2 is started under n1's name. n1 is the last member of its view, and dead for a while. A process
/// under its name without its disk does not mean that the disk is lost.
pub(crate) fn a_last_member_whose_name_another_has() -> Seen {
    simulate(async {
        let mut cluster = SimCluster::new(1, 3, 1);
        cluster.start(0).await;
        cluster.start(1).await;
        let running = cluster.starting_as(2, 1).await;
        cluster.started(2, running);
        let serve_both = || serve(&cluster, &[0, 1], 1);
        cluster.until(LONG, "two of three form a view", serve_both).await;
        remove(&cluster, 1, 2, true).await.expect("is decided");
        remove(&cluster, 1, 0, false).await.expect("is decided");
        put(&cluster, 1, "k", "v", "").await;
        sleep(LONG / 5).await;
        cluster.kill(1);
        // Long enough to ask and to decide.
        sleep(LONG / 2).await;
        if cluster.node(2).expect("runs").status().ready {
            return Err("a process serves in place of the member whose name it has".to_owned());
        }
        // Under its own name it has a data directory of its own.
        cluster.kill(2);
        cluster.start(2).await;
        cluster.start(1).await;
        cluster
            .until(LONG, "n1 serves", || serve(&cluster, &[1], 1))
            .await;
        match found(&operate(&cluster, 1, "k", Action::Get, "").await) {
            Some("v") => Ok(()),
            other => Err(format!("a write of n1 is {other:?}")),
        }
    })
}
