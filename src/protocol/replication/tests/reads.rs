//! The predicate that safety rests on, rule by rule: fence (I5), readiness (I6), cover (I7), and what
//! goes out with a reply (I3).

use std::sync::Arc;

use super::*;
use crate::protocol::replication::{answer, may_list, may_write, trimmed};

/// Node 0 of the partition of nodes 0 and 1, in a view of four nodes; and a slot of its own.
fn member_zero(epochs: u64) -> (ReplicaState, Slot) {
    let mut views = vec![first(2, 4)];
    for _ in 1..epochs {
        views.push(same(views.last().expect("begins with one")));
    }
    let views: Vec<&Arc<View>> = views.iter().collect();
    let state = state(&member(0), &views);
    let slot = slot_in(&state.regions[0].slots);
    (state, slot)
}

fn region(state: &mut ReplicaState) -> &mut crate::protocol::replication::Region {
    &mut Arc::make_mut(&mut state.regions)[0]
}

#[test]
fn only_an_owner_in_the_active_view_answers() {
    let (state, slot) = member_zero(1);
    assert!(read(&state, slot, &[]).is_ok());
    let others = slot_in(&state.views[&Epoch(1)].slots_of_node(&node(2)));
    assert_eq!(read(&state, others, &[]), Err(NotHere::NotOwner));
    let empty = super::state(&reborn(0, 9), &[&first(2, 4)]);
    assert_eq!(read(&empty, slot, &[]), Err(NotHere::NotOwner));
}

#[test]
fn a_payload_of_a_newer_epoch_is_fenced() {
    let (state, slot) = member_zero(2);
    let ahead = |epoch| {
        let payload = Payload {
            epoch: Epoch(epoch),
            ..Payload::default()
        };
        let read = may_read(&state, &VersionVector::default(), slot, &payload);
        (read.err(), may_write(&state, slot, Epoch(epoch)).err())
    };
    assert_eq!(ahead(2), (None, None));
    let fenced = Some(NotHere::EpochAhead(Epoch(3)));
    assert_eq!(ahead(3), (fenced.clone(), fenced));
}

#[test]
fn an_owner_that_was_cut_off_does_not_answer_one_whose_entries_were_dropped_since() {
    // Node 0 went on without node 1, and epoch 1 is closed in epoch 2.
    let (one, two) = (first(2, 4), minus(&first(2, 4), 1));
    let mut gone_on = super::state(&member(0), &[&one, &two]);
    assert!(gone_on.close(closing(Epoch(2), Epoch(2))));
    let cut_off = super::state(&member(1), &[&one]);
    let slot = slot_in(&cut_off.regions[0].slots);
    let before = Payload {
        epoch: Epoch(1),
        entries: vector([dot(&member(0), 1, 7)]),
        ..Payload::default()
    };
    let nothing = VersionVector::default();
    assert!(may_read(&cut_off, &nothing, slot, &before).is_err());
    let dropped = trimmed(&gone_on, &nothing, &before);
    assert!(dropped.entries.is_empty());
    let fenced = NotHere::EpochAhead(Epoch(2));
    assert_eq!(may_read(&cut_off, &nothing, slot, &dropped), Err(fenced));
}

#[test]
fn only_dropping_an_entry_raises_the_epoch() {
    let (mut state, _) = member_zero(3);
    state.closed.below = Epoch(2);
    let (closed, stable, open) = (
        dot(&member(1), 1, 9),
        dot(&member(1), 2, 5),
        dot(&member(1), 2, 6),
    );
    let epoch_after = |entries: &[Dot]| {
        let payload = Payload {
            entries: vector(entries.iter().copied()),
            epoch: Epoch(2),
            ..Payload::default()
        };
        let left = trimmed(&state, &vector([stable]), &payload);
        (left.epoch.0, left.entries)
    };
    assert_eq!(epoch_after(&[open]), (2, vector([open])));
    assert_eq!(epoch_after(&[stable]), (3, vector([])));
    assert_eq!(epoch_after(&[closed]), (3, vector([])));
    assert_eq!(epoch_after(&[closed, open]), (3, vector([open])));
}

#[test]
fn a_node_without_a_view_drops_nothing() {
    let state = ReplicaState::new(member(0));
    let payload = Payload {
        entries: vector([dot(&member(1), 1, 1)]),
        ..Payload::default()
    };
    let stable = payload.entries.clone();
    assert_eq!(trimmed(&state, &stable, &payload), payload);
}

#[test]
fn a_slot_that_lacks_is_not_read_though_nothing_is_depended_upon() {
    let (mut state, slot) = member_zero(1);
    region(&mut state).lacks = Epoch(1);
    assert_eq!(read(&state, slot, &[]), Err(NotHere::NotReady));
    assert!(may_write(&state, slot, Epoch::NONE).is_ok());
}

