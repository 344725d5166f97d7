//! Draws any values of the lower floors, for property tests of this floor's encodings.
//!
//! Numbers are small, where values collide, or from their full range, where encodings break.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::SharedView;
use crate::names::{ClusterId, Dot, Epoch, Incarnation, Key, Log, Member, MemberId, NodeId, SLOTS};
use crate::protocol::causality::{Payload, Record, Timestamp, VersionVector};
use crate::protocol::placement::{LeftBehind, Removal, SlotSet, View};
use crate::protocol::replication::{
    Closed, Ending, Incoming, Kept, Leftover, Lost, Mark, Region, ReplicaState, Run, Runs,
};
use crate::protocol::view_change::{Acceptor, Ballot};

pub(super) fn numbers() -> BoxedStrategy<u64> {
    prop_oneof![0u64..4, any::<u64>(), Just(u64::MAX)].boxed()
}

pub(super) fn epochs() -> BoxedStrategy<Epoch> {
    numbers().prop_map(Epoch).boxed()
}

pub(super) fn timestamps() -> BoxedStrategy<Timestamp> {
    numbers().prop_map(Timestamp).boxed()
}

pub(super) fn node_ids() -> BoxedStrategy<NodeId> {
    let texts = (0u16..5, 1u16..).prop_map(|(host, port)| match host {
        0 => format!("[::1]:{port}"),
        1 => format!("node-1.example:{port}"),
        host => format!("10.0.0.{host}:{port}"),
    });
    texts
        .prop_map(|text| text.parse().expect("is an address"))
        .boxed()
}

fn incarnations() -> BoxedStrategy<Incarnation> {
    (numbers(), numbers())
        .prop_map(|(started_ms, random)| Incarnation { started_ms, random })
        .boxed()
}

pub(super) fn members() -> BoxedStrategy<Member> {
    (node_ids(), incarnations())
        .prop_map(|(node, incarnation)| Member { node, incarnation })
        .boxed()
}

pub(super) fn member_ids() -> BoxedStrategy<MemberId> {
    numbers().prop_map(MemberId).boxed()
}

pub(super) fn sets_of_members() -> BoxedStrategy<BTreeSet<MemberId>> {
    btree_set(member_ids(), 0..3).boxed()
}

pub(super) fn dots() -> BoxedStrategy<Dot> {
    (epochs(), member_ids(), numbers())
        .prop_map(|(epoch, member, number)| Dot {
            log: Log { epoch, member },
            number,
        })
        .boxed()
}

pub(super) fn vectors() -> BoxedStrategy<VersionVector> {
    vec(dots(), 0..4)
        .prop_map(|dots| dots.into_iter().collect())
        .boxed()
}

pub(super) fn payloads() -> BoxedStrategy<Payload> {
    (epochs(), timestamps(), vectors())
        .prop_map(|(epoch, timestamp, entries)| Payload {
            epoch,
            timestamp,
            entries,
        })
        .boxed()
}

pub(super) fn keys() -> BoxedStrategy<Key> {
    prop_oneof!["[a-z0-9]{1,9}", "\\PC{1,200}", Just("é".repeat(200))]
        .prop_map(|text| Key::new(&text).expect("is a key"))
        .boxed()
}

pub(super) fn values() -> BoxedStrategy<Option<Vec<u8>>> {
    option::of(vec(any::<u8>(), 0..40)).boxed()
}

pub(super) fn records() -> BoxedStrategy<Record> {
    let parts = (keys(), values(), dots(), timestamps(), vectors());
    parts
        .prop_map(|(key, value, dot, timestamp, dependencies)| {
            Record::new(&key, value.as_deref(), dot, timestamp, &dependencies)
        })
        .boxed()
}

pub(super) fn slot_sets() -> BoxedStrategy<SlotSet> {
    let ranges = vec((0..=SLOTS, 0..=SLOTS), 0..4);
    ranges
        .prop_map(|ranges| {
            let ranges = ranges.into_iter().map(|(a, b)| a.min(b)..a.max(b));
            SlotSet::from_ranges(ranges).expect("within the slots")
        })
        .boxed()
}

