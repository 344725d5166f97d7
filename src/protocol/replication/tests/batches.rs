//! Tests commands that meet in one batch, or that come after their subject has changed.

use super::*;
use crate::protocol::replication::{Cleared, Operation, Operations, Return, ReturnTime, Write};

/// Node 0 in the first view of several nodes, each alone with its slots. It has these records.
fn owner(count: u64, records: &[Record]) -> Node {
    let mut owner = Node::new(&member(0), &[&first(1, count)]);
    owner.state.closed.below = Epoch(1);
    owner.hold(records);
    // Later than all records of these tests.
    owner.seen = Timestamp(1_000_000);
    owner
}

fn key(text: &str) -> Key {
    Key::new(text).expect("is a key")
}

fn version(key: &Key, value: Option<&[u8]>, number: u64, dependencies: &[Dot]) -> Record {
    let dot = dot(&member(0), 1, number);
    let dependencies = vector(dependencies.iter().copied());
    Record::new(key, value, dot, Timestamp(number), &dependencies)
}

fn write(text: &str) -> Write {
    Write {
        key: key(text),
        value: Some("new".into()),
        payload: Payload::default(),
        vouched: true,
    }
}

fn winners(effects: &Effects) -> Vec<&Record> {
    effects.winners.values().collect()
}

fn values(effects: &Effects) -> Vec<Option<&[u8]>> {
    effects.winners.values().map(Record::value).collect()
}

fn forgotten(effects: &Effects) -> Vec<&str> {
    effects.forgotten.iter().map(|key| &**key).collect()
}

/// What is stored when a client reads this record and writes on, in one batch.
fn written_after(read: &Record) -> Effects {
    let asked = Operations {
        operations: vec![
            Operation::Get { key: key("k") },
            Operation::Put {
                key: key("other"),
                value: b"v".to_vec(),
            },
        ],
        payload: Payload::default(),
        vouched: true,
        known_stable: Arc::default(),
        room: 1024,
    };
    let mut owner = owner(1, std::slice::from_ref(read));
    let (done, effects) = owner.batch(|replica| replica.operations(&asked));
    done.expect("may be carried out");
    effects
}

#[test]
fn a_write_after_a_record_whose_dependencies_are_not_vouched_for_is_not_vouched_for() {
    let found = version(&key("k"), Some(b"v"), 1, &[dot(&member(0), 1, 9)]);
    assert!(!found.is_vouched());
    for (read, is_vouched) in [(found.clone().vouched(), true), (found, false)] {
        let effects = written_after(&read);
        let stored: Vec<bool> = effects.winners.values().map(Record::is_vouched).collect();
        assert_eq!(stored, [is_vouched]);
    }
}

#[test]
fn a_tombstone_is_dropped_unless_its_key_is_written_again() {
    let old = version(&key("k"), None, 1, &[]);
    let tombstones = std::slice::from_ref(&old);
    let ((), gone) = owner(1, tombstones).batch(|replica| replica.forget(tombstones));
    assert!(gone.winners.is_empty());
    assert_eq!(forgotten(&gone), ["k"]);
    // It was found before the write came.
    let newer = version(&key("k"), Some(b"new"), 2, &[]);
    let ((), stored) = owner(1, &[newer]).batch(|replica| replica.forget(tombstones));
    assert!(stored.forgotten.is_empty());
    let ((), waiting) = owner(1, tombstones).batch(|replica| {
        replica.write(&write("k")).expect("is taken");
        replica.forget(tombstones);
    });
    assert_eq!(values(&waiting), [Some(&b"new"[..])]);
    assert!(waiting.forgotten.is_empty());
}

/// An exchange that brings nothing but these claims.
fn given(claimed: VersionVector) -> ExchangeResponse {
    ExchangeResponse {
        giver: member(1),
        active: Epoch(1),
        vector: VersionVector::default(),
        offered: Vec::new(),
        too_late: BTreeSet::new(),
        claimed,
    }
}

/// The slots of node 1, and a record in one of them.
fn elsewhere() -> (SlotSet, Record) {
    let others = first(1, 2).slots_of_node(&node(1));
    let record = version(&key_in(&others), Some(b"v"), 3, &[]);
    (others, record)
}

#[test]
fn a_record_that_is_dropped_in_a_batch_does_not_keep_the_same_record_from_coming() {
    let (others, copied) = elsewhere();
    let mut taker = owner(2, std::slice::from_ref(&copied));
    let ask = taker.state.ask_steady();
    let ((), effects) = taker.batch(|replica| {
        replica.unstage(ChangeAttempt::default(), &others);
        let taken = replica.take(&ask, &given(VersionVector::default()), vec![copied.clone()], None);
        taken.expect("is taken");
    });
    assert_eq!(winners(&effects), [&copied]);
}

#[test]
fn a_record_that_came_in_a_batch_goes_with_the_slots_that_are_dropped_in_it() {
    let (others, copied) = elsewhere();
    let mut taker = owner(2, &[]);
    let ask = taker.state.ask_steady();
    let ((), effects) = taker.batch(|replica| {
        let taken = replica.take(&ask, &given(VersionVector::default()), vec![copied], None);
        taken.expect("is taken");
        replica.unstage(ChangeAttempt::default(), &others);
    });
    assert!(effects.winners.is_empty());
}

