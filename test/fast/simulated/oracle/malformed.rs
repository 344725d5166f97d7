//! Histories that no run can leave: faults of a harness, which must not pass for faults of the store or
//! for a clean run.

use super::script::history;
use crate::support::history::{Answer, Event, OpId, Outcome};
use crate::support::oracle::{Kind, Rules, judge};

const RUN: &str = "alice: put x 1
    bob <- alice: get x = 1
    carol: put x 2 unknown
    dave: get x = 2
    end erin: get x = 2";

/// The operation that the oracle blames after one slip; `None` if it accepts the history.
fn blamed(slip: impl FnOnce(&mut [Event])) -> Option<OpId> {
    let mut history = history(RUN);
    slip(&mut history.events);
    let verdict = judge(&history, &Rules::default());
    let mut malformed = verdict
        .violations
        .iter()
        .filter(|one| one.kind == Kind::Malformed);
    malformed.next().map(|violation| violation.ops[0])
}

#[test]
fn a_run_without_slips_is_a_history() {
    assert_eq!(blamed(|_| {}), None);
}

#[test]
fn payloads_come_from_answers_that_were_there() {
    assert_eq!(blamed(|events| events[1].after = vec![OpId(9)]), Some(OpId(2)));
    assert_eq!(blamed(|events| events[1].payload_in = "p8".into()), Some(OpId(2)));
    assert_eq!(blamed(|events| events[0].end_us = 21), Some(OpId(2)));
    assert_eq!(blamed(|events| events[3].after = vec![OpId(3)]), Some(OpId(4)));
}

#[test]
fn a_payload_may_come_from_an_operation_of_the_same_request() {
    let in_one_request = |events: &mut [Event]| {
        events[1].start_us = events[0].start_us;
        events[0].end_us = events[1].end_us;
        (events[1].session, events[1].node) = (events[0].session, events[0].node);
    };
    assert_eq!(blamed(|events| in_one_request(events)), None);
    let from_elsewhere = |events: &mut [Event]| {
        in_one_request(events);
        events[1].node += 1;
    };
    assert_eq!(blamed(from_elsewhere), Some(OpId(2)));
}

#[test]
fn numbers_and_values_are_unique() {
    assert_eq!(blamed(|events| events[3].id = OpId(1)), Some(OpId(1)));
    assert_eq!(
        blamed(|events| events[2].operation = events[0].operation.clone()),
        Some(OpId(1))
    );
}

#[test]
fn outcomes_fit_their_operations() {
    assert_eq!(
        blamed(|events| events[0].outcome = Outcome::Ok(Answer::NotFound)),
        Some(OpId(1))
    );
    assert_eq!(blamed(|events| events[3].end_us = 39), Some(OpId(4)));
}

#[test]
fn a_session_ends_with_its_unknown_write() {
    assert_eq!(
        blamed(|events| events[3].session = events[2].session),
        Some(OpId(4))
    );
}

#[test]
fn nobody_writes_during_the_final_reads() {
    assert_eq!(blamed(|events| events[0].end_us = 51), Some(OpId(2)));
    let blamed = blamed(|events| {
        events[0].end_us = 51;
        events[1].after.clear();
    });
    assert_eq!(blamed, Some(OpId(1)));
}
