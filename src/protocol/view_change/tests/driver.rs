//! The driver of a change: one step after the other, waiting only for nodes that answer.

use super::*;
use crate::names::{Epoch, MemberId};
use crate::protocol::view_change::{Change, Phase, Report, SEALED_SILENCE_MS, SILENCE_MS, STUCK_MS};

const BEGIN_MS: u64 = 1_000_000;

/// Node 3 takes the place of node 1 of the first three.
fn views() -> (View, View) {
    let before = first(3, 0);
    let with_three = next::add(&before, &member(3)).expect("is new");
    (before, next::remove(&with_three, &node(1)).expect("is listed"))
}

fn change() -> Change {
    let (before, after) = views();
    Change::new(Some(&before), &after, BEGIN_MS, |_| 0)
}

fn report(number: u64) -> Report {
    Report {
        by: member(number).id(),
        active: Epoch(1),
        sealed: Epoch(1),
        knows: true,
        copied: false,
        keys_moved: 0,
        keys_to_go: 0,
        through_with: BTreeSet::new(),
    }
}

fn copied(number: u64) -> Report {
    Report {
        copied: true,
        ..report(number)
    }
}

fn sealed(number: u64) -> Report {
    Report {
        sealed: Epoch(3),
        ..copied(number)
    }
}

fn through(number: u64, with: &[u64]) -> Report {
    let through_with = with.iter().map(|number| member(*number).id()).collect();
    Report {
        through_with,
        ..sealed(number)
    }
}

fn active(number: u64) -> Report {
    Report {
        active: Epoch(3),
        ..sealed(number)
    }
}

fn hear(change: &mut Change, reports: impl IntoIterator<Item = Report>, now_ms: u64) {
    for report in reports {
        let by = (0..9).find(|number| [0, 9].iter().any(|life| reborn(*number, *life).id() == report.by));
        change.heard(&node(by.expect("is a node of the test")), report, now_ms);
    }
}

fn givers(change: &Change) -> BTreeSet<MemberId> {
    change.order().givers
}

fn ids(numbers: &[u64]) -> BTreeSet<MemberId> {
    numbers.iter().map(|number| member(*number).id()).collect()
}

/// A change in which every node has answered up to `phase`.
fn change_at(phase: Phase) -> Change {
    let mut change = change();
    for (at, answer) in [
        (Phase::Copy, copied as fn(u64) -> Report),
        (Phase::Seal, sealed),
        (Phase::HandOver, |number| through(number, &[0, 1, 2])),
    ] {
        if change.phase() == at && at < phase {
            hear(&mut change, (0..4).map(answer), BEGIN_MS);
            assert!(change.step(BEGIN_MS));
        }
    }
    assert_eq!(change.phase(), phase);
    change
}

#[test]
fn the_steps_follow_one_another_when_everybody_is_through() {
    let mut change = change();
    assert_eq!(change.nodes().count(), 4);
    type Answer = fn(u64) -> Report;
    let answers: [(Phase, Answer); 4] = [
        (Phase::Copy, copied),
        (Phase::Seal, sealed),
        (Phase::HandOver, |number| through(number, &[0, 1, 2])),
        (Phase::Activate, active),
    ];
    for (phase, answer) in answers {
        assert_eq!(change.order().phase, phase);
        hear(&mut change, [0, 1, 3].map(answer), BEGIN_MS);
        assert!(
            !change.step(BEGIN_MS) && change.waits_for(BEGIN_MS) == [node(2)],
            "{phase:?}"
        );
        hear(&mut change, [answer(2)], BEGIN_MS);
        assert!(change.step(BEGIN_MS), "{phase:?}");
    }
    assert_eq!((change.phase(), change.step(BEGIN_MS)), (Phase::Done, false));
    assert_eq!(change.order().target, Epoch(3));
}

