//! Who belongs to the cluster and who owns which slot, as agreed on for one epoch.
//!
//! A view never changes; a change makes the next one (`next`). Views are made from the first list of
//! nodes, from another view, or from what a peer sent (`parts`), and in each case the promises below
//! hold, so that nobody who holds a view need check them.

use std::collections::{BTreeMap, BTreeSet};

use super::SlotSet;
use super::draft::{Draft, partition_count};
use super::table::SlotTable;
use crate::names::{ClusterId, Epoch, Incarnation, Member, MemberId, NodeId, PartitionId, SLOTS, Slot};

/// As many nodes as there are slots: with more, K = 1 would make partitions that own nothing.
pub const NODES_MAX: usize = SLOTS as usize;

/// What was agreed on for one epoch. N nodes make floor(N/K) partitions of exactly K and less than K
/// proxies, or one partition of all when N < K; every slot has an owner, and the shares of two
/// partitions differ by one slot at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub epoch: Epoch,
    /// Raised by a decision that passed over a quorum; outranks the epoch.
    pub generation: u32,
    /// When the generation was raised last, by the wall clock of whoever proposed it; 0 for never.
    pub raised_ms: u64,
    /// Members that were removed lately.
    pub removed: BTreeMap<MemberId, Removal>,
    pub cluster: ClusterId,
    /// K: how many nodes make a partition.
    pub replicas: u32,
    pub(super) nodes: Vec<Listed>,
    pub(super) partitions: Vec<Vec<NodeId>>,
    pub(super) table: SlotTable,
    pub(super) by_node: BTreeMap<NodeId, usize>,
    pub(super) by_member: BTreeMap<MemberId, usize>,
}

/// How a member was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub node: NodeId,
    /// By the wall clock of whoever proposed it: until when what the member returns may be taken, and
    /// tombstones must be kept.
    pub at_ms: u64,
    /// By force: nobody waits for what only this member had.
    pub given_up: bool,
}

/// A node as the view lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) node: NodeId,
    /// None until the node has come up and was admitted.
    pub(super) incarnation: Option<Incarnation>,
    /// None for a proxy.
    pub(super) partition: Option<PartitionId>,
}

impl Listed {
    pub(super) fn member(&self) -> Option<Member> {
        self.incarnation.map(|incarnation| Member {
            node: self.node.clone(),
            incarnation,
        })
    }
}

impl View {
    /// The view that a cluster begins with: nodes dealt in sorted order, slots in equal contiguous runs,
    /// so that every node computes the same view from any order of `VIEW`. Nodes without an incarnation
    /// are placed too, and are admitted when they come up.
    ///
    /// # Panics
    /// If there are no nodes, more than [`NODES_MAX`], or no replicas; `config` refuses all three.
    pub fn first(
        cluster: ClusterId,
        replicas: u32,
        nodes: &BTreeSet<NodeId>,
        incarnations: &BTreeMap<NodeId, Incarnation>,
    ) -> Self {
        assert!((1..=NODES_MAX).contains(&nodes.len()) && replicas > 0);
        let partitions = partition_count(nodes.len(), replicas);
        let in_order: Vec<NodeId> = nodes.iter().cloned().collect();
        let dealt = in_order.chunks(replicas as usize).take(partitions);
        Draft {
            epoch: Epoch::NONE.next(),
            generation: 0,
            raised_ms: 0,
            removed: BTreeMap::new(),
            cluster,
            replicas,
            nodes: nodes
                .iter()
                .map(|node| (node.clone(), incarnations.get(node).copied()))
                .collect(),
            partitions: dealt.map(|nodes| nodes.iter().cloned().collect()).collect(),
            table: SlotTable::even(partitions),
        }
        .finish()
    }

    /// Notes that the members of `before` which this view does not list were removed now, and forgets
    /// removals that are older than `keep_ms`.
    pub fn note_removals(&mut self, before: &Self, now_ms: u64, keep_ms: u64, given_up: bool) {
        self.removed
            .retain(|_, removal| removal.at_ms.saturating_add(keep_ms) >= now_ms);
        let gone: Vec<Member> = before
            .members()
            .filter(|member| !self.lists(&member.node))
            .collect();
        for member in gone {
            let removal = Removal {
                node: member.node.clone(),
                at_ms: now_ms,
                given_up,
            };
            self.removed.insert(member.id(), removal);
        }
    }

    /// Removals that seem to come from the future were noted by a clock that has been set back since: they
    /// count as of now, so that what waits for their age does not wait for years.
    pub fn correct_removals(&mut self, now_ms: u64, limit_ms: u64) {
        let times = self.removed.values_mut().map(|removal| &mut removal.at_ms);
        for at_ms in times.chain([&mut self.raised_ms]) {
            if *at_ms > now_ms.saturating_add(limit_ms) {
                *at_ms = now_ms;
            }
        }
    }

