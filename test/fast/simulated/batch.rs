//! Batches on a simulated cluster: their promises under cuts, with stale replicas, and with values too
//! large for any answer. Listings, tested next to them, make the same promises.

mod large;
mod listing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use causeway::names::{NodeId, PartitionId};
use causeway::node::{Done, Node, Refusal};
use causeway::protocol::causality::Payload;
use causeway::protocol::replication::Operation;
use tokio::time::Instant;

use crate::simulated::cluster::{REMOVE, SimCluster, SimNode};
use crate::simulated::{key, simulate};

fn put(name: &str, value: &str) -> Operation {
    Operation::Put {
        key: key(name),
        value: value.as_bytes().to_vec(),
    }
}

fn get(name: &str) -> Operation {
    Operation::Get { key: key(name) }
}

fn delete(name: &str) -> Operation {
    Operation::Delete { key: key(name) }
}

/// A result as text.
fn told(result: &Result<Done, Refusal>) -> String {
    match result {
        Ok(Done::Found(found)) => {
            String::from_utf8_lossy(found.record.value().expect("is found")).into_owned()
        }
        Ok(Done::Written(written)) => format!("written on {}", written.replicas),
        Err(Refusal::KeyNotFound { .. }) => "missing".into(),
        Err(other) => other.to_string(),
    }
}

fn syncs(cluster: &SimCluster) -> Vec<u64> {
    cluster.nodes.iter().map(|node| node.disk.syncs()).collect()
}

#[test]
fn each_operation_sees_those_before_it_on_its_partition() {
    for asked in 0..5 {
        let told = simulate(async move {
            let cluster = SimCluster::serving(1, 5, 2).await;
            let node = cluster.node(asked).expect("runs");
            let operations = vec![
                get("a"),
                put("a", "1"),
                get("a"),
                put("a", "2"),
                delete("a"),
                get("a"),
                delete("a"),
                put("a", "3"),
                get("a"),
            ];
            let done = node.requests.batch(operations, Payload::default()).await;
            let after = node.requests.get(&key("a"), done.payload).await;
            let mut told: Vec<String> = done.results.iter().map(told).collect();
            told.push(self::told(&after.map(Done::Found)));
            told
        });
        let written = "written on 2";
        let expected = [
            "missing", written, "1", written, written, "missing", "missing", written, "3", "3",
        ];
        assert_eq!(told, expected, "asked of node {asked}");
    }
}

#[test]
fn results_come_in_order_over_all_partitions_and_each_server_syncs_once() {
    let (told, grown, partitions) = simulate(async {
        let cluster = SimCluster::serving(2, 6, 2).await;
        let node = cluster.node(0).expect("runs");
        let before = syncs(&cluster);
        let writes = (0..60).map(|number| put(&format!("k{number}"), &number.to_string()));
        let written = node.requests.batch(writes.collect(), Payload::default()).await;
        let grown: Vec<u64> = syncs(&cluster)
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .collect();
        let partitions: BTreeSet<_> = written
            .results
            .iter()
            .map(|result| match result {
                Ok(Done::Written(written)) => written.partition,
                other => panic!("{other:?}"),
            })
            .collect();
        let reads = (0..60).rev().map(|number| get(&format!("k{number}")));
        let other = cluster.node(5).expect("runs");
        let read = other.requests.batch(reads.collect(), written.payload).await;
        (
            read.results.iter().map(told).collect::<Vec<_>>(),
            grown,
            partitions.len(),
        )
    });
    assert_eq!(
        told,
        (0..60).rev().map(|number| number.to_string()).collect::<Vec<_>>()
    );
    assert_eq!((grown, partitions), (vec![1; 6], 3));
}