#[test]
fn takers_need_not_seal_and_old_members_need_not_take() {
    let mut change = change_at(Phase::Seal);
    hear(&mut change, [0, 1, 2].map(sealed), BEGIN_MS);
    assert!(change.step(BEGIN_MS));
    assert_eq!(givers(&change), ids(&[0, 1, 2]));
    hear(
        &mut change,
        [0, 2, 3].map(|number| through(number, &[0, 1])),
        BEGIN_MS,
    );
    assert_eq!(change.waits_for(BEGIN_MS), [node(0), node(2), node(3)]);
    hear(
        &mut change,
        [0, 2, 3].map(|number| through(number, &[0, 1, 2])),
        BEGIN_MS,
    );
    assert!(change.step(BEGIN_MS));
}

#[test]
fn a_node_that_was_silent_before_the_change_is_not_waited_for() {
    let (before, after) = views();
    let silent = |silent: &NodeId| if *silent == node(2) { SILENCE_MS } else { 0 };
    let change = Change::new(Some(&before), &after, BEGIN_MS, silent);
    assert_eq!(change.waits_for(BEGIN_MS), [node(0), node(1), node(3)]);
}

#[test]
fn a_dead_node_that_is_removed_is_not_waited_for_unless_it_comes_back() {
    let mut change = change();
    // Node 2 stays, and may be restarting.
    for dead in [1, 2] {
        change.refused(&node(dead));
    }
    hear(&mut change, [0, 3].map(copied), BEGIN_MS);
    assert_eq!(change.waits_for(BEGIN_MS), [node(2)]);
    hear(&mut change, [copied(2)], BEGIN_MS);
    assert!(change.step(BEGIN_MS));
    hear(&mut change, [0, 2, 3].map(sealed), BEGIN_MS);
    assert!(change.waits_for(BEGIN_MS).is_empty());
    hear(&mut change, [copied(1)], BEGIN_MS);
    assert_eq!(change.waits_for(BEGIN_MS), [node(1)]);
}

#[test]
fn a_node_that_is_not_up_is_not_asked() {
    let before = first(3, 1);
    let after = next::admit(&before, &[]);
    let change = Change::new(Some(&before), &after, BEGIN_MS, |_| 0);
    assert_eq!(change.nodes().collect::<Vec<_>>(), [&node(0), &node(1)]);
    // The change to the first view has no givers.
    let change = Change::new(None, &before, BEGIN_MS, |_| 0);
    assert_eq!((change.nodes().count(), givers(&change).len()), (2, 0));
}

#[test]
fn a_silent_node_is_passed_over_in_every_step_and_may_come_back() {
    for (phase, patience_ms) in [
        (Phase::Copy, SILENCE_MS),
        (Phase::Seal, SEALED_SILENCE_MS),
        (Phase::HandOver, SEALED_SILENCE_MS),
        (Phase::Activate, SEALED_SILENCE_MS),
    ] {
        let mut change = change_at(phase);
        hear(&mut change, [report(2)], BEGIN_MS);
        let waits = |change: &Change, ms: u64| change.waits_for(BEGIN_MS + ms).contains(&node(2));
        assert!(
            waits(&change, patience_ms - 1) && !waits(&change, patience_ms),
            "{phase:?}"
        );
        hear(&mut change, [report(2)], BEGIN_MS + patience_ms);
        let taker_only_seals = phase == Phase::HandOver && !waits(&change, patience_ms);
        assert!(waits(&change, patience_ms) || taker_only_seals, "{phase:?}");
    }
}

#[test]
fn silence_is_counted_anew_when_a_step_begins_unless_it_was_long() {
    let mut change = change_at(Phase::Copy);
    hear(&mut change, (0..4).map(copied), BEGIN_MS);
    let late_ms = BEGIN_MS + SILENCE_MS - 1;
    assert!(change.step(late_ms));
    assert_eq!(change.waits_for(late_ms), [node(0), node(1), node(2)]);
    assert!(change.waits_for(late_ms + 1).is_empty());
}

