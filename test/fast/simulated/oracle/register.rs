//! Tests the judge of registers: what it must reject, and what it must accept.

use std::collections::BTreeSet;

use crate::support::oracle::register::{Act, Operation, Wrong, judge};

/// An operation on the key `k` at a node, from one time to another; the node reaches 0, 1 and 2.
fn at(node: usize, (start_us, end_us): (u64, u64), act: Act) -> Operation {
    Operation {
        key: "k".to_owned(),
        node,
        start_us,
        end_us,
        act,
        reaches: BTreeSet::from([0, 1, 2]),
        is_final: false,
    }
}

fn set(node: usize, value: &str, times: (u64, u64)) -> Operation {
    at(node, times, Act::Set(value.to_owned()))
}

fn got(node: usize, value: &str, times: (u64, u64)) -> Operation {
    at(node, times, Act::Got(Some(value.to_owned())))
}

fn nothing(node: usize, times: (u64, u64)) -> Operation {
    at(node, times, Act::Got(None))
}

fn unknown(node: usize, value: &str, times: (u64, u64)) -> Operation {
    at(node, times, Act::SetUnknown(value.to_owned()))
}

fn alone(mut operation: Operation) -> Operation {
    operation.reaches = BTreeSet::from([operation.node]);
    operation
}

fn last(mut operation: Operation) -> Operation {
    operation.is_final = true;
    operation
}

#[track_caller]
fn assert_legal(history: &[Operation]) {
    assert_eq!(judge(history), []);
}

/// The one thing that is wrong.
#[track_caller]
fn wrong(history: &[Operation]) -> Wrong {
    let mut wrongs = judge(history);
    assert_eq!(wrongs.len(), 1, "{wrongs:?}");
    assert!(!wrongs[0].to_string().is_empty());
    wrongs.remove(0)
}