#[test]
fn what_cannot_be_reached_is_refused_and_the_rest_is_done() {
    let (refused, done) = simulate(async {
        let mut cluster = SimCluster::serving(3, 2, 1).await;
        cluster.kill(1);
        let node = cluster.node(0).expect("runs");
        let writes = (0..20).map(|number| put(&format!("k{number}"), "v"));
        let results = node
            .requests
            .batch(writes.collect(), Payload::default())
            .await
            .results;
        let (done, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        (refused, done.len())
    });
    assert!(done > 0 && done + refused.len() == 20, "{done}, {refused:?}");
    let is_unavailable = |result: &Result<Done, Refusal>| matches!(result, Err(Refusal::Unavailable { .. }));
    assert!(refused.iter().all(is_unavailable), "{refused:?}");
}

/// A sibling that was frozen missed acknowledged writes. After it thaws, a client without a payload
/// still reads them there, and its next write there wins although that node's clock is behind.
#[test]
fn a_client_without_payload_reads_and_overwrites_what_was_answered_before() {
    simulate(async {
        let cluster = SimCluster::serving(7, 2, 2).await;
        let (one, other) = (cluster.node(0).expect("runs"), cluster.node(1).expect("runs"));
        cluster.nodes[1].world.set_offset_ms(-30_000);
        for round in 0..20 {
            let (key, value) = (key("k"), |who: &str| format!("{who} {round}").into_bytes());
            cluster.nodes[1].gate.freeze();
            let written = one.requests.put_recent(&key, value("one").into()).await;
            assert_eq!(written.expect("is taken").replicas, 1, "round {round}");
            cluster.nodes[1].gate.thaw();
            let found = other.requests.get_recent(&key).await.expect("is found");
            assert_eq!(found.record.value(), Some(value("one").as_slice()));
            let written = other.requests.put_recent(&key, value("other").into()).await;
            written.expect("is taken");
            let found = one.requests.get_recent(&key).await.expect("is found");
            assert_eq!(found.record.value(), Some(value("other").as_slice()));
        }
    });
}

/// Reads in a batch are like other reads: a reader that is told of a deletion depends on it.
#[test]
fn a_deletion_that_a_batch_shows_goes_with_its_reader() {
    simulate(async {
        let cluster = SimCluster::serving(8, 2, 2).await;
        let (writer, other) = (cluster.node(0).expect("runs"), cluster.node(1).expect("runs"));
        writer
            .requests
            .batch(vec![put("a", "1")], Payload::default())
            .await;
        cluster.isolate(1);
        let deleted = writer.requests.batch(vec![delete("a")], Payload::default()).await;
        assert_eq!(told(&deleted.results[0]), "written on 1");
        let seen = writer.requests.batch(vec![get("a")], Payload::default()).await;
        assert_eq!(told(&seen.results[0]), "missing");
        let stale = other.requests.get(&key("a"), seen.payload).await;
        assert!(matches!(stale, Err(Refusal::Behind { .. })), "{stale:?}");
    });
}

/// So are reads among writes: a replica that lacks a dependency of the client answers none of them.
#[test]
fn a_read_among_writes_is_not_answered_by_a_node_that_lacks_its_dependencies() {
    simulate(async {
        let cluster = SimCluster::serving(10, 2, 2).await;
        let (writer, other) = (cluster.node(0).expect("runs"), cluster.node(1).expect("runs"));
        writer
            .requests
            .batch(vec![put("a", "old")], Payload::default())
            .await;
        cluster.isolate(1);
        let written = writer
            .requests
            .batch(vec![put("a", "new")], Payload::default())
            .await;
        assert_eq!(told(&written.results[0]), "written on 1");
        let mixed = other
            .requests
            .batch(vec![put("b", "1"), get("a")], written.payload)
            .await;
        for result in &mixed.results {
            assert!(matches!(result, Err(Refusal::Behind { .. })), "{}", told(result));
        }
        let alone = other
            .requests
            .batch(vec![put("b", "1")], Payload::default())
            .await;
        let created = matches!(&alone.results[0], Ok(Done::Written(written)) if written.created);
        assert!(created, "none of it was done");
    });
}

/// Each read depends on those before it, so a replica that lacks what they showed does not answer it.
#[test]
fn a_node_that_owns_none_of_the_keys_has_them_read_together() {
    let (together, alone) = simulate(async {
        let cluster = SimCluster::serving(2, 3, 2).await;
        let partitions = cluster.node(0).expect("runs").status().partitions;
        let is_proxy = |node: &&SimNode| !partitions[0].contains(&node.id);
        let proxy = cluster.nodes.iter().find(is_proxy).expect("one of three");
        let proxy = by_id(&cluster, &proxy.id);
        let keys = 0..200;
        let writes = keys.clone().map(|number| put(&format!("k{number}"), "v"));
        proxy.requests.batch(writes.collect(), Payload::default()).await;
        let began = Instant::now();
        let alone = proxy.requests.get(&key("k0"), Payload::default()).await;
        alone.expect("is there");
        let alone = began.elapsed();
        let began = Instant::now();
        let reads = keys.map(|number| get(&format!("k{number}")));
        let read = proxy.requests.batch(reads.collect(), Payload::default()).await;
        assert!(read.results.iter().all(|result| told(result) == "v"));
        (began.elapsed(), alone)
    });
    assert!(together < 10 * alone, "{together:?} for all, {alone:?} for one");
}

#[test]
fn reads_in_a_batch_show_no_effect_without_its_cause() {
    simulate(async {
        let cluster = SimCluster::serving(11, 3, 2).await;
        let partitions = cluster.node(0).expect("runs").status().partitions;
        let [writer, behind] = &partitions[0][..] else {
            panic!("{partitions:?}");
        };
        cluster.network.cut(writer, behind);
        let is_proxy = |node: &&SimNode| !partitions[0].contains(&node.id);
        let proxy = cluster.nodes.iter().find(is_proxy).expect("one of three");
        let (writer, proxy) = (by_id(&cluster, writer), by_id(&cluster, &proxy.id));
        let cause = writer
            .requests
            .put(&key("cause"), "c".into(), Payload::default())
            .await;
        let payload = cause.expect("is taken").payload;
        writer
            .requests
            .put(&key("effect"), "e".into(), payload)
            .await
            .expect("is taken");
        let mut shown = 0;
        for _ in 0..20 {
            let read = proxy
                .requests
                .batch(vec![get("effect"), get("cause")], Payload::default());
            let told: Vec<String> = read.await.results.iter().map(told).collect();
            if told[0] == "e" {
                shown += 1;
                assert_eq!(told[1], "c");
            }
        }
        assert!(shown > 0, "nobody asked the one who has them");
    });
}

/// An operation on one partition depends on those on the partitions before it: a reader of its effect is
/// not told that the cause is missing.
#[test]
fn an_operation_depends_on_those_on_the_partitions_before_it() {
    simulate(async {
        let cluster = SimCluster::serving(12, 4, 2).await;
        let node = cluster.node(0).expect("runs");
        let partitions = node.status().partitions;
        let (first, second) = (one_key_of(node, 0).await, one_key_of(node, 1).await);
        let replicas: Vec<&Arc<Node>> = partitions
            .iter()
            .flatten()
            .map(|id| by_id(&cluster, id))
            .collect();
        let &[writer, behind, elsewhere, _] = &replicas[..] else {
            panic!("{partitions:?}");
        };
        cluster.network.cut(&partitions[0][0], &partitions[0][1]);
        let writes = writer.requests.batch(
            vec![put(&first, "cause"), put(&second, "effect")],
            Payload::default(),
        );
        assert!(writes.await.results.iter().all(Result::is_ok));
        let effect = elsewhere.requests.get(&key(&second), Payload::default()).await;
        let seen = effect.expect("is there").payload;
        // Only the replica that lacks it can be asked.
        for id in &partitions[1] {
            cluster.network.cut(id, &partitions[0][0]);
        }
        let cause = behind.requests.get(&key(&first), seen).await;
        assert!(matches!(cause, Err(Refusal::Behind { .. })), "{cause:?}");
    });
}

async fn one_key_of(node: &Node, partition: u32) -> String {
    for name in (0..100).map(|number| format!("k{number}")) {
        if let Err(Refusal::KeyNotFound { partition: of, .. }) =
            node.requests.get(&key(&name), Payload::default()).await
            && of == PartitionId(partition)
        {
            return name;
        }
    }
    unreachable!("it has half of all keys")
}

fn by_id<'c>(cluster: &'c SimCluster, id: &NodeId) -> &'c Arc<Node> {
    let node = cluster
        .nodes
        .iter()
        .find(|node| node.id == *id)
        .expect("is a node");
    node.running.as_ref().expect("runs")
}

/// A deletion is remembered for as long as a removed node may return older writes.
#[test]
fn a_deletion_outlives_a_removal_however_old_it_was() {
    let remembered = simulate(async {
        let mut cluster = SimCluster::new(9, 4, 3);
        cluster.limits.forget_after = Duration::from_secs(20);
        cluster.limits.clock_limit = Duration::from_millis(100);
        cluster.start_all().await;
        let node = cluster.node(1).expect("runs").clone();
        node.requests.batch(vec![put("k", "v")], Payload::default()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        // It never learns of the deletion, which is old when the node is removed.
        cluster.isolate(0);
        let deleted = node.requests.batch(vec![delete("k")], Payload::default()).await;
        assert_eq!(told(&deleted.results[0]), "written on 2");
        tokio::time::sleep(Duration::from_secs(21)).await;
        cluster.change_view(1, 0, REMOVE).await.expect("is removed");
        let mut remembered = Vec::new();
        for pause_s in [8, 22] {
            tokio::time::sleep(Duration::from_secs(pause_s)).await;
            remembered.push(cluster.nodes[1].disk.records().contains_key("k"));
        }
        remembered
    });
    assert_eq!(remembered, [true, false]);
}
