//! Long answers on the streams between nodes: what clients notice when one breaks the stream.

use std::time::Duration;

use causeway::node::{Done, Refusal};
use causeway::protocol::causality::Payload;
use causeway::protocol::replication::Operation;

use super::Seen;
use super::schedules::{LONG, serve, serving};
use crate::simulated::cluster::SimCluster;
use crate::simulated::large::{names_in_one_slot, value};
use crate::simulated::{key, simulate};

const MIB: usize = 1024 * 1024;

async fn store(cluster: &SimCluster, name: &str) {
    let put = Operation::Put {
        key: key(name),
        value: value(name, 1, MIB),
    };
    let node = cluster.node(0).expect("runs");
    let done = node.requests.batch(vec![put], Payload::default()).await;
    assert!(done.results[0].is_ok(), "{:?}", done.results);
}

fn get(name: &str) -> Operation {
    let key = key(name);
    Operation::Get { key }
}

/// A client asks a node that owns nothing for a write and for more than a frame holds, while another
/// client of that node reads.
pub(crate) fn a_batch_with_a_long_answer() -> Seen {
    simulate(async {
        let cluster = serving(1, 3, 2, &[0, 1, 2]).await;
        store(&cluster, "big").await;
        let proxy = cluster.node(2).expect("runs");
        let mut operations = vec![get("big"); 20];
        let (key, value) = (key("k"), b"v".to_vec());
        operations.push(Operation::Put { key, value });
        let done = proxy.requests.batch(operations, Payload::default()).await;
        match done.results.last() {
            Some(Ok(Done::Written(_))) => {}
            other => return Err(format!("a write beside long reads came to {other:?}")),
        }
        match &done.results[..20] {
            [Ok(Done::Found(_)), .., Err(Refusal::AnswerTooLarge)] => {}
            other => return Err(format!("reads of long values came to {other:?}")),
        }
        match cluster.network.overlong() {
            0 => Ok(()),
            broken => Err(format!("{broken} streams broke")),
        }
    })
}

/// A newcomer copies a slot that is longer than a frame, and so are its records.
pub(crate) fn a_slot_that_is_longer_than_a_frame() -> Seen {
    simulate(async {
        let mut cluster = serving(1, 3, 3, &[0, 1]).await;
        let names = names_in_one_slot(6);
        for name in &names {
            store(&cluster, name).await;
        }
        cluster.start(2).await;
        let deadline = tokio::time::Instant::now() + LONG;
        while !serve(&cluster, &[2], 2) {
            if tokio::time::Instant::now() > deadline {
                return Err("a newcomer never gets what is longer than a frame".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        match cluster.network.overlong() {
            0 => Ok(()),
            broken => Err(format!("{broken} streams broke")),
        }
    })
}
