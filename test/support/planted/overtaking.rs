//! Schedules in which one stream overtakes another between the same two nodes: an exchange is answered
//! on the stream of the node that asked, pushes come on the other's.

use std::time::Duration;

use tokio::time::timeout;

use super::Seen;
use super::schedules::{put, serving};
use crate::simulated::cluster::SimCluster;
use crate::simulated::fault::Fault;
use crate::simulated::requests::operate;
use crate::simulated::simulate;
use crate::support::history::{Action, Answer, Outcome};

/// n1 refused a write and asks for it. Once n0 has answered, n1 counts as in step, and the next push
/// overtakes the answer.
pub(crate) fn a_push_that_overtakes_an_exchange() -> Seen {
    (1..=10).try_for_each(|seed| simulate(push_that_overtakes(seed)))
}

async fn push_that_overtakes(seed: u64) -> Seen {
    let mut cluster = serving(seed, 2, 2, &[0, 1]).await;
    // The push of this write is refused, and its stream stays open.
    cluster.suffer(Fault::DiskFull(1, true));
    let payload = put(&cluster, 0, "k", "v", "").await;
    cluster.suffer(Fault::Slow(0, 1, 200));
    cluster.suffer(Fault::DiskFull(1, false));
    for number in 0..200 {
        begin_put(&cluster, 0, "other", number).await;
        let read = operate(&cluster, 1, "k", Action::Get, &payload);
        if let Ok(reply) = timeout(Duration::from_millis(2), read).await
            && reply.outcome == Outcome::Ok(Answer::NotFound)
        {
            return Err("a reader was told that there is nothing where it depends on a write".to_owned());
        }
    }
    Ok(())
}

/// Sends a write and does not wait for its siblings' acknowledgements.
async fn begin_put(cluster: &SimCluster, node: usize, key: &str, number: u32) {
    let write = operate(cluster, node, key, Action::Put(number.to_string()), "");
    let _ = timeout(Duration::from_millis(5), write).await;
}
