//! Turns a view into plain values for the wire and the disk, and back again, trusting nothing.
//!
//! Parts from a peer may be damaged, forged, or of a version with other rules. They become a view only
//! if they keep every promise that a view makes.

use std::collections::{BTreeMap, BTreeSet};

use super::View;
use super::removal::Removal;
use super::table::SlotTable;
use super::view::NODES_MAX;
use super::view::{ViewBuilder, partition_count};
use crate::names::{ClusterId, Epoch, Incarnation, Line, Member, MemberId, NodeId};

/// Far beyond what changes can reach, and far enough from the end that counting on cannot overflow.
const NUMBER_MAX: u64 = 1 << 31;
const GENERATION_MAX: u32 = 1 << 11;

/// A view as plain values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewParts {
    pub epoch: Epoch,
    /// The first epoch of each line that its history forked to.
    pub forks: Vec<Epoch>,
    pub raised_ms: u64,
    /// Rising.
    pub removed: Vec<(MemberId, Removal)>,
    pub cluster: ClusterId,
    pub replicas: u32,
    pub nodes: Vec<(NodeId, Option<Incarnation>)>,
    /// The nodes of each partition, as their places in `nodes`, rising.
    pub partitions: Vec<Vec<u16>>,
    /// The slots in order, as runs: how many slots, of which partition.
    pub slots: Vec<(u16, u32)>,
}