#[test]
fn a_write_of_the_active_epoch_is_covered_by_the_vector_alone() {
    let (mut state, slot) = member_zero(2);
    let dots = [4, 5].map(|number| dot(&member(1), 2, number));
    state.vector.raise(dots[0]);
    region(&mut state).coverage.raise(dot(&member(1), 2, 9));
    assert!(read(&state, slot, &dots[..1]).is_ok());
    assert_eq!(read(&state, slot, &dots[1..]), missing(&dots[1..]));
}

#[test]
fn a_write_of_an_earlier_epoch_is_covered_by_the_coverage_alone() {
    let (mut state, slot) = member_zero(2);
    let dots = [4, 5].map(|number| dot(&member(1), 1, number));
    state.vector.raise(dot(&member(1), 1, 9));
    assert_eq!(read(&state, slot, &dots[..1]), missing(&dots[..1]));
    region(&mut state).coverage.raise(dots[0]);
    assert!(read(&state, slot, &dots[..1]).is_ok());
    assert_eq!(read(&state, slot, &dots[1..]), missing(&dots[1..]));
    region(&mut state).coverage.raise(dot(&member(1), 1, END));
    assert!(read(&state, slot, &dots).is_ok());
}

#[test]
fn only_what_is_missing_is_named() {
    let (mut state, slot) = member_zero(1);
    let (here, away, elsewhere) = (
        dot(&member(0), 1, 1),
        dot(&member(1), 1, 1),
        dot(&member(2), 1, 1),
    );
    state.vector.raise(here);
    assert_eq!(read(&state, slot, &[here, away, elsewhere]), missing(&[away]));
}

#[test]
fn logs_of_partitions_that_did_not_own_the_slot_then_do_not_concern_it() {
    // Nodes 4 and 5 make a third partition, with slots of both others.
    let four = first(2, 4);
    let five = plus(&four, 4);
    let six = plus(&five, 5);
    let mut state = super::state(&member(4), &[&four, &five, &six]);
    for region in Arc::make_mut(&mut state.regions) {
        region.lacks = Epoch::NONE;
    }
    let gained = six.slots_of_node(&node(4));
    let of_zero = slot_in(&gained.intersection(&four.slots_of_node(&node(0))));
    let of_two = slot_in(&gained.intersection(&four.slots_of_node(&node(2))));
    let entry = dot(&member(2), 1, 1);
    assert!(read(&state, of_zero, &[entry]).is_ok());
    assert_eq!(read(&state, of_two, &[entry]), missing(&[entry]));
    // In the epoch in which node 4 was a proxy it took no writes.
    assert!(read(&state, of_two, &[dot(&member(4), 2, 1)]).is_ok());
}

#[test]
fn a_log_of_an_epoch_that_is_not_known_is_not_covered() {
    let (state, slot) = member_zero(2);
    let unknown = dot(&member(1), 7, 1);
    assert_eq!(read(&state, slot, &[unknown]), missing(&[unknown]));
}

#[test]
fn entries_that_are_stable_or_of_closed_epochs_hinder_nobody() {
    let (mut state, slot) = member_zero(3);
    state.closed.below = Epoch(2);
    let (closed, stable) = (dot(&member(1), 1, 9), dot(&member(1), 2, 5));
    let payload = Payload {
        entries: vector([closed, stable]),
        ..Payload::default()
    };
    let answered = may_read(&state, &vector([stable]), slot, &payload).expect("is covered");
    assert_eq!((answered.epoch, answered.entries.len()), (Epoch(3), 0));
}

#[test]
fn a_lost_log_is_given_up_when_every_possible_giver_handed_over_in_this_view() {
    // Node 1 lost its disk after nodes 4 and 5 made a third partition, with slots of nodes 0 and 1.
    let four = first(2, 4);
    let (five, six) = (plus(&four, 4), plus(&plus(&four, 4), 5));
    let seven = with(&six, &[reborn(1, 9)]);
    let mut state = super::state(&member(4), &[&four, &five, &six, &seven]);
    let slot = slot_in(
        &six.slots_of_node(&node(4))
            .intersection(&four.slots_of_node(&node(1))),
    );
    let (lost, listed) = (dot(&member(1), 1, 3), dot(&member(0), 1, 3));
    let hear = |state: &mut ReplicaState, from: &Member| {
        for region in Arc::make_mut(&mut state.regions) {
            region.lacks = Epoch::NONE;
            region.heard.insert(from.id());
        }
    };
    hear(&mut state, &member(5));
    assert_eq!(read(&state, slot, &[lost]), missing(&[lost]));
    // Node 0 owned the slot in epoch 1, is still listed, and is the last member that could bring the write.
    let mut heard_all = state.clone();
    hear(&mut heard_all, &member(0));
    assert!(read(&heard_all, slot, &[lost]).is_ok());
    assert_eq!(read(&heard_all, slot, &[listed]), missing(&[listed]));
    // Members that owned the slot only in closed epochs do not count.
    let slots = SlotSet::from_iter([slot]);
    let owners = |state: &ReplicaState| state.owners_then_and_now(&slots);
    assert_eq!(owners(&state), BTreeSet::from([member(0).id(), member(5).id()]));
    state.closed.below = Epoch(3);
    assert_eq!(owners(&state), BTreeSet::from([member(5).id()]));
    // The next view starts with no member heard.
    let eight = same(&seven);
    heard_all.learn(&eight);
    heard_all.activate(eight.epoch);
    assert_eq!(read(&heard_all, slot, &[lost]), missing(&[lost]));
}