/// A reader of such a record at the giver carries the claim on, and may come here.
#[test]
fn claims_are_stored_with_the_slots_that_come() {
    let claimed = vector([dot(&member(1), 1, 1_000)]);
    let mut taker = owner(2, &[]);
    let ask = taker.state.ask_steady();
    let (taken, effects) =
        taker.batch(|replica| replica.take(&ask, &given(claimed.clone()), Vec::new(), None));
    taken.expect("is taken");
    assert!(effects.changed.claims);
    assert_eq!(taker.state.claimed, claimed);
}

/// Node 0 has copied for a view that is given up, while it serves another one or none.
#[test]
fn copies_for_a_view_that_is_given_up_are_dropped() {
    let (_, copied) = elsewhere();
    let before = first(1, 2);
    let mut server = owner(2, std::slice::from_ref(&copied));
    let next = same(&before);
    server.learn(&[&next]);
    let ((), dropped) = server.clone().batch(|replica| replica.activate(Epoch(2)));
    assert_eq!(forgotten(&dropped), [copied.key()]);
    // This one is on its way to a view that has the slot here.
    server.learn(&[&minus(&next, 1)]);
    server.attempt = ChangeAttempt {
        target: Epoch(3),
        number: 1,
    };
    let ((), later) = server.batch(|replica| replica.activate(Epoch(2)));
    assert!(later.forgotten.is_empty());

    let mut waiting = Node::new(&member(5), &[]);
    waiting.learn(&[&before, &plus(&before, 5)]);
    waiting.hold(std::slice::from_ref(&copied));
    let forced = [forked(&minus(&before, 1))];
    let ((), dropped) = waiting.batch(|replica| replica.learn(&forced, &[], &Closed::default(), 0));
    assert_eq!(forgotten(&dropped), [copied.key()]);
}

#[test]
fn a_record_is_cleared_of_false_dependencies_unless_a_newer_one_replaced_it() {
    let plain = version(&key("k"), Some(b"v"), 1, &[]);
    let found = version(&key("k"), Some(b"v"), 1, &[dot(&member(0), 1, 9)]);
    let clear = || {
        vec![Cleared {
            found: found.clone(),
            cleared: plain.clone(),
        }]
    };
    let ((), cleared) = owner(1, std::slice::from_ref(&found)).batch(|replica| replica.clear(clear()));
    assert_eq!(winners(&cleared), [&plain]);
    let newer = version(&key("k"), Some(b"new"), 2, &[]);
    let ((), newer) = owner(1, &[newer]).batch(|replica| replica.clear(clear()));
    assert!(newer.winners.is_empty());
    let ((), waiting) = owner(1, std::slice::from_ref(&found)).batch(|replica| {
        replica.write(&write("k")).expect("is taken");
        replica.clear(clear());
    });
    assert_eq!(values(&waiting), [Some(&b"new"[..])]);
}

/// What is stored of a record in these slots that a member returns. The member was removed at 1 second; a return
/// is in time for 10 seconds.
fn returned(now_ms: u64, slots: impl Fn(&ReplicaState) -> SlotSet) -> (Node, Effects) {
    let before = first(1, 3);
    let mut view = next::remove(&before, &node(2)).expect("is listed");
    view.note_removals(&[&*before], 1_000, false);
    let mut owner = Node::new(&member(0), &[&before, &Arc::new(view)]);
    let slots = slots(&owner.state);
    let returned = Return {
        from: member(2),
        left: None,
        records: vec![version(&key_in(&slots), Some(b"v"), 1, &[])],
        slots,
        kept: Vec::new(),
        claimed: vector([dot(&member(0), 1, 1_000)]),
    };
    let time = ReturnTime {
        limit_ms: 10_000,
        counted_ms: None,
        low_ms: now_ms,
        likely_ms: now_ms,
        is_doubted: false,
        missed_too_much: false,
    };
    let (_, effects) = owner.batch(|replica| replica.adopt(&returned, &time));
    (owner, effects)
}

#[test]
fn returned_records_are_taken_in_time_by_a_member_that_owns_all_of_them() {
    let taken = |now_ms, slots: fn(&ReplicaState) -> SlotSet| returned(now_ms, slots).1.winners.len();
    assert_eq!(taken(11_000, ReplicaState::owned_slots), 1);
    assert_eq!(taken(11_001, ReplicaState::owned_slots), 0);
    let foreign = |owner: &ReplicaState| SlotSet::all().difference(&owner.owned_slots());
    assert_eq!(taken(11_000, foreign), 0);
}

/// Honest readers at the member that returns were shown a dependency that does not exist: the slots' present owner
/// does not refuse them, whether or not it takes the records.
#[test]
fn claims_of_returned_records_are_stored() {
    for now_ms in [2_000, 1_000_000] {
        let (owner, effects) = returned(now_ms, ReplicaState::owned_slots);
        assert!(effects.changed.claims);
        assert!(owner.state.claimed.includes(dot(&member(0), 1, 1_000)));
    }
}
