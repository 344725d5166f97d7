//! Each anomaly by name, in the smallest history that has it.

use super::script::history;
use crate::support::oracle::{Kind, Rules, judge};

/// The first violation is of this kind, and it involves these operations.
pub(super) fn finds(kind: Kind, ops: &[u32], text: &str) {
    let history = history(text);
    let verdict = judge(&history, &Rules::default());
    let told = verdict.explain(&history);
    let violation = verdict
        .violations
        .first()
        .unwrap_or_else(|| panic!("nothing found: {told}"));
    let found: Vec<_> = violation.ops.iter().map(|id| id.0).collect();
    assert_eq!((violation.kind, &found[..]), (kind, ops), "{told}");
}

#[test]
fn a_session_that_loses_its_own_write() {
    finds(
        Kind::Stale,
        &[3, 1, 2],
        "alice: put x 1
         alice: put x 2
         alice: get x = 1",
    );
}

#[test]
fn a_read_from_before_what_another_session_handed_over() {
    finds(
        Kind::Stale,
        &[4, 1, 3],
        "alice: put x 1
         bob: get x = 1
         bob: put x 2
         carol <- bob: get x = 1",
    );
}

#[test]
fn a_read_that_goes_back() {
    finds(
        Kind::Stale,
        &[4, 1, 2],
        "alice: put x 1
         alice: put x 2
         bob: get x = 2
         bob: get x = 1",
    );
}

#[test]
fn an_effect_without_its_cause_across_keys() {
    finds(
        Kind::Missing,
        &[4, 1],
        "alice: put photo 1
         alice: put album 2
         bob: get album = 2
         bob: get photo = none",
    );
}

#[test]
fn a_cause_three_hops_and_three_sessions_away() {
    finds(
        Kind::Stale,
        &[7, 1, 2],
        "alice: put x 1
         alice: put x 2
         alice: put y 3
         bob: get y = 3
         bob: put z 4
         carol: get z = 4
         carol: get x = 1",
    );
}

#[test]
fn a_cause_behind_one_of_two_joined_payloads() {
    finds(
        Kind::Missing,
        &[3, 2],
        "alice: put x 1
         bob: put y 2
         carol <- alice, bob: get y = none",
    );
}

#[test]
fn a_delete_that_misses_what_its_session_wrote() {
    finds(
        Kind::Missing,
        &[2, 1],
        "alice: put x 1
         alice: delete x = none",
    );
}

#[test]
fn each_reads_what_the_other_writes_later() {
    let text = "alice: get x = 2
                alice: put y 1
                bob: get y = 1
                bob: put x 2";
    let verdict = judge(&history(text), &Rules::default());
    assert!(verdict.has(Kind::Cycle), "{verdict}");
    assert!(verdict.has(Kind::FromTheFuture), "{verdict}");
}

#[test]
fn values_out_of_thin_air() {
    finds(Kind::ThinAir, &[1], "alice: get x = 9");
    finds(
        Kind::WrongKey,
        &[2, 1],
        "alice: put x 1
         bob: get y = 1",
    );
    finds(
        Kind::RefusedWrite,
        &[2, 1],
        "alice: put x 1 refused
         bob: get x = 1",
    );
}

#[test]
fn a_deleted_key_that_comes_back() {
    finds(
        Kind::DeletedKeyBack,
        &[3, 1, 2],
        "alice: put x 1
         alice: delete x
         alice: get x = 1",
    );
}

#[test]
fn a_key_that_was_seen_deleted_and_comes_back() {
    finds(
        Kind::DeletedKeyBack,
        &[5, 1, 4],
        "alice: put x 1
         bob: get x = 1
         carol: delete x unknown
         bob: get x = none
         bob: get x = 1",
    );
}

#[test]
fn a_deletion_that_was_overwritten_explains_nothing() {
    finds(
        Kind::Missing,
        &[3, 2],
        "alice: delete x
         alice: put x 1
         bob <- alice: get x = none",
    );
    // The deletion is concurrent, but it lost.
    finds(
        Kind::Missing,
        &[3, 2],
        "alice: delete x @5
         bob: put x 1 @6
         bob: get x = none",
    );
}

#[test]
fn a_deletion_that_had_not_begun_explains_nothing() {
    finds(
        Kind::Missing,
        &[2, 1],
        "alice: put x 1
         alice: get x = none
         bob: delete x",
    );
}

#[test]
fn a_concurrent_write_that_lost_is_shown_to_a_client_that_saw_the_winner() {
    finds(
        Kind::LoserRead,
        &[4, 1, 2],
        "alice: put x 1 @5
         bob: put x 2 @6
         carol: get x = 2 @6
         carol: get x = 1 @5",
    );
}

#[test]
fn two_readers_that_see_concurrent_writes_in_opposite_orders() {
    // Legal under plain causal consistency, but not where replicas agree on the winner.
    let text = "alice: put x 1 @5
                bob: put x 2 @6
                carol: get x = 1
                carol: get x = 2
                dave: get x = 2
                dave: get x = 1";
    let verdict = judge(&history(text), &Rules::default());
    assert_eq!(verdict.violations.len(), 1, "{verdict}");
    assert!(verdict.has(Kind::LoserRead));
}

#[test]
fn a_write_stamped_before_what_it_depends_on() {
    finds(
        Kind::TimestampFell,
        &[3, 1],
        "alice: put x 1 @9
         bob: get x = 1 @9
         bob: put x 2 @5",
    );
    finds(
        Kind::TimestampFell,
        &[3, 1],
        "alice: put x 1 @9
         bob: get x = 1 @9
         bob: put y 2 @9",
    );
}

#[test]
fn a_timestamp_that_does_not_travel_with_its_value() {
    finds(
        Kind::TimestampChanged,
        &[2, 1],
        "alice: put x 1 @5
         bob: get x = 1 @6",
    );
}
