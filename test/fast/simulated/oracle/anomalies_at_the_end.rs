//! Anomalies that only the final reads show: loss, disagreement, no recovery.

use super::anomalies::finds;
use super::script::history;
use crate::support::oracle::{Kind, Rules, judge};

#[test]
fn a_causally_older_write_that_wins_in_the_end() {
    finds(
        Kind::LostWrite,
        &[3, 4],
        "alice: put x 1 @5
         bob: get x = 1 @5
         bob: put x 2 @6
         end carol at 1: get x = 1 @5",
    );
    // The same without timestamps.
    finds(
        Kind::LostWrite,
        &[3, 4],
        "alice: put x 1
         bob: get x = 1
         bob: put x 2
         end carol at 1: get x = 1",
    );
}

#[test]
fn an_acknowledged_write_that_is_gone() {
    finds(
        Kind::LostWrite,
        &[1, 2],
        "alice: put x 1
         end bob at 1: get x = none",
    );
    finds(
        Kind::LostWrite,
        &[2, 3],
        "alice: put x 1 @5
         bob: put x 2 @6
         end carol at 1: get x = 1",
    );
    finds(
        Kind::LostWrite,
        &[2, 3],
        "alice: put x 1 @5
         bob: delete x @6
         end carol at 1: get x = 1",
    );
}

#[test]
fn replicas_that_disagree_at_the_end() {
    finds(
        Kind::Disagreement,
        &[3, 4],
        "alice: put x 1
         bob: put x 2
         end carol at 0: get x = 1
         end dave at 1: get x = 2",
    );
}

#[test]
fn a_replica_that_has_not_recovered_at_the_end() {
    finds(
        Kind::NoAnswerAtEnd,
        &[2],
        "alice: put x 1
         end carol at 0: get x refused",
    );
}

#[test]
fn a_lasting_write_is_lost_even_where_others_may_be() {
    let text = "alice: put x 1 @5 *2
                bob: get x = 1 @5
                bob: put x 2 @6 *1
                end carol at 0: get x = none";
    let rules = Rules {
        lasting_replicas: 2,
        ..Rules::default()
    };
    let verdict = judge(&history(text), &rules);
    assert!(verdict.has(Kind::LostWrite), "{verdict}");
}
