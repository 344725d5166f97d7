//! What a batch makes of jobs that meet in it, or that come when what they were about has changed.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::*;
use crate::config::millis;
use crate::names::{ClusterId, Epoch, Incarnation, Member, NodeId};
use crate::node::commit::job::{Job, Operations, Return};
use crate::node::committer::decide::decide;
use crate::node::{Machine, World};
use crate::protocol::causality::Timestamp;
use crate::protocol::placement::{SlotSet, View, next};
use crate::wire::SharedView;
use crate::wire::peer::{Known, Operation};

fn member(number: u64) -> Member {
    let incarnation = Incarnation {
        started_ms: 1,
        random: 0,
    };
    Member {
        node: format!("n{number}:80").parse().expect("is a node"),
        incarnation,
    }
}

/// Node 0 in the first view of so many nodes, each of which has its slots alone.
fn state(count: u64) -> ReplicaState {
    let nodes: BTreeSet<NodeId> = (0..count).map(|number| member(number).node).collect();
    let up = (0..count).map(|number| (member(number).node, member(number).incarnation));
    let view = View::first(ClusterId(1), 1, &nodes, &up.collect());
    let mut state = ReplicaState::new(member(0));
    state.learn(&view.into());
    state.activate(Epoch(1));
    state.closed.below = Epoch(1);
    state
}

fn key(text: &str) -> Key {
    Key::new(text).expect("is a key")
}

fn record(text: &str, value: Option<&[u8]>, number: u64) -> Record {
    let log = Log {
        epoch: Epoch(1),
        member: member(0).id(),
    };
    let dot = Dot { log, number };
    Record::new(
        &key(text),
        value,
        dot,
        Timestamp(number),
        &VersionVector::default(),
    )
}

fn put(text: &str) -> Job {
    let write = Write {
        key: key(text),
        value: Some("new".into()),
        payload: Payload::default(),
        vouched: true,
        arrived: Instant::now(),
    };
    Job::Write(write, oneshot::channel().0)
}

/// The batch of these jobs, at a node with this state and these records.
fn batch_of(state: ReplicaState, records: &[Record], jobs: impl IntoIterator<Item = Job>) -> Batch {
    batch_in(ChangeAttempt::default(), state, records, jobs)
}

/// The same while a change is followed.
fn batch_in(
    attempt: ChangeAttempt,
    state: ReplicaState,
    records: &[Record],
    jobs: impl IntoIterator<Item = Job>,
) -> Batch {
    let limits = Limits::default();
    let me = Me::new(state.clone(), std::sync::Arc::new(Machine), &limits);
    me.judge_wall();
    let resident = Resident::new();
    for record in records {
        resident.put(record.clone());
    }
    let acceptors = Acceptors::default();
    let mut draft = Draft::new(&me, &resident, &limits, state, acceptors, attempt);
    for job in jobs {
        decide(&mut draft, job);
    }
    draft.batch()
}

fn values(batch: &Batch) -> Vec<Option<&[u8]>> {
    batch.records.iter().map(Record::value).collect()
}

/// What is stored when a client reads this record and writes on, in one batch.
fn written_after(read: &Record) -> Batch {
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
        known_stable: Default::default(),
        room: 1024,
        arrived: Instant::now(),
    };
    let job = Job::Operations(asked, oneshot::channel().0);
    batch_of(state(1), std::slice::from_ref(read), [job])
}

#[test]
fn what_is_written_after_a_record_that_nobody_vouched_for_is_not_vouched_for() {
    let claimed = [record("k", None, 9).dot()].into_iter().collect();
    let plain = record("k", Some(b"v"), 1);
    let found = Record::new(&key("k"), plain.value(), plain.dot(), plain.timestamp(), &claimed);
    assert!(!found.is_vouched());
    for (read, is_vouched) in [(found.clone().vouched(), true), (found, false)] {
        let batch = written_after(&read);
        let stored: Vec<bool> = batch.records.iter().map(Record::is_vouched).collect();
        assert_eq!(stored, [is_vouched]);
    }
}

#[test]
fn a_tombstone_goes_alone_and_not_with_what_was_written_behind_it() {
    let old = record("k", None, 1);
    let forget = || Job::Forget(vec![old.clone()]);
    let gone = batch_of(state(1), std::slice::from_ref(&old), [forget()]);
    assert!(gone.records.is_empty() && gone.forgotten == [key("k")]);
    // It was found before the write came.
    let stored = batch_of(state(1), &[record("k", Some(b"new"), 2)], [forget()]);
    assert!(stored.forgotten.is_empty());
    let waiting = batch_of(state(1), std::slice::from_ref(&old), [put("k"), forget()]);
    assert_eq!(values(&waiting), [Some(&b"new"[..])]);
    assert!(waiting.forgotten.is_empty());
}

