//! Defines quorums: any two share a node, so two quorums can never decide differently.
//!
//! Separate from the view, because the addresses in `VIEW` choose the first view by the same rule.

use std::collections::BTreeSet;

use super::View;
use crate::names::NodeId;
use crate::planted::{self, Fault};

/// True if `voters` may decide for `nodes`: a majority of them, or exactly half including the smallest,
/// so that one of two nodes can go on alone. Voters that are not among the nodes do not count.
pub fn is_quorum_of(voters: &BTreeSet<NodeId>, nodes: &BTreeSet<NodeId>) -> bool {
    let votes = voters.intersection(nodes).count();
    let has_smallest = nodes.first().is_some_and(|smallest| voters.contains(smallest));
    let may_be_half = has_smallest || planted::is(Fault::HalfIsAQuorum);
    votes * 2 > nodes.len() || (votes * 2 == nodes.len() && may_be_half)
}

impl View {
    /// True if `voters` may decide for this view: see [`is_quorum_of`].
    pub fn is_quorum(&self, voters: &BTreeSet<NodeId>) -> bool {
        is_quorum_of(voters, &self.nodes().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::placement::examples::{first, node};

    fn nodes(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
        numbers.into_iter().map(node).collect()
    }

    fn subsets(of: u64) -> impl Iterator<Item = BTreeSet<NodeId>> {
        (0u64..1 << of).map(move |bits| nodes((0..of).filter(move |number| bits & (1 << number) != 0)))
    }

    #[test]
    fn any_two_quorums_meet_and_of_two_halves_one_is_a_quorum() {
        for size in 1..=6 {
            let all = nodes(0..size);
            let quorums: Vec<_> = subsets(size)
                .filter(|voters| is_quorum_of(voters, &all))
                .collect();
            for a in &quorums {
                assert!(quorums.iter().all(|b| !a.is_disjoint(b)), "{a:?} of {size}");
            }
            for voters in subsets(size) {
                let others = all.difference(&voters).cloned().collect();
                assert_ne!(is_quorum_of(&voters, &all), is_quorum_of(&others, &all));
            }
        }
    }

    #[test]
    fn strangers_do_not_vote_and_nobody_decides_for_nobody() {
        assert!(!is_quorum_of(&nodes([0, 7, 8, 9]), &nodes(0..3)));
        assert!(!is_quorum_of(&nodes([0]), &nodes([])));
    }

    #[test]
    fn proxies_and_nodes_that_are_not_up_yet_count_in_a_view() {
        let view = first(2, 5, 3);
        assert!(view.is_quorum(&nodes(2..5)));
        assert!(!view.is_quorum(&nodes(0..2)));
    }
}