/// The number of sets in the cycle found.
#[track_caller]
fn cycle(history: &[Operation]) -> usize {
    match wrong(history) {
        Wrong::Cycle(sets) => sets.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_older_value_after_an_answered_set_is_rejected() {
    let history = [set(0, "a", (0, 10)), set(0, "b", (20, 30)), got(1, "a", (31, 40))];
    assert_eq!(cycle(&history), 2);
}

#[test]
fn nothing_after_an_answered_set_is_rejected() {
    let history = [set(0, "a", (0, 10)), nothing(2, (11, 20))];
    assert!(matches!(wrong(&history), Wrong::Missing { .. }));
}

#[test]
fn a_get_that_began_before_the_answer_owes_nothing() {
    assert_legal(&[set(0, "a", (0, 10)), nothing(1, (10, 20)), nothing(1, (5, 50))]);
    assert_legal(&[
        set(0, "a", (0, 10)),
        set(0, "b", (20, 30)),
        got(1, "a", (25, 90)),
        got(1, "b", (25, 90)),
    ]);
}

#[test]
fn a_process_that_does_not_reach_the_writer_owes_nothing() {
    assert_legal(&[
        set(0, "a", (0, 10)),
        set(0, "b", (20, 30)),
        alone(got(1, "a", (40, 50))),
        alone(nothing(2, (40, 50))),
    ]);
    // The process that took it reaches itself.
    let history = [set(0, "a", (0, 10)), alone(nothing(0, (40, 50)))];
    assert!(matches!(wrong(&history), Wrong::Missing { .. }));
}

#[test]
fn either_of_two_sets_at_once_may_win_and_the_same_for_all_readers() {
    let both = [set(0, "a", (0, 10)), set(1, "b", (5, 15))];
    for winner in ["a", "b"] {
        let mut history = both.to_vec();
        history.extend([got(0, winner, (20, 30)), got(1, winner, (20, 30))]);
        assert_legal(&history);
    }
    let mut history = both.to_vec();
    history.extend([got(0, "a", (20, 30)), got(1, "b", (40, 50))]);
    assert_eq!(cycle(&history), 2);
}

#[test]
fn a_later_set_that_loses_against_an_earlier_one_is_rejected() {
    // As with a clock that was not raised: no single get misses what it must see.
    let history = [
        set(0, "a", (0, 10)),
        set(1, "b", (20, 30)),
        got(1, "a", (40, 50)),
        got(0, "a", (40, 50)),
    ];
    assert_eq!(cycle(&history), 2);
    // Where the second writer could not know of the first, either may win.
    assert_legal(&[
        set(0, "a", (0, 10)),
        alone(set(1, "b", (20, 30))),
        got(1, "a", (40, 50)),
        got(0, "a", (40, 50)),
    ]);
}

#[test]
fn a_cycle_of_three_sets_is_rejected() {
    let history = [
        set(0, "a", (0, 100)),
        set(1, "b", (0, 110)),
        set(2, "c", (0, 120)),
        // a before b, b before c, c before a: each get reaches only two of the writers.
        Operation {
            reaches: BTreeSet::from([0, 1]),
            ..got(1, "b", (200, 210))
        },
        Operation {
            reaches: BTreeSet::from([1, 2]),
            ..got(2, "c", (200, 210))
        },
        Operation {
            reaches: BTreeSet::from([0, 2]),
            ..got(0, "a", (200, 210))
        },
    ];
    assert_eq!(cycle(&history), 3);
}

#[test]
fn an_unknown_set_stays_possible_and_obliges_nobody() {
    let both = [set(0, "a", (0, 10)), unknown(1, "b", (20, 30))];
    for seen in [["a", "a"], ["a", "b"], ["b", "b"]] {
        let mut history = both.to_vec();
        history.extend([got(0, seen[0], (500, 510)), got(1, seen[1], (520, 530))]);
        assert_legal(&history);
    }
    assert_legal(&[
        unknown(1, "b", (20, 30)),
        nothing(0, (40, 50)),
        got(0, "b", (60, 70)),
    ]);
    // Once a later set was answered, it cannot win any more where it was seen to lose.
    let mut history = both.to_vec();
    history.extend([
        got(0, "b", (40, 50)),
        set(0, "c", (60, 70)),
        got(1, "a", (80, 90)),
    ]);
    assert_eq!(cycle(&history), 2);
}

#[test]
fn an_unknown_set_that_began_before_an_answered_one_may_still_win() {
    assert_legal(&[
        unknown(1, "b", (0, 5)),
        set(0, "a", (10, 20)),
        got(0, "a", (30, 40)),
        got(0, "b", (50, 60)),
    ]);
    // `b` came after `a`, and keeps that place.
    let history = [
        unknown(1, "b", (0, 5)),
        set(0, "a", (10, 20)),
        got(0, "b", (30, 40)),
        set(0, "c", (50, 60)),
        got(1, "b", (70, 80)),
        got(1, "c", (70, 80)),
    ];
    assert_legal(&history[..5]);
    // `c` was answered before both gets began: `c` comes before `b`, and nothing contradicts it.
    assert_legal(&history);
}

#[test]
fn values_out_of_thin_air_and_from_the_future_are_rejected() {
    assert!(matches!(wrong(&[got(0, "a", (0, 10))]), Wrong::ThinAir(_)));
    let refused = at(0, (0, 10), Act::SetRefused("a".to_owned()));
    assert!(matches!(
        wrong(&[refused, got(0, "a", (20, 30))]),
        Wrong::ThinAir(_)
    ));
    let other = Operation {
        key: "other".to_owned(),
        ..set(0, "a", (0, 10))
    };
    assert!(matches!(
        wrong(&[other, got(0, "a", (20, 30))]),
        Wrong::ThinAir(_)
    ));
    let history = [set(0, "a", (50, 60)), got(0, "a", (0, 10))];
    assert!(matches!(wrong(&history), Wrong::FromTheFuture(_)));
}

#[test]
fn reads_at_the_end_agree_whatever_they_may_see() {
    let history = [
        set(0, "a", (0, 10)),
        unknown(1, "b", (0, 10)),
        last(got(0, "a", (20, 30))),
        last(got(1, "b", (20, 30))),
    ];
    assert!(matches!(wrong(&history), Wrong::Disagreement(..)));
    assert_legal(&history[..3]);
}

#[test]
fn gets_without_an_answer_say_nothing() {
    assert_legal(&[
        set(0, "a", (0, 10)),
        at(1, (20, 30), Act::GotNoAnswer("503".to_owned())),
    ]);
}