#[test]
fn a_record_that_is_dropped_in_this_batch_stands_in_nobodys_way() {
    // Of a copy that does not count, and in the very batch it comes again, from one who vouches for it.
    let copied = record("k", Some(b"v"), 3);
    let taker = state(2);
    let others = taker.view().expect("is active").slots_of_node(&member(1).node);
    let text = (0..).map(|number| format!("k{number}"));
    let text = text
        .into_iter()
        .find(|text| others.contains(key(text).slot()))
        .expect("some");
    let copied = Record::new(
        &key(&text),
        copied.value(),
        copied.dot(),
        copied.timestamp(),
        &VersionVector::default(),
    );
    let given = crate::protocol::replication::ExchangeResponse {
        giver: member(1),
        active: Epoch(1),
        vector: VersionVector::default(),
        offered: Vec::new(),
        too_late: BTreeSet::new(),
        claimed: VersionVector::default(),
    };
    let ask = taker.ask_steady();
    let unstage = Job::Unstage {
        attempt: ChangeAttempt::default(),
        slots: others,
        reply: oneshot::channel().0,
    };
    let take = Job::Take {
        ask,
        given,
        records: vec![copied.clone()],
        attempt: None,
        reply: oneshot::channel().0,
    };
    let batch = batch_of(taker, std::slice::from_ref(&copied), [unstage, take]);
    assert_eq!(batch.records, [copied]);
}

/// Who read such a record where the slots come from carries the claim on, and may come here.
#[test]
fn what_records_claimed_is_stored_with_the_slots_that_come() {
    let taker = state(2);
    let log = Log {
        epoch: Epoch(1),
        member: member(1).id(),
    };
    let claimed: VersionVector = [Dot { log, number: 1_000 }].into_iter().collect();
    let take = Job::Take {
        ask: taker.ask_steady(),
        given: crate::protocol::replication::ExchangeResponse {
            giver: member(1),
            active: Epoch(1),
            vector: VersionVector::default(),
            offered: Vec::new(),
            too_late: BTreeSet::new(),
            claimed: claimed.clone(),
        },
        records: Vec::new(),
        attempt: None,
        reply: oneshot::channel().0,
    };
    let mut knows = taker.clone();
    knows.learn_claims(&claimed);
    let batch = batch_of(taker, &[], [take]);
    assert!(batch.notes.contains(&claims_note(&knows)));
}

#[test]
fn what_came_in_this_batch_goes_with_the_slots_that_are_dropped_in_it() {
    let taker = state(2);
    let others = taker.view().expect("is active").slots_of_node(&member(1).node);
    let mut keys = (0..).map(|number| format!("k{number}"));
    let text = keys.find(|text| others.contains(key(text).slot())).expect("some");
    let take = Job::Take {
        ask: taker.ask_steady(),
        given: crate::protocol::replication::ExchangeResponse {
            giver: member(1),
            active: Epoch(1),
            vector: VersionVector::default(),
            offered: Vec::new(),
            too_late: BTreeSet::new(),
            claimed: VersionVector::default(),
        },
        records: vec![record(&text, Some(b"v"), 3)],
        attempt: None,
        reply: oneshot::channel().0,
    };
    let unstage = Job::Unstage {
        attempt: ChangeAttempt::default(),
        slots: others,
        reply: oneshot::channel().0,
    };
    assert!(batch_of(taker, &[], [take, unstage]).records.is_empty());
}

/// Node 0 has copied for a view that is given up, while it serves another one or none.
#[test]
fn what_was_copied_for_a_view_that_is_given_up_is_dropped() {
    let first = state(2).view().expect("is active").clone();
    let mut server = state(2);
    let others = first.slots_of_node(&member(1).node);
    let mut keys = (0..).map(|number| format!("k{number}"));
    let text = keys.find(|text| others.contains(key(text).slot())).expect("some");
    let copied = record(&text, Some(b"v"), 3);
    let next = std::sync::Arc::new(next::admit(&first, &[]));
    server.learn(&next);
    let activate = || Job::Activate {
        target: Epoch(2),
        reply: oneshot::channel().0,
    };
    let dropped = batch_of(server.clone(), std::slice::from_ref(&copied), [activate()]);
    assert_eq!(dropped.forgotten, [key(&text)]);
    // This one is on its way to a view that has the slot here.
    let alone = next::remove(&next, &member(1).node).expect("is listed");
    server.learn(&alone.into());
    let attempt = ChangeAttempt {
        target: Epoch(3),
        number: 1,
    };
    let later = batch_in(attempt, server, std::slice::from_ref(&copied), [activate()]);
    assert!(later.forgotten.is_empty());

    let newcomer = member(5);
    let mut waiting = ReplicaState::new(newcomer.clone());
    waiting.learn(&first);
    waiting.learn(&next::add(&first, &newcomer).expect("is new").into());
    let mut forced = next::remove(&first, &member(1).node).expect("is listed");
    forced.fork(7, 1);
    let known = Known {
        views: vec![SharedView(forced.into())],
        lost: Vec::new(),
        closed: waiting.closed.clone(),
        active: Epoch(1),
    };
    let learn = Job::Learn {
        known,
        reply: oneshot::channel().0,
    };
    let dropped = batch_of(waiting, std::slice::from_ref(&copied), [learn]);
    assert_eq!(dropped.forgotten, [key(&text)]);
}