/// Parts that are no view, with the promise that they break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a view is damaged: {0}")]
pub struct Inconsistent(&'static str);

impl View {
    /// A view from its parts.
    pub fn from_parts(parts: ViewParts) -> Result<Self, Inconsistent> {
        check_numbers(&parts)?;
        check_nodes(&parts.nodes)?;
        check_removed(&parts)?;
        let partitions = deal(&parts)?;
        let table = SlotTable::from_runs(&parts.slots, partitions.len())
            .ok_or(Inconsistent("not every slot has one owner"))?;
        if !table.is_even(partitions.len()) {
            return Err(Inconsistent("the shares of two partitions differ"));
        }
        let builder = ViewBuilder {
            epoch: parts.epoch,
            forks: parts.forks,
            raised_ms: parts.raised_ms,
            removed: parts.removed.into_iter().collect(),
            cluster: parts.cluster,
            replicas: parts.replicas,
            nodes: parts.nodes,
            partitions,
            table,
        };
        Ok(builder.finish())
    }

    pub fn to_parts(&self) -> ViewParts {
        let place = |node| u16::try_from(self.by_node[node]).expect("a view has at most NODES_MAX nodes");
        let partitions = self.partitions.iter();
        let listed = self.nodes.iter();
        ViewParts {
            epoch: self.epoch,
            forks: self.forks.clone(),
            raised_ms: self.raised_ms,
            removed: self
                .removed
                .iter()
                .map(|(id, removal)| (*id, removal.clone()))
                .collect(),
            cluster: self.cluster,
            replicas: self.replicas,
            nodes: listed
                .map(|listed| (listed.node.clone(), listed.incarnation))
                .collect(),
            partitions: partitions
                .map(|nodes| nodes.iter().map(place).collect())
                .collect(),
            slots: self.table.to_runs(),
        }
    }
}

fn check_numbers(parts: &ViewParts) -> Result<(), Inconsistent> {
    let (number, line) = (parts.epoch.number(), parts.epoch.line());
    if !(1..=NUMBER_MAX).contains(&number) || line.generation() > GENERATION_MAX {
        return Err(Inconsistent("the epoch is out of range"));
    }
    let rises = |a: &Epoch, b: &Epoch| a.number() < b.number() && a.line() < b.line();
    let begins = parts
        .forks
        .first()
        .is_none_or(|first| first.number() > 0 && first.line() > Line::default());
    let ends = parts.forks.last().copied().unwrap_or(Epoch::NONE);
    if !begins || !parts.forks.is_sorted_by(rises) || ends.number() > number || ends.line() != line {
        return Err(Inconsistent(
            "the epoch is not of the line that was forked to last",
        ));
    }
    if parts.replicas == 0 {
        return Err(Inconsistent("K is 0"));
    }
    Ok(())
}

fn check_removed(parts: &ViewParts) -> Result<(), Inconsistent> {
    if !parts.removed.is_sorted_by(|(a, _), (b, _)| a < b) {
        return Err(Inconsistent("the removals are out of order"));
    }
    Ok(())
}

fn check_nodes(nodes: &[(NodeId, Option<Incarnation>)]) -> Result<(), Inconsistent> {
    if !(1..=NODES_MAX).contains(&nodes.len()) {
        return Err(Inconsistent("there are no nodes, or too many"));
    }
    let distinct: BTreeMap<&NodeId, _> = nodes.iter().map(|(node, life)| (node, life)).collect();
    if distinct.len() < nodes.len() {
        return Err(Inconsistent("a node is listed twice"));
    }
    let member = |(node, life): &(NodeId, Option<Incarnation>)| {
        let (node, incarnation) = (node.clone(), (*life)?);
        Some(Member { node, incarnation }.id())
    };
    let mut ids: BTreeSet<MemberId> = BTreeSet::new();
    // Logs are named by these ids: two members with one id would share a log.
    if !nodes.iter().filter_map(member).all(|id| ids.insert(id)) {
        return Err(Inconsistent("two members have the same id"));
    }
    Ok(())
}

/// The nodes of each partition, by name.
fn deal(parts: &ViewParts) -> Result<Vec<BTreeSet<NodeId>>, Inconsistent> {
    let size = parts.nodes.len().min(parts.replicas as usize);
    let count = partition_count(parts.nodes.len(), parts.replicas);
    if parts.partitions.len() != count || parts.partitions.iter().any(|places| places.len() != size) {
        return Err(Inconsistent("these are not floor(N/K) partitions of K nodes"));
    }
    // Rising, so that different parts always mean different views.
    if parts
        .partitions
        .iter()
        .any(|places| !places.is_sorted_by(|a, b| a < b))
    {
        return Err(Inconsistent("a partition is out of order"));
    }
    let mut taken = BTreeSet::new();
    let mut name = |place: &u16| {
        let (node, _) = parts.nodes.get(usize::from(*place))?;
        taken.insert(*place).then(|| node.clone())
    };
    let named = parts
        .partitions
        .iter()
        .map(|places| places.iter().map(&mut name).collect());
    named
        .collect::<Option<Vec<_>>>()
        .ok_or(Inconsistent("a partition names no node, or another's"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::SLOTS;
    use crate::protocol::placement::examples::{first, incarnation, node};

    /// Five nodes, K = 2: two partitions and a proxy.
    fn parts() -> ViewParts {
        first(2, 5, 1).to_parts()
    }

    fn removal(id: u64) -> (MemberId, Removal) {
        let removal = Removal {
            node: node(9),
            at_ms: 1,
            given_up: false,
            left_by: None,
            logs: BTreeMap::new(),
        };
        (MemberId(id), removal)
    }

    #[test]
    fn parts_name_nodes_by_their_places() {
        let parts = parts();
        assert_eq!(parts.partitions, [[0, 1], [2, 3]]);
        assert_eq!(parts.slots, [(8192, 0), (8192, 1)]);
        assert_eq!(parts.nodes[4], (node(4), None));
    }

    #[test]
    fn parts_that_break_a_promise_are_refused() {
        type Spoil = fn(&mut ViewParts);
        let spoiled: [(&str, Spoil); 19] = [
            ("out of range", |parts| parts.epoch = Epoch::NONE),
            ("out of range", |parts| parts.epoch = Epoch(u64::MAX)),
            ("not of the line", |parts| parts.epoch = parts.epoch.forked(1)),
            ("not of the line", |parts| parts.forks = vec![Epoch(9).forked(1)]),
            ("not of the line", |parts| {
                parts.epoch = Epoch(1).forked(2);
                parts.forks = vec![Epoch(1).forked(3).forked(1), parts.epoch];
            }),
            ("out of order", |parts| {
                parts.removed = vec![removal(2), removal(2)]
            }),
            ("K is 0", |parts| parts.replicas = 0),
            ("no nodes", |parts| parts.nodes.clear()),
            ("listed twice", |parts| parts.nodes[4].0 = node(0)),
            ("not floor", |parts| parts.replicas = 3),
            ("not floor", |parts| parts.partitions.truncate(1)),
            ("not floor", |parts| parts.partitions[1].truncate(1)),
            ("out of order", |parts| parts.partitions[1] = vec![3, 2]),
            ("out of order", |parts| parts.partitions[1] = vec![3, 3]),
            ("names no node", |parts| parts.partitions[1] = vec![1, 3]),
            ("names no node", |parts| parts.partitions[1] = vec![3, 5]),
            ("one owner", |parts| parts.slots.truncate(1)),
            ("one owner", |parts| parts.slots[1].1 = 2),
            ("shares", |parts| parts.slots = vec![(8191, 0), (8193, 1)]),
        ];
        for (reason, spoil) in spoiled {
            let mut parts = parts();
            spoil(&mut parts);
            let Inconsistent(found) = View::from_parts(parts).expect_err(reason);
            assert!(found.contains(reason), "{found:?} instead of {reason:?}");
        }
    }

    #[test]
    fn more_nodes_than_slots_are_refused() {
        let mut parts = parts();
        parts.nodes = (0..=SLOTS)
            .map(|number| (node(u64::from(number)), None))
            .collect();
        let Inconsistent(found) = View::from_parts(parts).expect_err("too many");
        assert!(found.contains("too many"), "{found:?}");
    }

    fn garbage() -> impl Strategy<Value = ViewParts> {
        let nodes = proptest::collection::vec((0u64..6, proptest::option::of(0u64..3)), 0..6);
        let places = prop_oneof![0u16..6, any::<u16>()];
        let partitions = proptest::collection::vec(proptest::collection::vec(places, 0..4), 0..4);
        let lengths = prop_oneof![Just(SLOTS), Just(SLOTS / 2), any::<u16>()];
        let slots = proptest::collection::vec((lengths, prop_oneof![0u32..3, any::<u32>()]), 0..4);
        let numbers = (0u64..3, prop_oneof![0u32..4, any::<u32>()]);
        (numbers, nodes, partitions, slots).prop_map(|((epoch, replicas), nodes, partitions, slots)| {
            let listed = nodes.into_iter();
            ViewParts {
                epoch: Epoch(epoch),
                forks: Vec::new(),
                raised_ms: 0,
                removed: Vec::new(),
                cluster: ClusterId(1),
                replicas,
                nodes: listed
                    .map(|(number, lived)| (node(number), lived.map(incarnation)))
                    .collect(),
                partitions,
                slots,
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn garbage_is_refused_or_a_view_but_never_a_panic(parts in garbage()) {
            if let Ok(view) = View::from_parts(parts) {
                prop_assert_eq!(View::from_parts(view.to_parts()), Ok(view));
            }
        }

        #[test]
        fn one_changed_place_or_run_is_refused_or_another_view(
            (at, place) in (0usize..4, 0u16..6),
            (run, len, partition) in (0usize..2, 8190u16..8195, 0u32..3),
        ) {
            let mut parts = parts();
            parts.partitions[at / 2][at % 2] = place;
            parts.slots[run] = (len, partition);
            if let Ok(view) = View::from_parts(parts.clone()) {
                prop_assert_eq!(view.to_parts(), parts);
            }
        }
    }
}
