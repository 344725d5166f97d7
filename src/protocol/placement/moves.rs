//! Compares two views: which node must fetch which slots, and which node may drop which slots.
//!
//! By node, as placement is. A node that keeps its place in a new life moves nothing here, but must
//! fetch everything: a *member* gains the difference of [`View::slots_of_member`].

use std::collections::{BTreeMap, BTreeSet};

use super::{SlotSet, View};
use crate::names::NodeId;

/// The slots that a view change moves. Nodes that gain or lose nothing are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moves {
    /// The slots that each node owns only after the change.
    pub gained: BTreeMap<NodeId, SlotSet>,
    /// The slots that each node owned only before the change.
    pub lost: BTreeMap<NodeId, SlotSet>,
}

impl Moves {
    pub fn between(before: &View, after: &View) -> Self {
        let mut moves = Self::default();
        let nodes: BTreeSet<&NodeId> = before.nodes().chain(after.nodes()).collect();
        for node in nodes {
            let (had, has) = (before.slots_of_node(node), after.slots_of_node(node));
            let both = [
                (&mut moves.gained, has.difference(&had)),
                (&mut moves.lost, had.difference(&has)),
            ];
            for (moved, slots) in both {
                if !slots.is_empty() {
                    moved.insert(node.clone(), slots);
                }
            }
        }
        moves
    }

    /// The slots that get an owner they did not have.
    pub fn slots(&self) -> SlotSet {
        let gained = self.gained.values();
        gained.fold(SlotSet::default(), |all, slots| all.union(slots))
    }

    /// How many copies of a slot are made: one for each slot and each node that gains it.
    pub fn slot_copies(&self) -> usize {
        self.gained.values().map(SlotSet::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.gained.is_empty() && self.lost.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::SLOTS;
    use crate::protocol::placement::examples::{first, member, node, reborn};
    use crate::protocol::placement::next;

    #[test]
    fn a_proxy_that_replaces_a_replica_gains_what_that_one_loses() {
        let before = first(2, 5, 0);
        let after = next::remove(&before, &node(1)).expect("is listed");
        let moves = Moves::between(&before, &after);
        let half: SlotSet = before.slots_of_node(&node(1));
        assert_eq!(moves.gained, BTreeMap::from([(node(4), half.clone())]));
        assert_eq!(moves.lost, BTreeMap::from([(node(1), half.clone())]));
        assert_eq!((moves.slots(), moves.slot_copies()), (half, 8192));
    }

    #[test]
    fn slots_that_move_are_copied_to_each_replica() {
        let before = first(2, 3, 0);
        let after = next::add(&before, &member(3)).expect("is new");
        let moves = Moves::between(&before, &after);
        assert_eq!(moves.slots().len(), usize::from(SLOTS) / 2);
        assert_eq!(moves.slot_copies(), usize::from(SLOTS));
        assert_eq!(moves.lost.len(), 2);
    }

    #[test]
    fn a_node_in_a_new_life_moves_nothing() {
        let before = first(2, 4, 0);
        let reborn = reborn(1, 77);
        let after = next::admit(&before, std::slice::from_ref(&reborn));
        assert!(Moves::between(&before, &after).is_empty());
    }
}