/// Views of a few nodes, some of them not up, with removals.
pub(super) fn views() -> BoxedStrategy<SharedView> {
    let nodes = (1u64..7, vec(option::of(incarnations()), 6));
    let removed = vec((member_ids(), node_ids(), numbers(), any::<bool>()), 0..3);
    let numbers = (1u64..1 << 31, 0u64..3, numbers(), any::<u64>(), 1u32..5);
    (nodes, removed, numbers)
        .prop_map(|((count, lives), removed, numbers)| {
            let (epoch, forks, raised_ms, cluster, replicas) = numbers;
            let node = |number| -> NodeId { format!("n{number}:80").parse().expect("is a node") };
            let up = (0..count)
                .zip(lives)
                .filter_map(|(number, life)| Some((node(number), life?)));
            let first = View::first(
                ClusterId(cluster),
                replicas,
                &(0..count).map(node).collect(),
                &up.collect(),
            );
            let mut parts = first.to_parts();
            for fork in 1..=forks {
                let line = parts.forks.last().copied().unwrap_or(Epoch::NONE).line();
                parts.forks.push(Epoch::on(line, fork).forked(cluster));
            }
            let line = parts.forks.last().copied().unwrap_or(Epoch::NONE).line();
            (parts.epoch, parts.raised_ms) = (Epoch::on(line, epoch.max(forks)), raised_ms);
            let removed: BTreeMap<_, _> = removed
                .into_iter()
                .map(|(id, node, at_ms, given_up)| {
                    (
                        id,
                        Removal {
                            node,
                            at_ms,
                            given_up,
                            left_by: given_up.then_some(id),
                            logs: BTreeMap::new(),
                        },
                    )
                })
                .collect();
            parts.removed = removed.into_iter().collect();
            SharedView(Arc::new(View::from_parts(parts).expect("keeps the promises")))
        })
        .boxed()
}

pub(super) fn ballots() -> BoxedStrategy<Ballot> {
    (numbers(), node_ids(), numbers())
        .prop_map(|(round, proposer, attempt)| Ballot {
            round,
            proposer,
            attempt,
        })
        .boxed()
}

pub(super) fn accepted() -> BoxedStrategy<Option<(Ballot, Arc<View>)>> {
    option::of((ballots(), views().prop_map(|view| view.0))).boxed()
}

pub(super) fn acceptors() -> BoxedStrategy<BTreeMap<Epoch, Acceptor>> {
    let acceptor =
        (option::of(ballots()), accepted()).prop_map(|(promised, accepted)| Acceptor { promised, accepted });
    proptest::collection::btree_map(epochs(), acceptor, 0..3).boxed()
}

pub(super) fn closings() -> BoxedStrategy<Closed> {
    let runs = proptest::collection::btree_map(member_ids(), any::<u32>(), 0..3);
    (epochs(), epochs(), runs)
        .prop_map(|(below, at, runs)| Closed {
            below,
            at,
            runs: Arc::new(runs),
        })
        .boxed()
}

fn regions() -> BoxedStrategy<Region> {
    let sets = (slot_sets(), vectors(), sets_of_members(), sets_of_members());
    (epochs(), sets)
        .prop_map(|(lacks, (slots, coverage, sources, heard))| Region {
            slots,
            lacks,
            coverage,
            sources,
            heard,
        })
        .boxed()
}

pub(super) fn kept() -> BoxedStrategy<Kept> {
    let sets = (slot_sets(), vectors(), sets_of_members());
    (epochs(), epochs(), sets)
        .prop_map(|(last_owned, lacks, (slots, coverage, sources))| Kept {
            slots,
            last_owned,
            lacks,
            coverage,
            sources,
        })
        .boxed()
}

fn endings() -> BoxedStrategy<Ending> {
    prop_oneof![Just(Ending::Outranked), Just(Ending::WentBack)].boxed()
}

pub(super) fn marks() -> BoxedStrategy<Mark> {
    (any::<u32>(), numbers(), numbers())
        .prop_map(|(run, id, position)| Mark { run, id, position })
        .boxed()
}

