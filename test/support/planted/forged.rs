//! Schedules with a client that forges payloads: what it stores must not harm readers of it.

use std::time::Duration;

use causeway::names::{Dot, Epoch, Log, Member, MemberId};
use causeway::protocol::causality::{ClusterTag, Payload, Record, Timestamp, VersionVector};
use causeway::store::{Batch, Engine};
use tokio::time::sleep;

use super::Seen;
use super::schedules::{LONG, found, put, serve, serving};
use crate::simulated::cluster::SimCluster;
use crate::simulated::fault::Fault;
use crate::simulated::requests::operate;
use crate::simulated::{key, simulate};
use crate::support::history::{Action, Outcome, Reply};

/// More than any node has written here.
const TOO_HIGH: u64 = 1_000_000;

const FAR_EPOCH: Epoch = Epoch(1_000_000_000_000_000);

fn member(cluster: &SimCluster, node: usize) -> MemberId {
    let status = cluster.node(node).expect("runs").status();
    let (node, incarnation) = (status.node, status.incarnation);
    Member { node, incarnation }.id()
}

fn entry(epoch: Epoch, member: MemberId, number: u64) -> Dot {
    Dot {
        log: Log { epoch, member },
        number,
    }
}

fn text(cluster: &SimCluster, epoch: Epoch, entries: impl IntoIterator<Item = Dot>) -> String {
    let status = cluster.node(0).expect("runs").status();
    let payload = Payload {
        epoch,
        timestamp: Timestamp::ZERO,
        entries: entries.into_iter().collect(),
    };
    payload.to_text(ClusterTag::from(status.cluster.expect("serves")))
}

async fn get(cluster: &SimCluster, node: usize, key: &str, payload: &str) -> Reply {
    operate(cluster, node, key, Action::Get, payload).await
}

/// A client reads `key` and takes the payload on to `other`.
async fn reads_both(cluster: &SimCluster, key: &str, other: &str) -> Seen {
    for node in 0..cluster.nodes.len() {
        let first = get(cluster, node, key, "").await;
        if found(&first).is_none() {
            return Err(format!("{key} is not read: {:?}", first.outcome));
        }
        let second = get(cluster, node, other, &first.payload).await;
        if found(&second).is_none() {
            return Err(format!(
                "a reader of {key} cannot read {other}: {:?}",
                second.outcome
            ));
        }
    }
    Ok(())
}

/// mallory claims more writes of n0 than exist, and as many unknown logs as fit. Others read what it
/// wrote.
pub(crate) fn a_write_with_a_forged_payload() -> Seen {
    simulate(async {
        let cluster = serving(1, 2, 2, &[0, 1]).await;
        for key in ["k", "other"] {
            put(&cluster, 0, key, "v", "").await;
        }
        let first = Epoch(1);
        let claims = [
            text(&cluster, first, [entry(first, member(&cluster, 0), TOO_HIGH)]),
            text(&cluster, first, [entry(first, member(&cluster, 1), u64::MAX)]),
            text(
                &cluster,
                first,
                (0..16_384).map(|number| entry(first, MemberId(number), 1)),
            ),
            text(&cluster, first, [entry(FAR_EPOCH, member(&cluster, 0), 1)]),
        ];
        for (number, claim) in claims.iter().enumerate() {
            for node in 0..2 {
                let value = format!("forged {number} at {node}");
                operate(&cluster, node, "k", Action::Put(value), claim).await;
                reads_both(&cluster, "k", "other").await?;
            }
        }
        Ok(())
    })
}

/// An earlier version left a record on both disks whose dependencies no view allows.
pub(crate) fn a_forged_record_on_disk() -> Seen {
    simulate(async {
        let mut cluster = serving(1, 2, 2, &[0, 1]).await;
        for key in ["k", "other"] {
            put(&cluster, 0, key, "v", "").await;
        }
        let first = Epoch(1);
        let own = member(&cluster, 0);
        let strangers = (0..1000).map(|number| entry(first, MemberId(number), 1));
        let forged: VersionVector = strangers.chain([entry(FAR_EPOCH, own, 1)]).collect();
        for number in 0..2 {
            cluster.kill(number);
            poison(&cluster, number, &forged).await;
        }
        for number in 0..2 {
            cluster.start(number).await;
        }
        cluster
            .until(LONG, "both serve", || serve(&cluster, &[0, 1], 1))
            .await;
        reads_both(&cluster, "k", "other").await?;
        let told = get(&cluster, 1, "k", "").await;
        if told.payload.len() > 100 {
            return Err(format!(
                "a payload of {} characters was answered",
                told.payload.len()
            ));
        }
        Ok(())
    })
}

/// Gives the record of `k` dependencies that its writer did not have.
async fn poison(cluster: &SimCluster, number: usize, dependencies: &VersionVector) {
    let disk = &cluster.nodes[number].disk;
    let stored = disk.records()["k"].clone();
    let key = key("k");
    let record = Record::new(
        &key,
        stored.value(),
        stored.dot(),
        stored.timestamp(),
        dependencies,
    );
    let batch = Batch {
        records: vec![record],
        ..Batch::default()
    };
    disk.commit(&batch).await.expect("the disk is well");
}

/// Every member says that no such epoch exists, so no request need wait for it.
pub(crate) fn a_payload_of_an_epoch_that_nobody_knows() -> Seen {
    simulate(async {
        let cluster = serving(1, 3, 2, &[0, 1, 2]).await;
        put(&cluster, 0, "k", "v", "").await;
        let claim = text(&cluster, FAR_EPOCH, []);
        for node in 0..3 {
            for action in [Action::Get, Action::Put("w".to_owned()), Action::Delete] {
                let reply = operate(&cluster, node, "k", action.clone(), &claim).await;
                match &reply.outcome {
                    Outcome::Refused(reason) if reason.contains("no node of the view knows") => {}
                    other => return Err(format!("{action:?} at node {node}: {other:?}")),
                }
            }
        }
        Ok(())
    })
}

/// n1 cannot refute a claim about its log, so the write is accepted. Its reader waits until n1 is
/// reachable, and then gets an answer. Later readers are not affected.
pub(crate) fn a_claim_about_a_member_that_was_cut_off() -> Seen {
    simulate(async {
        let mut cluster = serving(1, 2, 2, &[0, 1]).await;
        put(&cluster, 0, "other", "v", "").await;
        cluster.suffer(Fault::Isolate(1));
        sleep(Duration::from_secs(1)).await;
        let first = Epoch(1);
        let claim = text(&cluster, first, [entry(first, member(&cluster, 1), TOO_HIGH)]);
        put(&cluster, 0, "k", "forged", &claim).await;
        let reader = get(&cluster, 0, "k", "").await;
        if found(&reader).is_some() {
            let early = get(&cluster, 0, "other", &reader.payload).await;
            if found(&early).is_some() {
                return Err("a claim counted as covered while nobody could deny it".to_owned());
            }
        }
        cluster.suffer(Fault::Rejoin(1));
        sleep(Duration::from_secs(5)).await;
        let late = get(&cluster, 0, "other", &reader.payload).await;
        if found(&late).is_none() {
            return Err(format!("an honest reader is refused: {:?}", late.outcome));
        }
        reads_both(&cluster, "k", "other").await
    })
}
