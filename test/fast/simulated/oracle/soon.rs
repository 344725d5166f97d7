//! Tests the checks of freshness and availability for calm spans of a run.

use super::script::history;
use crate::support::history::OpId;
use crate::support::timing::{Calm, Late, answers_over, late_reads, slowest, unanswered};

/// Lines of a script begin at 10, 20, … and take 5 each.
fn late(grace_us: u64, text: &str) -> Vec<Late> {
    let whole_run = 0..u64::MAX;
    let calm = Calm {
        writes_us: whole_run.clone(),
        reads_us: whole_run,
        grace_us,
    };
    late_reads(&history(text), &calm)
}

#[test]
fn a_put_is_readable_at_another_node_after_its_answer() {
    let text = "alice: put x 1 @5
                alice: put x 2 @6
                bob at 1: get x = 1 @5";
    let expected = Late {
        read: OpId(3),
        write: OpId(2),
        behind_us: 5,
    };
    assert_eq!(late(0, text), [expected]);
    assert_eq!(late(5, text), [expected]);
    assert_eq!(late(6, text), []);
}

#[test]
fn a_newer_value_is_as_good_and_so_is_one_of_unknown_age() {
    assert_eq!(
        late(
            0,
            "alice: put x 1 @5
             bob: put x 2 @6
             alice2: put x 3 @4
             carol: put x 4 unknown
             bob at 1: get x = 2 @6
             dave at 2: get x = 4"
        ),
        []
    );
}

#[test]
fn nothing_is_late_unless_a_deletion_may_have_won() {
    let put = "alice: put x 1 @5";
    let missed = "dave at 1: get x = none";
    let misses = |between: &str| late(0, &format!("{put}\n{between}\n{missed}")).len();
    assert_eq!(misses(""), 1);
    assert_eq!(misses("bob: delete x @4"), 1);
    assert_eq!(misses("bob: delete x @6"), 0);
    assert_eq!(misses("bob: delete x unknown"), 0);
}

#[test]
fn a_cut_excuses_writes_and_reads_outside_the_calm() {
    let history = history(
        "alice: put x 1 @5
         alice: put x 2 @6
         bob at 1: get x = 1 @5",
    );
    let late = |writes_us, reads_us| {
        let calm = Calm {
            writes_us,
            reads_us,
            grace_us: 0,
        };
        late_reads(&history, &calm).len()
    };
    assert_eq!(late(0..25, 30..35), 1);
    assert_eq!(late(0..24, 30..35), 0);
    assert_eq!(late(0..25, 31..99), 0);
}

#[test]
fn slow_and_missing_answers_are_named() {
    let mut history = history(
        "alice: put x 1
         bob: get x refused
         carol: put x 2 unknown",
    );
    history.events[1].end_us = 28;
    assert_eq!(slowest(&history).map(|event| event.id), Some(OpId(2)));
    assert_eq!(answers_over(&history, 7).len(), 1);
    assert_eq!(unanswered(&history, 0..99).len(), 2);
    assert_eq!(unanswered(&history, 25..99).len(), 1);
}