    /// Gives up what only this node had, which was removed. True if anybody may have waited for it.
    pub fn give_up(&mut self, node: &NodeId) -> bool {
        let of_node = self.removed.values_mut().filter(|removal| removal.node == *node);
        of_node.fold(false, |news, removal| {
            news | !std::mem::replace(&mut removal.given_up, true)
        })
    }

    /// When a node left that is no member any more: it was removed, or, if it is listed, it followed a
    /// line of views that was given up. None if that is so long ago that it was forgotten.
    pub fn left_ms(&self, member: &Member) -> Option<u64> {
        if self.is_member(member) {
            Some(self.raised_ms).filter(|raised_ms| *raised_ms > 0)
        } else {
            self.removed.get(&member.id()).map(|removal| removal.at_ms)
        }
    }

    /// The last time that a member left.
    pub fn last_left_ms(&self) -> u64 {
        let removed = self.removed.values().map(|removal| removal.at_ms).max();
        removed.unwrap_or(0).max(self.raised_ms)
    }

    pub fn partition_of_slot(&self, slot: Slot) -> PartitionId {
        self.table.partition_of(slot)
    }

    /// The nodes of a partition, in the view's own order; empty if there is no such partition.
    pub fn nodes_of(&self, partition: PartitionId) -> &[NodeId] {
        self.partitions
            .get(partition.0 as usize)
            .map_or(&[], Vec::as_slice)
    }

    /// The nodes that own a slot.
    pub fn owners(&self, slot: Slot) -> &[NodeId] {
        self.nodes_of(self.partition_of_slot(slot))
    }

    /// The partition that a node is a replica of; none for proxies and strangers.
    pub fn partition_of_node(&self, node: &NodeId) -> Option<PartitionId> {
        self.listed(node)?.partition
    }

    pub fn lists(&self, node: &NodeId) -> bool {
        self.listed(node).is_some()
    }

    pub fn is_proxy(&self, node: &NodeId) -> bool {
        self.listed(node).is_some_and(|listed| listed.partition.is_none())
    }

    /// True if there are fewer nodes than K, all in one partition.
    pub fn is_degraded(&self) -> bool {
        self.nodes.len() < self.replicas as usize
    }

    /// The life in which a node is listed; none if it has not been admitted yet, or is a stranger.
    pub fn incarnation_of(&self, node: &NodeId) -> Option<Incarnation> {
        self.listed(node)?.incarnation
    }

    /// A node together with the life in which it is listed.
    pub fn member(&self, node: &NodeId) -> Option<Member> {
        self.listed(node)?.member()
    }

    /// True if this node is listed in just this life.
    pub fn is_member(&self, member: &Member) -> bool {
        self.incarnation_of(&member.node) == Some(member.incarnation)
    }

    pub fn member_by_id(&self, id: MemberId) -> Option<Member> {
        self.nodes[*self.by_member.get(&id)?].member()
    }

