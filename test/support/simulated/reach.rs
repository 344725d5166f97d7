//! Tracks which processes reach each other, and since when: the judge of registers needs it.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::SimCluster;

/// Updated after every fault, so that it has the time of each change.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Since when a process runs and is not frozen.
    awake_us: BTreeMap<usize, u64>,
    /// Since when the second process is awake and the link between the two is whole. (The first may be
    /// frozen: requests to it wait meanwhile.)
    reached_us: BTreeMap<(usize, usize), u64>,
    changed_us: u64,
}

impl Reach {
    pub(super) fn look(&mut self, cluster: &SimCluster) {
        let now_us = cluster.now_us();
        let count = cluster.nodes.len();
        let is_awake = |number: usize| {
            let node = &cluster.nodes[number];
            node.running.is_some() && !node.gate.is_frozen()
        };
        let awake = (0..count).filter(|number| is_awake(*number)).collect();
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        let reached = pairs.filter(|(from, to)| {
            let [from_id, to_id] = [from, to].map(|number| &cluster.nodes[*number].id);
            is_awake(*to) && from != to && cluster.network.is_whole(from_id, to_id)
        });
        let changes = [
            keep(&mut self.awake_us, awake, now_us),
            keep(&mut self.reached_us, reached.collect(), now_us),
        ];
        if changes.contains(&true) {
            self.changed_us = now_us;
        }
    }

    /// Streams broke: requests over them must be repeated.
    pub(super) fn interrupted(&mut self, now_us: u64) {
        self.changed_us = now_us;
    }

    /// The processes that `from` has reached since `start_us`, itself included.
    pub(super) fn since(&self, from: usize, start_us: u64) -> BTreeSet<usize> {
        let reached = self.reached_us.iter();
        let reached = reached.filter(|((by, _), since_us)| *by == from && **since_us <= start_us);
        reached.map(|((_, to), _)| *to).chain([from]).collect()
    }

    pub(super) fn is_awake_since(&self, number: usize, start_us: u64) -> bool {
        self.awake_us
            .get(&number)
            .is_some_and(|since_us| *since_us <= start_us)
    }

    /// True if nothing has changed since then.
    pub(super) fn is_steady_since(&self, start_us: u64) -> bool {
        self.changed_us <= start_us
    }
}

/// Keeps the times of what still holds and adds those of what is new. True if anything changed.
fn keep<T: Ord + Copy>(times: &mut BTreeMap<T, u64>, so: BTreeSet<T>, now_us: u64) -> bool {
    let before: BTreeSet<T> = times.keys().copied().collect();
    times.retain(|one, _| so.contains(one));
    for one in &so {
        times.entry(*one).or_insert(now_us);
    }
    before != so
}
