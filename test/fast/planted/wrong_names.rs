//! Schedules of nodes that are started with another's name.

use tokio::time::sleep;

use super::Seen;
use super::schedules::{LONG, found, operate, serve};
use crate::support::history::{Action, Outcome};
use crate::support::simulated::cluster::SimCluster;
use crate::support::simulated::simulate;

/// n3 is started with n2's name, until its operator sees it; each key is written once meanwhile.
pub(crate) fn a_node_with_anothers_name() -> Seen {
    simulate(async {
        let mut cluster = SimCluster::new(1, 4, 2);
        for number in 0..3 {
            cluster.start(number).await;
        }
        let starting = cluster.starting_as(3, 2);
        let running = starting.await;
        cluster.started(3, running);
        cluster
            .until(LONG, "the first two serve", || serve(&cluster, &[0, 1], 1))
            .await;
        let mut written = Vec::new();
        for number in 0..20 {
            let key = format!("k{number}");
            let put = operate(&cluster, 0, &key, Action::Put("v".to_owned()), "").await;
            if let Outcome::Ok(_) = put.outcome {
                written.push(key);
            }
        }
        cluster.kill(3);
        cluster.start(3).await;
        sleep(LONG).await;
        for key in &written {
            for node in 0..4 {
                let read = operate(&cluster, node, key, Action::Get, "").await;
                if found(&read) != Some("v") {
                    let outcome = read.outcome;
                    return Err(format!(
                        "{key}, which was acknowledged, is {outcome:?} at n{node}"
                    ));
                }
            }
        }
        match written.len() {
            20 => Ok(()),
            some => Err(format!("only {some} of 20 writes were taken")),
        }
    })
}