#[test]
fn a_record_is_cleared_of_false_dependencies_unless_another_has_taken_its_place() {
    let plain = record("k", Some(b"v"), 1);
    let claimed = [Dot {
        number: 9,
        ..plain.dot()
    }];
    let claimed = claimed.into_iter().collect();
    let found = Record::new(&key("k"), plain.value(), plain.dot(), plain.timestamp(), &claimed);
    let clear = || Job::Clear {
        records: vec![Cleared {
            found: found.clone(),
            cleared: plain.clone(),
        }],
        reply: oneshot::channel().0,
    };
    let cleared = batch_of(state(1), std::slice::from_ref(&found), [clear()]);
    assert_eq!(cleared.records, std::slice::from_ref(&plain));
    let newer = batch_of(state(1), &[record("k", Some(b"new"), 2)], [clear()]);
    assert!(newer.records.is_empty());
    let waiting = batch_of(state(1), std::slice::from_ref(&found), [put("k"), clear()]);
    assert_eq!(values(&waiting), [Some(&b"new"[..])]);
}

#[test]
fn a_seal_is_stored_once() {
    let mut sealing = state(1);
    let view = next::admit(sealing.view().expect("is active"), &[]);
    sealing.learn(&view.into());
    let seal = || Job::Seal {
        target: Epoch(2),
        reply: oneshot::channel().0,
    };
    let batch = batch_of(sealing.clone(), &[], [seal(), seal()]);
    let mut sealed = sealing;
    sealed.seal(Epoch(2));
    sealed.position += 1;
    let [standing, closed_in] = standing_notes(&sealed);
    assert_eq!(batch.notes, [standing, closed_in, vector_note(&sealed)]);
    assert!(batch_of(sealed, &[], [seal()]).is_empty());
}

/// What is stored of a record in these slots that a member returns which was removed then.
fn returned(removed_ms: u64, slots: impl Fn(&ReplicaState) -> SlotSet) -> Batch {
    let before = state(3);
    let before = before.view().expect("is active");
    let mut view = next::remove(before, &member(2).node).expect("is listed");
    view.note_removals(&[before], removed_ms, false);
    let mut owner = state(3);
    owner.learn(&view.into());
    owner.activate(Epoch(2));
    let slots = slots(&owner);
    let mut keys = (0..).map(|number| format!("k{number}"));
    let text = keys.find(|text| slots.contains(key(text).slot())).expect("some");
    let adopt = Job::Adopt {
        returned: Return {
            from: member(2),
            left: None,
            records: vec![record(&text, Some(b"v"), 1)],
            slots,
            kept: Vec::new(),
            claimed: claims(),
        },
        reply: oneshot::channel().0,
    };
    batch_of(owner, &[], [adopt])
}

fn claims() -> VersionVector {
    [record("forged", None, 1_000).dot()].into_iter().collect()
}

#[test]
fn returned_records_are_taken_by_a_member_that_owns_all_of_them() {
    let now_ms = Machine.wall_ms();
    assert_eq!(returned(now_ms, ReplicaState::owned_slots).records.len(), 1);
    let foreign = |owner: &ReplicaState| SlotSet::all().difference(&owner.owned_slots());
    assert_eq!(returned(now_ms, foreign).records.len(), 0);
}

/// Honest readers at the member that returns were shown a dependency that nobody has: they are not refused by who
/// has the slots now, whether or not the records are taken.
#[test]
fn what_returned_records_claimed_is_remembered() {
    let mut owner = state(3);
    owner.learn_claims(&claims());
    for removed_ms in [Machine.wall_ms(), 1] {
        let batch = returned(removed_ms, ReplicaState::owned_slots);
        assert!(batch.notes.contains(&claims_note(&owner)), "{:?}", batch.notes);
    }
}

/// A deletion that it has not heard of may be forgotten where the clock is ahead by the limit, a removal be
/// noted by one that is behind, and a third one judge.
#[test]
fn what_is_returned_within_three_clock_limits_of_forgetting_is_too_late() {
    let limits = Limits::default();
    let removed_before = |clock_limits: u32| {
        let age = limits.forget_after - clock_limits * limits.clock_limit;
        let removed_ms = Machine.wall_ms() - millis(age);
        returned(removed_ms, ReplicaState::owned_slots).records.len()
    };
    assert_eq!((removed_before(4), removed_before(2)), (1, 0));
}
