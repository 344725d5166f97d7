//! Computes the next view: a pure function of the view and the change, with the fewest moves.
//!
//! A lost replica is replaced by a proxy if there is one; otherwise its partition is dissolved, its
//! survivors become proxies (and may fill the next gap), and its slots are dealt to the others. K
//! proxies form a partition, which takes an equal share of slots from each of the others. Fewer than K
//! nodes form one partition that owns everything. So no key moves while a cluster passes through K in
//! either direction: nodes only join or leave the partition.
//!
//! The line is kept; only a decision without a quorum forks it (`view_change`).

use std::collections::BTreeSet;

use super::View;
use super::view::NODES_MAX;
use super::view::ViewBuilder;
use crate::names::{Incarnation, Member, NodeId, PartitionId};

/// Why a change is impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("the node is in the view already")]
    AlreadyListed,
    #[error("the node is not in the view")]
    NotListed,
    #[error("the node is the last one of the view")]
    LastNode,
    #[error(
        "the other nodes of the view have never come up, so this one has all keys; start one of them first, or \
         remove them"
    )]
    LastMember,
    #[error("the view has {NODES_MAX} nodes, and no room for another")]
    Full,
}

/// The same placement, listing the lives in which these nodes came up. Members whose nodes are not
/// listed are left out: they were removed while they came up.
pub fn admit(view: &View, members: &[Member]) -> View {
    let mut builder = successor(view);
    for (node, incarnation) in &mut builder.nodes {
        let born = members.iter().rfind(|member| member.node == *node);
        *incarnation = born.map(|member| member.incarnation).or(*incarnation);
    }
    builder.finish()
}

/// The view with this node added.
pub fn add(view: &View, member: &Member) -> Result<View, ChangeError> {
    if view.lists(&member.node) {
        return Err(ChangeError::AlreadyListed);
    }
    if view.nodes().len() == NODES_MAX {
        return Err(ChangeError::Full);
    }
    let mut builder = successor(view);
    builder
        .nodes
        .push((member.node.clone(), Some(member.incarnation)));
    if view.is_degraded() {
        builder.partitions[0].insert(member.node.clone());
    } else {
        gather(&mut builder);
    }
    Ok(builder.finish())
}

/// The view with this node removed.
pub fn remove(view: &View, node: &NodeId) -> Result<View, ChangeError> {
    if !view.lists(node) {
        return Err(ChangeError::NotListed);
    }
    if view.nodes().len() == 1 {
        return Err(ChangeError::LastNode);
    }
    // No member would be left to decide on the next view, or to carry this one out.
    let is_member = view.member(node).is_some();
    if is_member && view.members().count() == 1 {
        return Err(ChangeError::LastMember);
    }
    let mut builder = successor(view);
    builder.nodes.retain(|(listed, _)| listed != node);
    if let Some(partition) = view.partition_of_node(node) {
        builder.partitions[partition.0 as usize].remove(node);
        fill(&mut builder, partition);
    }
    Ok(builder.finish())
}

fn successor(view: &View) -> ViewBuilder {
    let mut builder = ViewBuilder::of(view);
    builder.epoch = view.epoch.next();
    builder
}

/// Makes a partition of the proxies if there are enough of them.
fn gather(builder: &mut ViewBuilder) {
    let proxies: BTreeSet<NodeId> = proxies(builder).into_iter().map(|(node, _)| node).collect();
    if proxies.len() == builder.replicas as usize {
        builder.table.add_partition(builder.partitions.len());
        builder.partitions.push(proxies);
    }
}

/// Closes the gap that a lost replica left in its partition.
fn fill(builder: &mut ViewBuilder, partition: PartitionId) {
    let at = partition.0 as usize;
    let proxies = proxies(builder);
    // Prefer a proxy that is up over the first one listed: a replica that has not come up holds no copy.
    let up = proxies.iter().find(|(_, incarnation)| incarnation.is_some());
    if let Some((proxy, _)) = up.or(proxies.first()) {
        builder.partitions[at].insert(proxy.clone());
    } else if builder.partitions.len() > 1 {
        builder.table.dissolve(partition, builder.partitions.len());
        builder.partitions.swap_remove(at);
    }
    // Otherwise it is the only partition, and goes on with fewer than K nodes.
}

