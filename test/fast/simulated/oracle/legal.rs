//! Odd histories that a causal store may leave: each the counterpart of an anomaly.

use super::script::history;
use crate::support::history::OpId;
use crate::support::oracle::{Kind, Rules, judge};

fn allows(text: &str) {
    allows_under(&Rules::default(), text);
}

fn allows_under(rules: &Rules, text: &str) {
    let history = history(text);
    let verdict = judge(&history, rules);
    assert!(verdict.is_clean(), "{}", verdict.explain(&history));
}

#[test]
fn sessions_without_exchange_owe_each_other_nothing() {
    allows(
        "alice: put x 1 @5
         alice: put x 2 @6
         bob: get x = 1 @5
         carol: get x = none
         bob: get x = 2 @6",
    );
}

#[test]
fn a_session_that_hands_in_nothing_depends_on_nothing() {
    allows(
        "alice: put x 1
         alice2: get x = none
         alice3: get x = 1
         alice4: get x = none",
    );
}

#[test]
fn a_session_that_does_not_thread_its_payload_has_no_order() {
    let mut history = history(
        "alice: put x 1
         alice: put x 2
         bob: get x = 2
         bob: get x = 1",
    );
    assert!(judge(&history, &Rules::default()).has(Kind::Stale));
    history.events[1].after.clear();
    assert!(judge(&history, &Rules::default()).is_clean());
}

#[test]
fn concurrent_writes_are_seen_in_either_order() {
    allows(
        "alice: put x 1
         bob: put x 2
         carol: get x = 1
         carol: get x = 2
         dave: get x = 2
         dave: get x = 1
         end erin at 0: get x = 2
         end erin at 1: get x = 2",
    );
}

#[test]
fn a_blind_write_may_lose_at_once() {
    allows(
        "alice: put x 1 @9
         bob: put x 2 @5
         bob: get x = 1 @9
         end carol at 0: get x = 1 @9",
    );
}

#[test]
fn equal_timestamps_decide_nothing() {
    allows(
        "alice: put x 1 @5
         bob: put x 2 @5
         bob: get x = 1 @5
         alice: get x = 1 @5
         end carol at 0: get x = 1 @5",
    );
    allows(
        "alice: put x 1 @5
         bob: delete x @5
         alice: get x = none
         end carol at 0: get x = none",
    );
}

#[test]
fn an_unknown_write_appears_late_or_never() {
    allows(
        "alice: put x 1
         bob: put x 2 unknown
         alice: get x = 1
         alice: get x = 2
         alice: put x 3
         end carol at 0: get x = 3",
    );
    allows(
        "bob: put x 2 unknown
         alice: put x 1 @5
         alice: get x = 1 @5
         end carol at 0: get x = 2",
    );
    allows(
        "bob: put x 2 unknown
         alice: put x 1 @5
         end carol at 0: get x = 1 @5",
    );
}

#[test]
fn an_unknown_deletion_explains_nothing_found() {
    allows(
        "alice: put x 1
         bob <- alice: delete x unknown
         alice: get x = 1
         alice: get x = none
         end carol at 0: get x = none",
    );
}

#[test]
fn a_deletion_and_a_concurrent_put() {
    allows(
        "alice: put x 1 @1
         bob <- alice: delete x @5
         carol <- alice: put x 2 @6
         bob: get x = none
         bob: get x = 2 @6
         end dave at 0: get x = 2 @6",
    );
    allows(
        "alice: put x 1 @1
         bob <- alice: delete x @7
         carol <- alice: put x 2 @6
         carol: get x = none
         end dave at 0: get x = none",
    );
}

#[test]
fn a_key_is_put_again_after_its_deletion() {
    allows(
        "alice: put x 1 @1
         alice: delete x @2
         alice: get x = none
         alice: put x 2 @3
         bob <- alice: get x = 2 @3
         end bob at 0: get x = 2 @3",
    );
}

#[test]
fn a_refused_read_changes_nothing() {
    allows(
        "alice: put x 1
         alice: get x refused
         alice: get x unknown
         alice: get x = 1",
    );
}

#[test]
fn a_read_write_pair_on_other_keys_is_no_overwrite() {
    allows(
        "alice: put x 1
         bob: get x = 1
         bob: put y 2
         carol: get y = 2
         carol: get x = 1",
    );
}

#[test]
fn a_write_that_one_replica_had_may_go_with_its_disk() {
    let rules = Rules {
        lasting_replicas: 2,
        ..Rules::default()
    };
    let text = "alice: put x 1 @5 *2
                alice: put x 2 @6 *1
                alice: put y 3 @7 *2
                bob: get x = 2 @6
                bob: get x = 1 @5
                carol <- bob: get x = 1 @5
                end carol at 0: get x = 1 @5";
    allows_under(&rules, text);
    assert!(judge(&history(text), &Rules::default()).has(Kind::Stale));
}

/// A removed node had it and returned it. A lasting write that was seen deleted stays deleted.
#[test]
fn a_write_that_one_replica_had_may_come_back() {
    let rules = Rules {
        lasting_replicas: 2,
        ..Rules::default()
    };
    let text = "alice: put x 1 @5 *2
                carol: delete x @6 *2
                alice: put x 3 @7 *1
                bob <- alice: get x = none
                bob: get x = 3 @7
                end dave at 0: get x = 3 @7";
    allows_under(&rules, text);
    assert!(!judge(&history(text), &Rules::default()).is_clean());
    let lasting = text.replace("bob: get x = 3 @7", "bob: get x = 1 @5");
    assert!(judge(&history(&lasting), &rules).has(Kind::DeletedKeyBack));
}

#[test]
fn an_excused_write_may_vanish() {
    let text = "alice: put x 1 @5
                alice: delete x @6
                alice: get x = none
                alice: get x = 1 @5
                end carol at 0: get x = 1 @5";
    let rules = Rules {
        excused: [OpId(2)].into(),
        ..Rules::default()
    };
    allows_under(&rules, text);
    assert!(!judge(&history(text), &Rules::default()).is_clean());
}

#[test]
fn a_late_write_may_part_the_replicas_for_a_moment() {
    let text = "alice: put x 1 @5
                bob: put x 2 unknown
                end carol at 0: get x = 1 @5
                end carol at 1: get x = 2";
    let rules = Rules {
        late_writes: true,
        ..Rules::default()
    };
    allows_under(&rules, text);
    assert!(judge(&history(text), &Rules::default()).has(Kind::Disagreement));
}