#[test]
fn a_node_that_answers_and_gets_nowhere_is_passed_over_while_writes_wait() {
    let mut change = change_at(Phase::HandOver);
    let stuck = |change: &mut Change, ms: u64, report: Report| {
        hear(change, [report], BEGIN_MS + ms);
        !change.waits_for(BEGIN_MS + ms).contains(&node(3))
    };
    assert!(!stuck(&mut change, STUCK_MS - 1, sealed(3)));
    // It reported something new: it has its time again.
    assert!(!stuck(&mut change, STUCK_MS, through(3, &[0])));
    assert!(!stuck(&mut change, 2 * STUCK_MS - 1, through(3, &[0])));
    assert!(stuck(&mut change, 2 * STUCK_MS, through(3, &[0])));
    // A copy may take long: the old view serves.
    let mut change = change_at(Phase::Copy);
    assert!(!stuck(&mut change, 100 * STUCK_MS, report(3)));
}

#[test]
fn a_member_that_was_passed_over_and_seals_late_is_taken_from() {
    let mut change = change_at(Phase::Seal);
    hear(&mut change, [0, 1, 3].map(sealed), BEGIN_MS);
    let later_ms = BEGIN_MS + SILENCE_MS;
    hear(&mut change, [0, 1, 3].map(sealed), later_ms);
    assert!(change.step(later_ms));
    assert_eq!(givers(&change), ids(&[0, 1]));
    hear(&mut change, [sealed(2)], later_ms);
    assert_eq!(givers(&change), ids(&[0, 1, 2]));
    hear(
        &mut change,
        [0, 3].map(|number| through(number, &[0, 1])),
        later_ms,
    );
    assert!(!change.step(later_ms));
}

#[test]
fn a_node_that_came_back_empty_is_neither_the_giver_nor_the_taker_that_it_was() {
    let empty = |number: u64| Report {
        by: reborn(number, 9).id(),
        active: Epoch::NONE,
        ..sealed(number)
    };
    let mut change = change_at(Phase::HandOver);
    hear(&mut change, [empty(2)], BEGIN_MS);
    assert_eq!(givers(&change), ids(&[0, 1]));
    hear(
        &mut change,
        [0, 3].map(|number| through(number, &[0, 1])),
        BEGIN_MS,
    );
    assert!(change.step(BEGIN_MS));
    // It waits to be listed, and activates nothing until then.
    hear(&mut change, [0, 1, 3].map(active), BEGIN_MS);
    assert!(change.step(BEGIN_MS));
    let mut change = change_at(Phase::Seal);
    hear(
        &mut change,
        [
            report(0),
            report(1),
            Report {
                sealed: Epoch::NONE,
                ..empty(2)
            },
        ],
        BEGIN_MS,
    );
    assert_eq!(change.waits_for(BEGIN_MS), [node(0), node(1)]);
}

#[test]
fn a_member_that_is_active_in_the_new_view_is_done_and_hands_nothing_over() {
    let mut change = change_at(Phase::HandOver);
    hear(&mut change, [active(0)], BEGIN_MS);
    assert_eq!(givers(&change), ids(&[1, 2]));
    hear(
        &mut change,
        [2, 3].map(|number| through(number, &[1, 2])),
        BEGIN_MS,
    );
    assert!(change.step(BEGIN_MS));
}

#[test]
fn a_member_that_never_served_has_nothing_to_give_and_is_not_waited_for() {
    // Node 1 was just added, and is removed before it activated the view that added it.
    let mut change = change();
    let never_served = Report {
        active: Epoch::NONE,
        ..report(1)
    };
    for number in [0, 2, 3] {
        change.heard(&node(number), copied(number), BEGIN_MS);
    }
    change.heard(&node(1), never_served, BEGIN_MS);
    assert!(change.waits_for(BEGIN_MS).is_empty());
    assert!(change.step(BEGIN_MS) && change.phase() == Phase::Seal);
    for number in [0, 2, 3] {
        change.heard(&node(number), sealed(number), BEGIN_MS);
    }
    assert!(change.step(BEGIN_MS));
    let givers = change.order().givers;
    assert!(givers.contains(&member(0).id()) && !givers.contains(&member(1).id()));
}
