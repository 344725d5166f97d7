//! Breaks off transfers in pieces and retries at every point in time: no part counts as the whole, and
//! nothing is done twice.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use causeway::names::{Key, PartitionId};
use causeway::node::{Node, Refusal};
use causeway::protocol::causality::Payload;
use tokio::time::{Instant, sleep};

use crate::simulated::cluster::{REMOVE, SimCluster};
use crate::simulated::{key, simulate};

/// A restarted node serves within this time.
const RECOVERED: Duration = Duration::from_secs(30);

/// More than one page can hold, several times over.
const LARGE: usize = 100_000;
const LARGE_KEYS: usize = 20;

async fn value(node: &Node, key: &Key, payload: &Payload) -> Result<Vec<u8>, Refusal> {
    let found = node.requests.get(key, payload.clone()).await?;
    Ok(found.record.value().expect("is found").to_vec())
}

/// Writes large values, each depending on those before it. Returns their keys and the last payload.
async fn fill(node: &Node) -> (Vec<Key>, Payload) {
    let keys: Vec<Key> = (0..LARGE_KEYS).map(|number| key(&format!("k{number}"))).collect();
    let mut payload = Payload::default();
    for key in &keys {
        let large = Bytes::from(vec![b'v'; LARGE]);
        let written = node.requests.put(key, large, payload).await;
        payload = written.expect("is taken").payload;
    }
    (keys, payload)
}

/// The second node removes the first.
async fn remove_first(cluster: &SimCluster) {
    cluster.change_view(1, 0, REMOVE).await.expect("is removed");
}

/// How many keys a replica has that missed them all, was reachable for this long, and was cut off again.
/// The reader depends on all of them, so the replica may not call those missing that it lacks.
fn exchanged_within(reached: Duration) -> usize {
    simulate(async move {
        let cluster = SimCluster::serving(1, 2, 2).await;
        cluster.isolate(1);
        let (keys, payload) = fill(cluster.node(0).expect("runs")).await;
        cluster.rejoin(1);
        sleep(reached).await;
        cluster.isolate(1);
        let behind = cluster.node(1).expect("runs");
        let mut found = 0;
        for key in &keys {
            match value(behind, key, &payload).await {
                Ok(_) => found += 1,
                Err(Refusal::Behind { .. }) => {}
                Err(other) => panic!("{key}, reached for {reached:?}: {other}"),
            }
        }
        found
    })
}

/// Breaks off a transfer at every point in time until it is complete. `run` returns how many keys have
/// arrived.
fn break_off(run: impl Fn(Duration) -> usize) {
    let coarse = Duration::from_millis(20);
    let whole = (1..500).find(|steps| run(coarse * *steps) == LARGE_KEYS);
    let whole = coarse * whole.expect("takes seconds");
    let fine = Duration::from_micros(200);
    let arrived: BTreeSet<usize> = (0..150)
        .map(|steps| run(whole.saturating_sub(fine * steps)))
        .collect();
    assert!(arrived.len() > 1, "only {arrived:?}");
}

#[test]
fn an_exchange_that_breaks_off_between_two_pages_promises_nothing() {
    break_off(exchanged_within);
}

/// How many keys a removed node returned that was reachable for this long. Each depends on those before
/// it, so a reader that saw one may not be told that an earlier one is missing.
fn returned_within(reached: Duration) -> usize {
    simulate(async move {
        let mut cluster = SimCluster::new(2, 4, 3);
        // Readers wait for keys that are still to come; here they need not wait long.
        cluster.limits.causal_wait = Duration::from_millis(50);
        cluster.start_all().await;
        cluster.isolate(0);
        let (keys, _) = fill(cluster.node(0).expect("runs")).await;
        remove_first(&cluster).await;
        cluster.rejoin(0);
        sleep(reached).await;
        cluster.isolate(0);
        let owner = cluster.node(1).expect("runs");
        let mut returned = 0;
        for (at, key) in keys.iter().enumerate() {
            let Ok(found) = owner.requests.get(key, Payload::default()).await else {
                continue;
            };
            returned += 1;
            for earlier in &keys[..at] {
                match value(owner, earlier, &found.payload).await {
                    Ok(_) => {}
                    Err(Refusal::Behind { .. }) => break,
                    told => panic!("{earlier} before {key}, reached for {reached:?}: {told:?}"),
                }
            }
        }
        cluster.rejoin(0);
        let stored = || {
            let records = cluster.nodes[1].disk.records();
            keys.iter().all(|key| records.contains_key(key.as_str()))
        };
        let patience = Duration::from_secs(30);
        cluster
            .until(patience, "the rest comes when it is reached again", stored)
            .await;
        returned
    })
}

#[test]
fn a_return_that_breaks_off_between_two_pages_promises_nothing() {
    break_off(returned_within);
}