fn runs() -> BoxedStrategy<Run> {
    (any::<u32>(), numbers(), numbers())
        .prop_map(|(number, id, began_at)| Run { number, id, began_at })
        .boxed()
}

fn lost() -> BoxedStrategy<Lost> {
    (views(), numbers(), any::<bool>())
        .prop_map(|(view, noted_ms, is_over)| Lost {
            view: view.0,
            noted_ms,
            is_over,
        })
        .boxed()
}

pub(super) fn left_behind() -> BoxedStrategy<LeftBehind> {
    (member_ids(), members(), epochs(), option::of(numbers()))
        .prop_map(|(name, by, epoch, since_ms)| LeftBehind {
            name,
            by,
            epoch,
            since_ms,
        })
        .boxed()
}

fn leftovers() -> BoxedStrategy<Leftover> {
    (left_behind(), vec(kept(), 0..2), numbers())
        .prop_map(|(left, kept, page)| Leftover {
            left,
            kept,
            pages: page..page.saturating_add(3),
        })
        .boxed()
}

pub(super) fn state() -> BoxedStrategy<ReplicaState> {
    let who = (
        members(),
        vec(views(), 0..3),
        option::of(endings()),
        any::<bool>(),
    );
    let lives = (
        vec(lost(), 0..2),
        vec(leftovers(), 0..2),
        numbers(),
        vec(runs(), 1..3),
    );
    let how_far = (epochs(), epochs(), closings(), vectors(), slot_sets());
    let incoming =
        (epochs(), vec(regions(), 0..2)).prop_map(|(target, regions)| Incoming { target, regions });
    let slots = (vec(regions(), 0..3), vec(kept(), 0..3), option::of(incoming));
    let ids = || btree_set(member_ids(), 0..3);
    let of_removed = (ids(), ids(), ids(), vectors());
    (who, how_far, slots, of_removed, lives)
        .prop_map(
            |((me, views, ended, has_left), how_far, (regions, kept, incoming), of_removed, lives)| {
                let (lost, leftovers, position, runs) = lives;
                let (too_late, expired, settled, claimed) = of_removed;
                let (active, sealed, closed, vector, gone) = how_far;
                ReplicaState {
                    views: views.into_iter().map(|view| (view.0.epoch, view.0)).collect(),
                    active,
                    sealed,
                    vector,
                    regions: Arc::new(regions),
                    kept: Arc::new(kept),
                    incoming,
                    closed,
                    gone,
                    lost: lost.into_iter().map(|lost| (lost.view.epoch, lost)).collect(),
                    ended,
                    laid_aside: position..position.saturating_add(2),
                    leftovers,
                    position,
                    runs: Runs::from_stored(runs).expect("one at least"),
                    has_left,
                    too_late: Arc::new(too_late),
                    expired,
                    settled,
                    claimed,
                    ..ReplicaState::new(me)
                }
            },
        )
        .boxed()
}

/// Damage to bytes in transit or on a disk.
#[derive(Debug, Clone)]
pub(super) struct Damage {
    at: prop::sample::Index,
    kind: u8,
    with: Vec<u8>,
}

pub(super) fn damages() -> BoxedStrategy<Damage> {
    (any::<prop::sample::Index>(), 0u8..4, vec(any::<u8>(), 1..9))
        .prop_map(|(at, kind, with)| Damage { at, kind, with })
        .boxed()
}

impl Damage {
    /// The bytes, cut, lengthened, or with some of them changed. Those before `from` stay as they are.
    pub(super) fn done_to(&self, bytes: &[u8], from: usize) -> Vec<u8> {
        let at = from + self.at.index((bytes.len() - from).max(1));
        let at = at.min(bytes.len());
        let (before, after) = bytes.split_at(at);
        match self.kind {
            0 => before.to_vec(),
            1 => [before, &self.with, after].concat(),
            2 => [before, after.get(self.with.len()..).unwrap_or_default()].concat(),
            _ => {
                let changed = after.iter().zip(&self.with).map(|(byte, with)| byte ^ with);
                let rest = after.get(self.with.len()..).unwrap_or_default();
                [before, &changed.collect::<Vec<u8>>(), rest].concat()
            }
        }
    }
}
