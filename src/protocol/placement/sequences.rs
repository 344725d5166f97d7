//! Random histories of views: every step keeps the promises of a view and moves no key without need.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::examples::{first, node, reborn};
use super::{Moves, SlotSet, View, next};
use crate::names::{NodeId, PartitionId, SLOTS};

const NODES: u64 = 12;

#[derive(Debug, Clone, Copy)]
enum Change {
    /// Adds the node if it is not listed.
    Add(u64),
    /// Removes the node if it is listed and not the last.
    Remove(u64),
    /// Admits a new life of the node, listed or not.
    Admit(u64),
}

/// The number of nodes in the first view, and how many of them are not up.
fn nodes() -> impl Strategy<Value = (u64, u64)> {
    (1..=NODES).prop_flat_map(|count| (Just(count), 0..=count))
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        3 => (0..NODES).prop_map(Change::Add),
        3 => (0..NODES).prop_map(Change::Remove),
        1 => (0..NODES).prop_map(Change::Admit),
    ];
    proptest::collection::vec(change, 1..30)
}

/// The next view, or none if the change is impossible and rightly refused.
fn apply(view: &View, change: Change, life: u64) -> Option<View> {
    let (Change::Add(number) | Change::Remove(number) | Change::Admit(number)) = change;
    let member = reborn(number, life);
    let listed = view.lists(&member.node);
    let (next, possible) = match change {
        Change::Add(_) => (next::add(view, &member), !listed),
        Change::Remove(_) => {
            let is_last = view.members().all(|other| other.node == member.node);
            let is_last_member = is_last && view.member(&member.node).is_some();
            let possible = listed && view.nodes().len() > 1 && !is_last_member;
            (next::remove(view, &member.node), possible)
        }
        Change::Admit(_) => (Ok(next::admit(view, &[member])), true),
    };
    assert_eq!(next.is_ok(), possible, "{change:?} of {view:?}");
    next.ok()
}

fn check_shape(view: &View) {
    let (nodes, replicas) = (view.nodes().len(), view.replicas as usize);
    assert_eq!(view.partition_count(), (nodes / replicas).max(1));
    let mut seen: Vec<&NodeId> = view.proxies().collect();
    for (_, members) in view.partitions() {
        assert_eq!(members.len(), nodes.min(replicas));
        seen.extend(members);
    }
    assert_eq!(seen.len(), nodes);
    assert_eq!(BTreeSet::from_iter(seen), view.nodes().collect());
    let shares = view
        .partitions()
        .map(|(partition, _)| view.slots_of_partition(partition).len());
    let shares: Vec<usize> = shares.collect();
    assert_eq!(shares.iter().sum::<usize>(), usize::from(SLOTS));
    assert!(
        shares.iter().max() <= shares.iter().min().map(|least| least + 1).as_ref(),
        "{shares:?}"
    );
    assert_eq!(View::from_parts(view.to_parts()).as_ref(), Ok(view));
}

/// Partitions keep their numbers, except the last, which takes the number of a dissolved one.
fn check_numbers(before: &View, after: &View, dissolved: Option<PartitionId>) {
    let kept = before.partition_count().min(after.partition_count());
    for number in (0..kept as u32).map(PartitionId) {
        let last = PartitionId(before.partition_count() as u32 - 1);
        let was = if dissolved == Some(number) { last } else { number };
        let stayed = before
            .nodes_of(was)
            .iter()
            .filter(|node| after.nodes_of(number).contains(node));
        let lost = before
            .nodes_of(was)
            .iter()
            .filter(|node| !after.lists(node))
            .count();
        assert_eq!(stayed.count(), before.nodes_of(was).len() - lost);
        let moved = before
            .slots_of_partition(was)
            .difference(&after.slots_of_partition(number));
        assert!(moved.is_empty() || after.partition_count() > before.partition_count());
    }
}

/// Checks that a change makes only the copies that it needs.
fn check_moves(before: &View, after: &View, change: Change) {
    let moves = Moves::between(before, after);
    let replicas = before.replicas as usize;
    let all = usize::from(SLOTS);
    let (p, q) = (before.partition_count(), after.partition_count());
    match change {
        Change::Admit(_) => assert!(moves.is_empty()),
        Change::Add(_) if q > p => {
            assert_eq!(moves.slots().len(), all / q);
            assert_eq!(moves.slot_copies(), all / q * replicas);
            assert_eq!(moves.gained.len(), replicas);
        }
        Change::Add(_) => assert_eq!(moves.slot_copies(), if before.is_degraded() { all } else { 0 }),
        Change::Remove(number) => check_removal(before, after, &moves, &node(number)),
    }
    if !matches!(change, Change::Remove(_)) {
        check_numbers(before, after, None);
    }
}

fn check_removal(before: &View, after: &View, moves: &Moves, node: &NodeId) {
    let owned = before.slots_of_node(node);
    let home = before.partition_of_node(node);
    let dissolved = home.filter(|_| after.partition_count() < before.partition_count());
    check_numbers(before, after, dissolved);
    assert_eq!(moves.lost.get(node).cloned().unwrap_or_default(), owned);
    if dissolved.is_some() {
        let survivors = before.replicas as usize - 1;
        assert_eq!(moves.slots(), owned);
        assert_eq!(moves.slot_copies(), owned.len() * before.replicas as usize);
        assert_eq!(moves.lost.len(), survivors + 1);
        assert_eq!(after.proxies().count(), survivors);
    } else {
        let replaced = home.is_some() && before.proxies().next().is_some();
        let gained: Vec<&SlotSet> = moves.gained.values().collect();
        assert_eq!(gained, if replaced { vec![&owned] } else { Vec::new() });
        assert!(moves.lost.keys().all(|loser| loser == node));
    }
}

proptest! {
    #[test]
    fn every_step_keeps_the_promises_and_makes_the_fewest_moves(
        replicas in 1u32..=4,
        (count, missing) in nodes(),
        changes in changes(),
    ) {
        let mut view = first(replicas, count, missing);
        check_shape(&view);
        for (life, change) in (1..).zip(changes) {
            let Some(next) = apply(&view, change, life) else { continue };
            let again = apply(&view, change, life);
            prop_assert_eq!(again.as_ref(), Some(&next));
            prop_assert_eq!(next.epoch, view.epoch.next());
            check_shape(&next);
            check_moves(&view, &next, change);
            view = next;
        }
    }

    #[test]
    fn members_are_found_by_node_and_by_id(replicas in 1u32..=4, (count, missing) in nodes(), changes in changes()) {
        let steps = (1..).zip(changes);
        let view = steps.fold(first(replicas, count, missing), |view, (life, change)| {
            apply(&view, change, life).unwrap_or(view)
        });
        for member in view.members() {
            prop_assert!(view.is_member(&member));
            prop_assert!(view.member_by_id(member.id()) == Some(member.clone()));
            for slot in view.slots_of_member(&member).iter() {
                prop_assert!(view.owners(slot).contains(&member.node));
            }
        }
    }
}