    /// The members, in the view's own order.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.nodes.iter().filter_map(Listed::member)
    }

    /// The members of a partition, in the view's own order.
    pub fn members_of(&self, partition: PartitionId) -> impl Iterator<Item = Member> + '_ {
        self.nodes_of(partition)
            .iter()
            .filter_map(|node| self.member(node))
    }

    /// The nodes, in the view's own order: sorted at first, later ones behind.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &NodeId> + '_ {
        self.nodes.iter().map(|listed| &listed.node)
    }

    /// The nodes that are in no partition, in the view's own order.
    pub fn proxies(&self) -> impl Iterator<Item = &NodeId> + '_ {
        self.nodes
            .iter()
            .filter(|listed| listed.partition.is_none())
            .map(|listed| &listed.node)
    }

    /// The partitions by number, each with its nodes.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = (PartitionId, &[NodeId])> + '_ {
        let numbered = self.partitions.iter().enumerate();
        numbered.map(|(at, nodes)| (PartitionId(at as u32), nodes.as_slice()))
    }

    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    pub fn slots_of_partition(&self, partition: PartitionId) -> SlotSet {
        self.table.slots_of(partition)
    }

    /// What a node owns; nothing for proxies and strangers.
    pub fn slots_of_node(&self, node: &NodeId) -> SlotSet {
        self.partition_of_node(node)
            .map(|partition| self.slots_of_partition(partition))
            .unwrap_or_default()
    }

    /// What a member owns; nothing if its node is listed in another life.
    pub fn slots_of_member(&self, member: &Member) -> SlotSet {
        if self.is_member(member) {
            self.slots_of_node(&member.node)
        } else {
            SlotSet::default()
        }
    }

    fn listed(&self, node: &NodeId) -> Option<&Listed> {
        self.by_node.get(node).map(|at| &self.nodes[*at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::examples::{first, node, reborn};
    use crate::placement::next;

    #[test]
    fn the_first_view_deals_nodes_in_sorted_order() {
        let view = first(2, 4, 1);
        assert_eq!((view.epoch, view.generation), (Epoch(1), 0));
        assert_eq!(view.nodes_of(PartitionId(0)), [node(0), node(1)]);
        assert_eq!(view.nodes_of(PartitionId(1)), [node(2), node(3)]);
        assert_eq!(view.owners(Slot(SLOTS - 1)), [node(2), node(3)]);
        let lower_half = (0..SLOTS / 2).map(Slot).collect();
        assert_eq!(view.slots_of_node(&node(1)), lower_half);
    }

    #[test]
    fn seventh_node_of_k_two_is_a_proxy() {
        let view = first(2, 7, 1);
        assert_eq!(view.partition_count(), 3);
        assert_eq!(view.proxies().collect::<Vec<_>>(), [&node(6)]);
        assert!(view.is_proxy(&node(6)) && view.lists(&node(6)));
        assert!(view.slots_of_node(&node(6)).is_empty());
    }

    #[test]
    fn fewer_nodes_than_replicas_are_one_partition() {
        let view = first(4, 3, 1);
        assert!(view.is_degraded() && !first(4, 4, 1).is_degraded());
        assert_eq!(view.nodes_of(PartitionId(0)).len(), 3);
        assert_eq!(view.slots_of_node(&node(2)), SlotSet::all());
    }

    #[test]
    fn a_node_is_a_member_in_the_life_that_is_listed_only() {
        let view = first(2, 4, 1);
        let member = view.member(&node(1)).expect("is up");
        let reborn = reborn(1, 99);
        assert!(view.is_member(&member) && !view.is_member(&reborn));
        assert_eq!(view.member_by_id(member.id()), Some(member.clone()));
        assert_eq!(view.member_by_id(reborn.id()), None);
        assert_eq!(view.slots_of_member(&member).len(), usize::from(SLOTS) / 2);
        assert!(view.slots_of_member(&reborn).is_empty());
    }

    #[test]
    fn a_node_that_is_not_up_yet_has_its_place_and_is_no_member() {
        let view = first(2, 4, 1);
        assert!(view.lists(&node(3)) && view.member(&node(3)).is_none());
        assert_eq!(view.members().count(), 3);
        assert_eq!(view.members_of(PartitionId(1)).count(), 1);
        assert_eq!(view.slots_of_node(&node(3)).len(), usize::from(SLOTS) / 2);
    }

    #[test]
    fn removals_are_noted_with_their_time_and_forgotten_after_a_while() {
        let before = first(2, 4, 1);
        let mut after = next::remove(&before, &node(1)).expect("is listed");
        after.note_removals(&before, 1000, 500, false);
        let gone = before.member(&node(1)).expect("was up");
        assert_eq!(after.left_ms(&gone), Some(1000));
        assert_eq!((after.left_ms(&reborn(1, 9)), after.last_left_ms()), (None, 1000));
        // Who never came up had nothing.
        let mut without = next::remove(&after, &node(3)).expect("is listed");
        without.note_removals(&after, 1500, 500, false);
        assert_eq!(without.removed.len(), 1);
        let mut later = next::admit(&without, &[]);
        later.note_removals(&without, 1501, 500, false);
        assert_eq!((later.left_ms(&gone), later.last_left_ms()), (None, 0));
    }

    #[test]
    fn removals_from_the_future_count_as_of_now() {
        let before = first(2, 4, 1);
        let mut after = next::remove(&before, &node(1)).expect("is listed");
        after.note_removals(&before, 1000, 500, false);
        after.raised_ms = 1000;
        after.correct_removals(900, 100);
        assert_eq!(after.last_left_ms(), 1000);
        after.correct_removals(100, 100);
        assert_eq!(after.last_left_ms(), 100);
    }

    #[test]
    fn what_a_removed_node_had_is_given_up_once() {
        let before = first(2, 4, 0);
        let mut after = next::remove(&before, &node(1)).expect("is listed");
        after.note_removals(&before, 1000, 500, false);
        assert!(!after.give_up(&node(2)) && after.give_up(&node(1)) && !after.give_up(&node(1)));
        assert!(after.removed.values().all(|removal| removal.given_up));
        let mut forced = next::remove(&before, &node(1)).expect("is listed");
        forced.note_removals(&before, 1000, 500, true);
        assert!(!forced.give_up(&node(1)));
    }

    #[test]
    fn a_member_that_is_listed_left_only_with_a_line_that_was_given_up() {
        let mut view = first(2, 4, 0);
        let member = view.member(&node(1)).expect("is up");
        assert_eq!(view.left_ms(&member), None);
        view.raised_ms = 700;
        assert_eq!((view.left_ms(&member), view.last_left_ms()), (Some(700), 700));
    }

    #[test]
    fn strangers_and_unknown_partitions_own_nothing() {
        let view = first(2, 4, 1);
        let stranger = node(9);
        assert!(!view.lists(&stranger) && !view.is_proxy(&stranger));
        assert_eq!(view.partition_of_node(&stranger), None);
        assert!(view.nodes_of(PartitionId(2)).is_empty());
        assert!(view.slots_of_partition(PartitionId(u32::MAX)).is_empty());
    }
}