#[test]
fn a_reply_carries_what_was_depended_upon_and_what_was_shown() {
    let (state, _) = member_zero(2);
    let (asked, shown, cause) = (
        dot(&member(2), 1, 4),
        dot(&member(1), 2, 8),
        dot(&member(3), 2, 2),
    );
    let key = Key::new("k").expect("is a key");
    let payload = Payload {
        epoch: Epoch(1),
        timestamp: Timestamp(5),
        entries: vector([asked]),
    };
    for value in [Some(&b"v"[..]), None] {
        let record = Record::new(&key, value, shown, Timestamp(9), &vector([cause]));
        let reply = answer(&state, &VersionVector::default(), &payload, Some(&record));
        let expected = Payload {
            epoch: Epoch(2),
            timestamp: Timestamp(9).next(),
            entries: vector([asked, shown, cause]),
        };
        assert_eq!(reply, expected, "tombstone: {}", record.is_tombstone());
    }
    let nothing = answer(&state, &VersionVector::default(), &payload, None);
    assert_eq!((nothing.epoch, nothing.timestamp), (Epoch(2), Timestamp(5)));
    assert_eq!(nothing.entries, vector([asked]));
}

/// A record of a view that this replica is just activating is in the map before the new state is published.
#[test]
fn an_answer_is_of_the_epoch_of_the_record_it_shows_at_least() {
    let (state, _) = member_zero(1);
    let dot = dot(&member(0), 2, 1);
    let key = Key::new("k").expect("is a key");
    let record = Record::new(&key, Some(b"v"), dot, Timestamp(1), &VersionVector::default());
    let reply = answer(
        &state,
        &VersionVector::default(),
        &Payload::default(),
        Some(&record),
    );
    assert_eq!(reply.epoch, Epoch(2));
}

#[test]
fn a_sealed_member_answers_reads_and_lets_writes_wait() {
    let (mut state, slot) = member_zero(1);
    state.seal(Epoch(2));
    assert!(read(&state, slot, &[]).is_ok());
    assert_eq!(may_write(&state, slot, Epoch(1)), Err(NotHere::Sealed));
}

#[test]
fn no_hand_over_is_asked_for_once_its_view_is_active() {
    let (state, _) = member_zero(2);
    assert_eq!(state.ask_hand_over(state.active, &[]), None);
}

#[test]
fn a_listing_is_judged_by_every_region_that_it_touches_and_by_no_other() {
    let (mut state, slot) = member_zero(2);
    let lacking: SlotSet = state.owned_slots().iter().skip(1).take(100).collect();
    let rest = state.owned_slots().difference(&lacking);
    let mut other = region(&mut state).clone();
    (other.slots, other.lacks) = (lacking.clone(), Epoch(2));
    region(&mut state).slots = rest.clone();
    Arc::make_mut(&mut state.regions).push(other);
    let list = |state: &ReplicaState, slots: &SlotSet, entries: &[Dot]| {
        let payload = Payload {
            entries: vector(entries.iter().copied()),
            ..Payload::default()
        };
        may_list(state, &VersionVector::default(), slots, &payload)
    };
    let both = rest.union(&lacking);
    assert!(rest.contains(slot) && list(&state, &rest, &[]).is_ok());
    assert_eq!(list(&state, &both, &[]), Err(NotHere::NotReady));
    // A region that is ready, but lacks what the reader depends on.
    let early = dot(&member(1), 1, 4);
    Arc::make_mut(&mut state.regions)[1].lacks = Epoch::NONE;
    region(&mut state).coverage.raise(early);
    assert!(list(&state, &rest, &[early]).is_ok());
    assert_eq!(list(&state, &both, &[early]), missing(&[early]));
    assert_eq!(list(&state, &SlotSet::all(), &[]), Err(NotHere::NotOwner));
}