/// A node that was removed while it was cut off returns its writes. As long as only one owner has them,
/// that owner's disk may be lost.
#[test]
fn what_one_owner_alone_has_taken_back_is_still_kept() {
    simulate(async {
        let mut cluster = SimCluster::serving(3, 4, 3).await;
        cluster.isolate(0);
        let removed = cluster.node(0).expect("runs");
        let written = removed
            .requests
            .put(&key("k"), "v".into(), Payload::default())
            .await;
        assert_eq!(written.expect("any replica takes it").replicas, 1);
        remove_first(&cluster).await;
        // The others close the epochs that it knows: it returns its writes as new ones.
        sleep(Duration::from_secs(5)).await;
        cluster.isolate(1);
        cluster
            .network
            .heal_link(&cluster.nodes[0].id, &cluster.nodes[1].id);
        let has_it = |number: usize| cluster.nodes[number].disk.records().contains_key("k");
        let patience = Duration::from_secs(30);
        cluster
            .until(patience, "the owner that is reached has it", || has_it(1))
            .await;
        // By then the removed node has done whatever it does about it.
        sleep(Duration::from_secs(5)).await;
        // Frames on their way to the others are lost with the streams.
        for other in [2, 3] {
            let ids = [&cluster.nodes[1].id, &cluster.nodes[other].id];
            cluster.network.break_streams(ids[0], ids[1]);
        }
        sleep(Duration::from_millis(1)).await;
        cluster.wipe(1);
        cluster.network.heal();
        cluster.start(1).await;
        let has_it = |number: usize| cluster.nodes[number].disk.records().contains_key("k");
        let all_have_it = || (1..4).all(has_it);
        cluster.until(patience, "all owners have it", all_have_it).await;
    });
}

/// The outcome of a forwarded write whose owner's answers are lost from this time on, and which is then
/// restarted: whether the writer knows, and what is stored after a reader saw the write and overwrote
/// it. `None` if no reader could see it.
fn overwritten_after_restart(silent_after: Duration) -> Option<(bool, Vec<u8>)> {
    simulate(async move {
        let mut cluster = SimCluster::serving(1, 2, 1).await;
        let forwarder = cluster.node(1).expect("runs").clone();
        let key = key_of_the_first(&cluster).await;
        let restart = async {
            let ids = [cluster.nodes[0].id.clone(), cluster.nodes[1].id.clone()];
            sleep(silent_after).await;
            cluster.network.cut_one_way(&ids[0], &ids[1]);
            sleep(Duration::from_millis(5)).await;
            // Frames in flight behind the cut are lost with the stream.
            cluster.network.break_streams(&ids[0], &ids[1]);
            sleep(Duration::from_millis(1)).await;
            cluster.kill(0);
            cluster.start(0).await;
            cluster.network.heal();
            let owner = cluster.node(0).expect("runs").clone();
            // Before the writer reaches the owner again, if possible.
            let began = Instant::now();
            let found = loop {
                assert!(began.elapsed() < RECOVERED, "a restarted owner does not serve");
                match owner.requests.get(&key, Payload::default()).await {
                    Ok(found) => break found,
                    Err(Refusal::KeyNotFound { .. }) => return None,
                    Err(_) => sleep(Duration::from_millis(1)).await,
                }
            };
            owner
                .requests
                .put(&key, "later".into(), found.payload)
                .await
                .expect("is taken");
            Some(owner)
        };
        let writing = forwarder.requests.put(&key, "earlier".into(), Payload::default());
        let (written, owner) = tokio::join!(writing, restart);
        let stored = value(&*owner?, &key, &Payload::default()).await;
        Some((written.is_ok(), stored.expect("is found")))
    })
}

/// A key of the partition that only node 0 has.
async fn key_of_the_first(cluster: &SimCluster) -> Key {
    let node = cluster.node(0).expect("runs");
    let partitions = node.status().partitions;
    let own = PartitionId(if partitions[0].contains(&cluster.nodes[0].id) {
        0
    } else {
        1
    });
    for key in (0..100).map(|number| key(&format!("k{number}"))) {
        if let Err(Refusal::KeyNotFound { partition, .. }) = node.requests.get(&key, Payload::default()).await
            && partition == own
        {
            return key;
        }
    }
    unreachable!("it has half of all keys")
}

#[test]
fn a_write_is_not_handed_again_to_an_owner_that_was_restarted() {
    let step = Duration::from_micros(100);
    let ends = (0..30).filter_map(|steps| overwritten_after_restart(step * steps));
    let ends: Vec<(bool, Vec<u8>)> = ends.collect();
    for (_, stored) in &ends {
        assert_eq!(String::from_utf8_lossy(stored), "later");
    }
    let unknown = ends.iter().filter(|(is_known, _)| !is_known);
    assert!(unknown.count() > 0, "none was stored and not answered");
}
