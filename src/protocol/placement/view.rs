//! A view: the nodes of the cluster and the owner of each slot, as agreed on for one epoch.
//!
//! A view never changes; a change makes the next one (`next`). A view is made from the first list of
//! nodes, from another view, or from plain values (`parts`). Each way keeps the promises below, so no
//! holder of a view need check them.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use super::SlotSet;
use super::removal::Removal;
use super::table::SlotTable;
use crate::names::{ClusterId, Epoch, Incarnation, Line, Member, MemberId, NodeId, PartitionId, SLOTS, Slot};

/// As many nodes as there are slots: with more, K = 1 would make partitions that own nothing.
pub const NODES_MAX: usize = SLOTS as usize;

/// The agreement for one epoch. N nodes form floor(N/K) partitions of exactly K nodes, and fewer than K
/// proxies; if N < K, they form one partition. Every slot has an owner, and the shares of two partitions
/// differ by one slot at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub epoch: Epoch,
    /// The first epoch of each line that its history forked to, rising. Earlier epochs are on the line
    /// that the cluster began with.
    pub(super) forks: Vec<Epoch>,
    /// When its line forked, by the proposer's wall clock; 0 for never.
    pub raised_ms: u64,
    /// Recent removals.
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
        ViewBuilder {
            epoch: Epoch::NONE.next(),
            forks: Vec::new(),
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

    /// True if the epoch is that of this view, or of one that it follows. If neither of two views has
    /// the other, each is on a line that the other does not know.
    pub fn has(&self, epoch: Epoch) -> bool {
        epoch <= self.epoch && self.epoch_at(epoch.number()) == epoch
    }

    /// The epoch of this number in the history of this view.
    pub fn epoch_at(&self, number: u64) -> Epoch {
        let forked = self.forks.iter().rev().find(|fork| fork.number() <= number);
        Epoch::on(forked.map_or(Line::default(), |fork| fork.line()), number)
    }

    /// Makes this the first view of a line of the next generation, because it is decided without a
    /// quorum. It outranks any decision of the nodes that were passed over. `drawn` is random.
    pub fn fork(&mut self, drawn: u64, now_ms: u64) {
        self.epoch = self.epoch.forked(drawn);
        self.forks.push(self.epoch);
        self.raised_ms = now_ms;
    }

    /// True if the other view has the same members in the same places.
    pub fn places_alike(&self, other: &Self) -> bool {
        self.nodes == other.nodes && self.partitions == other.partitions && self.table == other.table
    }

    /// A number that orders differing views of one epoch the same way on every node.
    pub fn fingerprint(&self) -> u64 {
        xxh3_64(format!("{:?}", self.to_parts()).as_bytes())
    }

    pub fn partition_of_slot(&self, slot: Slot) -> PartitionId {
        self.table.partition_of(slot)
    }

    /// The partitions that own any of these slots.
    pub fn partitions_of_slots(&self, slots: &SlotSet) -> BTreeSet<PartitionId> {
        self.table.partitions_of(slots)
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

    /// True if this node is listed in exactly this life.
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

    /// The nodes, in the view's own order: sorted at first, later ones appended.
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

    /// The slots that a node owns; none for proxies and strangers.
    pub fn slots_of_node(&self, node: &NodeId) -> SlotSet {
        self.partition_of_node(node)
            .map(|partition| self.slots_of_partition(partition))
            .unwrap_or_default()
    }

    /// The slots that a member owns; none if its node is listed in another life.
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

/// How many partitions `nodes` nodes form.
pub(super) fn partition_count(nodes: usize, replicas: u32) -> usize {
    (nodes / replicas as usize).max(1)
}

/// A view under construction, without its indexes. Every view is built here; the caller ensures that the
/// result keeps the promises of a view.
pub(super) struct ViewBuilder {
    pub(super) epoch: Epoch,
    pub(super) forks: Vec<Epoch>,
    pub(super) raised_ms: u64,
    pub(super) removed: BTreeMap<MemberId, Removal>,
    pub(super) cluster: ClusterId,
    pub(super) replicas: u32,
    pub(super) nodes: Vec<(NodeId, Option<Incarnation>)>,
    pub(super) partitions: Vec<BTreeSet<NodeId>>,
    pub(super) table: SlotTable,
}

impl ViewBuilder {
    /// A copy of `view`.
    pub(super) fn of(view: &View) -> Self {
        let listed = view.nodes.iter();
        let partitions = view.partitions.iter();
        Self {
            epoch: view.epoch,
            forks: view.forks.clone(),
            raised_ms: view.raised_ms,
            removed: view.removed.clone(),
            cluster: view.cluster,
            replicas: view.replicas,
            nodes: listed
                .map(|listed| (listed.node.clone(), listed.incarnation))
                .collect(),
            partitions: partitions.map(|nodes| nodes.iter().cloned().collect()).collect(),
            table: view.table.clone(),
        }
    }

    pub(super) fn finish(self) -> View {
        let homes: BTreeMap<&NodeId, PartitionId> = (0u32..)
            .zip(&self.partitions)
            .flat_map(|(at, nodes)| nodes.iter().map(move |node| (node, PartitionId(at))))
            .collect();
        let listed = self.nodes.into_iter().map(|(node, incarnation)| Listed {
            partition: homes.get(&node).copied(),
            node,
            incarnation,
        });
        let nodes: Vec<Listed> = listed.collect();
        let mut partitions = vec![Vec::new(); self.partitions.len()];
        for listed in &nodes {
            if let Some(partition) = listed.partition {
                partitions[partition.0 as usize].push(listed.node.clone());
            }
        }
        let numbered = || nodes.iter().enumerate();
        View {
            epoch: self.epoch,
            forks: self.forks,
            raised_ms: self.raised_ms,
            removed: self.removed,
            cluster: self.cluster,
            replicas: self.replicas,
            by_node: numbered().map(|(at, listed)| (listed.node.clone(), at)).collect(),
            by_member: numbered()
                .filter_map(|(at, listed)| Some((listed.member()?.id(), at)))
                .collect(),
            nodes,
            partitions,
            table: self.table,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::placement::examples::{first, node, reborn};

    #[test]
    fn the_first_view_deals_nodes_in_sorted_order() {
        let view = first(2, 4, 1);
        assert_eq!(view.epoch, Epoch(1));
        assert_eq!(view.nodes_of(PartitionId(0)), [node(0), node(1)]);
        assert_eq!(view.nodes_of(PartitionId(1)), [node(2), node(3)]);
        assert_eq!(view.owners(Slot(SLOTS - 1)), [node(2), node(3)]);
        let lower_half = (0..SLOTS / 2).map(Slot).collect();
        assert_eq!(view.slots_of_node(&node(1)), lower_half);
    }

    #[test]
    fn a_view_has_the_epochs_of_its_history_and_no_others() {
        let one = first(2, 4, 0);
        let two = crate::protocol::placement::next::admit(&one, &[]);
        let mut forked = crate::protocol::placement::next::admit(&two, &[]);
        forked.fork(5, 700);
        let later = crate::protocol::placement::next::admit(&forked, &[]);
        let other = crate::protocol::placement::next::admit(&two, &[]);
        assert_eq!(
            (forked.epoch, later.epoch),
            (Epoch(3).forked(5), Epoch(3).forked(5).next())
        );
        assert!(later.has(one.epoch) && later.has(two.epoch) && later.has(forked.epoch));
        assert!(!later.has(other.epoch) && !other.has(forked.epoch) && !forked.has(later.epoch));
        assert!(!later.has(Epoch(2).forked(5)), "the line began later");
        assert_eq!((later.epoch_at(2), later.raised_ms), (Epoch(2), 700));
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
    fn strangers_and_unknown_partitions_own_nothing() {
        let view = first(2, 4, 1);
        let stranger = node(9);
        assert!(!view.lists(&stranger) && !view.is_proxy(&stranger));
        assert_eq!(view.partition_of_node(&stranger), None);
        assert!(view.nodes_of(PartitionId(2)).is_empty());
        assert!(view.slots_of_partition(PartitionId(u32::MAX)).is_empty());
    }
}