fn proxies(builder: &ViewBuilder) -> Vec<(NodeId, Option<Incarnation>)> {
    let placed: BTreeSet<&NodeId> = builder.partitions.iter().flatten().collect();
    let unplaced = builder.nodes.iter().filter(|(node, _)| !placed.contains(node));
    unplaced.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Epoch, SLOTS, Slot};
    use crate::protocol::placement::examples::{first, member, node, reborn};

    fn numbers(nodes: &[NodeId]) -> Vec<u64> {
        let number = |node: &NodeId| node.host()[1..].parse().expect("is numbered");
        nodes.iter().map(number).collect()
    }

    fn partitions(view: &View) -> Vec<Vec<u64>> {
        view.partitions().map(|(_, nodes)| numbers(nodes)).collect()
    }

    #[test]
    fn a_lone_newcomer_is_a_proxy_and_two_make_a_partition_of_k_two() {
        let five = add(&first(2, 4, 0), &member(4)).expect("is new");
        assert_eq!(partitions(&five), [[0, 1], [2, 3]]);
        assert!(five.is_proxy(&node(4)));
        let six = add(&five, &member(5)).expect("is new");
        assert_eq!(partitions(&six), [[0, 1], [2, 3], [4, 5]]);
        assert_eq!(
            six.slots_of_partition(PartitionId(2)).len(),
            usize::from(SLOTS) / 3
        );
        assert_eq!(six.epoch, Epoch(3));
    }

    #[test]
    fn a_proxy_takes_the_place_of_a_lost_replica() {
        let view = remove(&first(2, 5, 0), &node(1)).expect("is listed");
        assert_eq!(partitions(&view), [[0, 4], [2, 3]]);
        let lower_half = (0..SLOTS / 2).map(Slot).collect();
        assert_eq!(view.slots_of_partition(PartitionId(0)), lower_half);
    }

    #[test]
    fn a_proxy_that_is_up_is_preferred() {
        let mut parts = first(3, 5, 0).to_parts();
        parts.nodes[3].1 = None;
        let view = View::from_parts(parts).expect("is a view");
        let next = remove(&view, &node(0)).expect("is listed");
        assert_eq!(partitions(&next), [[1, 2, 4]]);
    }

    #[test]
    fn without_a_proxy_the_partition_is_dissolved_and_the_last_takes_its_number() {
        let view = remove(&first(2, 6, 0), &node(0)).expect("is listed");
        assert_eq!(partitions(&view), [[4, 5], [2, 3]]);
        assert!(view.is_proxy(&node(1)));
        // The survivor fills the next gap.
        let view = remove(&view, &node(2)).expect("is listed");
        assert_eq!(partitions(&view), [[4, 5], [1, 3]].map(Vec::from));
    }

    #[test]
    fn the_only_partition_goes_on_with_fewer_nodes_and_fills_up_again() {
        let mut view = first(3, 3, 0);
        for gone in [1, 0] {
            view = remove(&view, &node(gone)).expect("is listed");
            assert!(view.is_degraded());
        }
        assert_eq!(partitions(&view), [[2]]);
        for new in 3..6 {
            view = add(&view, &member(new)).expect("is new");
        }
        assert_eq!(partitions(&view), [[2, 3, 4]]);
        assert!(view.is_proxy(&node(5)));
    }

    #[test]
    fn an_admitted_node_is_listed_in_its_new_life_in_its_old_place() {
        let view = first(2, 5, 0);
        let reborn = reborn(1, 77);
        let next = admit(&view, &[reborn.clone(), member(9)]);
        assert!(next.is_member(&reborn) && !next.is_member(&member(1)));
        assert!(next.is_member(&member(0)) && !next.lists(&node(9)));
        assert_eq!(partitions(&next), partitions(&view));
        assert_eq!(next.epoch, Epoch(2));
    }

    #[test]
    fn impossible_changes_are_named() {
        let view = first(2, 2, 0);
        assert_eq!(add(&view, &member(0)), Err(ChangeError::AlreadyListed));
        assert_eq!(remove(&view, &node(5)), Err(ChangeError::NotListed));
        let last = first(2, 1, 0);
        assert_eq!(remove(&last, &node(0)), Err(ChangeError::LastNode));
        let mut parts = first(2, 3, 0).to_parts();
        parts.nodes[1].1 = None;
        parts.nodes[2].1 = None;
        let others_never_came = View::from_parts(parts).expect("is a view");
        assert_eq!(remove(&others_never_came, &node(0)), Err(ChangeError::LastMember));
        assert!(remove(&others_never_came, &node(1)).is_ok());
        let most = NODES_MAX as u64;
        let full = first(1, most, 0);
        assert_eq!(add(&full, &member(most)), Err(ChangeError::Full));
    }
}
