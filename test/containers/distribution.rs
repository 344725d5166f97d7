//! Tests the distribution of keys: even shares, K copies of each, every key through every node.

use std::collections::BTreeMap;
use std::thread;

use crate::cluster::Cluster;
use crate::patience::{HEALED, eventually};
use crate::plan::Plan;
use crate::support::request::Request;

/// Writes keys `k0` … through all nodes at once and returns each key's partition.
fn fill(cluster: &Cluster, keys: usize) -> BTreeMap<usize, i64> {
    const WRITERS: usize = 8;
    let write = |writer: usize| {
        let mine = (writer..keys).step_by(WRITERS);
        mine.map(|number| {
            let node = number % cluster.nodes.len();
            let reply = cluster.put(node, &format!("k{number}"), &format!("v{number}"), "");
            (number, reply.expect(201).number("partition_id"))
        })
        .collect::<Vec<_>>()
    };
    let mut placed = BTreeMap::new();
    thread::scope(|scope| {
        let write = &write;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write(writer)))
            .collect();
        for writer in writers {
            placed.extend(writer.join().expect("no write fails"));
        }
    });
    placed
}

#[test]
fn ten_thousand_keys_are_shared_evenly_by_four_partitions() {
    const KEYS: usize = 10_000;
    let cluster = Cluster::start_new(4, 1);
    let placed = fill(&cluster, KEYS);
    let mut shares = BTreeMap::<i64, usize>::new();
    for partition in placed.values() {
        *shares.entry(*partition).or_default() += 1;
    }
    assert_eq!(shares.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    let largest = shares.values().max().expect("four shares");
    assert!(largest * 4 * 100 <= KEYS * 110, "{shares:?}");
}

#[test]
fn every_key_has_its_copies_on_its_partition_and_nowhere_else() {
    const KEYS: usize = 1000;
    let cluster = Plan::new(7, 3).start();
    let placed = fill(&cluster, KEYS);
    for (number, partition) in &placed {
        let node = (number * 5) % 7;
        let read = cluster.get(node, &format!("k{number}"), "").expect(200);
        assert_eq!(read.text("value"), format!("v{number}"));
        assert_eq!(read.number("partition_id"), *partition);
    }
    for partition in 0..2 {
        let expected = placed.values().filter(|id| **id == partition).count();
        let members = cluster.members(6, partition);
        assert_eq!(members.len(), 3);
        for member in members {
            holds(&cluster, member, expected);
        }
    }
    holds(&cluster, 6, 0);
}

fn holds(cluster: &Cluster, node: usize, keys: usize) {
    eventually(HEALED, &format!("n{} holds {keys} keys", node + 1), || {
        let held = cluster.send(node, Request::new("GET", "/status"));
        match held.number("keys") == i64::try_from(keys).expect("a small number") {
            true => Ok(()),
            false => Err(held.to_string()),
        }
    });
}
