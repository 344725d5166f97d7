//! Lines of views that were given up: what payloads name of them, and which members a reader of a lost
//! line waits for.

use super::*;
use crate::names::MemberId;
use crate::protocol::placement::LeftBehind;
use crate::protocol::replication::runs::end_of;
use crate::protocol::replication::{Claim, trimmed};

/// Nodes 0 to 3 make {0, 1} and {2, 3}. Node 1 forced the removal of node 3, so {0, 1} own everything on the
/// line that counts; the others removed node 1, so {2, 3} own everything on the line that is lost.
struct Lines {
    one: Arc<View>,
    won: Arc<View>,
    lost: Arc<View>,
}

fn lines() -> Lines {
    let one = first(2, 4);
    Lines {
        won: forked_by(&minus(&one, 3), 5),
        lost: minus(&one, 1),
        one,
    }
}

/// The same change, decided without a quorum. Of two such lines, the one with the higher draw counts.
fn forked_by(view: &View, drawn: u64) -> Arc<View> {
    let mut forked = view.clone();
    forked.fork(drawn, 1000);
    Arc::new(forked)
}

/// Node 1, active on the line that counts, and with the lost one noted.
fn winner(lines: &Lines) -> ReplicaState {
    let mut state = state(&member(1), &[&lines.one, &lines.won]);
    state.learn(&lines.lost);
    state
}

/// A slot that node 1 has owned all the time, and that the lost line gave to nodes 2 and 3.
fn slot(lines: &Lines) -> Slot {
    slot_in(&lines.one.slots_of_node(&node(1)))
}

fn all_of(view: &View) -> Dot {
    Dot::everything_of(view.epoch)
}

fn of_epoch(epoch: Epoch, entries: &[Dot]) -> Payload {
    Payload {
        epoch,
        entries: vector(entries.iter().copied()),
        ..Payload::default()
    }
}

/// What a payload depends on, as node 1 passes it on.
fn passed_on(state: &ReplicaState, payload: &Payload) -> (Epoch, VersionVector) {
    let trimmed = trimmed(state, &VersionVector::default(), payload);
    (trimmed.epoch, trimmed.entries)
}

/// The epoch of the lost line is lower, and the payload has no entries.
#[test]
fn a_lower_epoch_of_a_lost_line_is_not_passed() {
    let one = first(3, 3);
    let (won, lost) = (forked(&minus(&one, 2)), minus(&one, 0));
    assert!(lost.epoch < won.epoch);
    let mut reader = state(&member(0), &[&one, &won]);
    let saw_it = of_epoch(lost.epoch, &[]);
    for is_heard_of in [false, true] {
        if is_heard_of {
            reader.learn(&lost);
        }
        let read = may_read(&reader, &VersionVector::default(), Slot(0), &saw_it);
        assert_eq!(read, missing(&[all_of(&lost)]));
    }
    // An epoch that both lines have is passed.
    let before = of_epoch(one.epoch, &[]);
    assert!(may_read(&reader, &VersionVector::default(), Slot(0), &before).is_ok());
}

/// A view knows each fork of its history.
#[test]
fn every_line_that_the_view_came_from_is_passed() {
    let one = first(3, 3);
    let second = forked(&minus(&one, 2));
    let third = forked(&same(&second));
    let reader = state(&member(0), &[&one, &second, &third]);
    for passed in [&one, &second, &third] {
        let read = may_read(
            &reader,
            &VersionVector::default(),
            Slot(0),
            &of_epoch(passed.epoch, &[]),
        );
        assert!(read.is_ok(), "{}", passed.epoch);
        assert!(reader.has(passed.epoch));
    }
    assert!(!reader.has(same(&one).epoch) && !reader.has(same(&second).epoch));
}

/// Each lost line is named by one epoch, the last one.
#[test]
fn a_payload_names_each_lost_line_by_the_last_epoch_that_it_saw() {
    let lines = lines();
    let mut state = winner(&lines);
    let later = same(&lines.lost);
    let other = forked_by(&minus(&lines.one, 0), 2);
    state.learn(&later);
    state.learn(&other);
    assert_eq!(state.lost.len(), 3, "ours outranks both lines");
    let own = dot(&member(0), 1, 3);
    let of_lost = |view: &View, number| Dot {
        log: Log {
            epoch: view.epoch,
            member: member(2).id(),
        },
        number,
    };
    let stranger = of_lost(&forked_by(&minus(&lines.one, 2), 3), 1);
    for (name, payload, expected) in [
        ("of ours", of_epoch(lines.won.epoch, &[own]), vec![own]),
        (
            "of what both lines have",
            of_epoch(lines.one.epoch, &[own]),
            vec![own],
        ),
        (
            "of a lost epoch",
            of_epoch(lines.lost.epoch, &[own]),
            vec![own, all_of(&lines.lost)],
        ),
        (
            "of two epochs of one line",
            of_epoch(later.epoch, &[of_lost(&lines.lost, 7)]),
            vec![all_of(&later)],
        ),
        (
            "of writes of one line, in two epochs",
            of_epoch(
                lines.won.epoch,
                &[of_lost(&lines.lost, 7), of_lost(&later, 1), all_of(&later)],
            ),
            vec![all_of(&later)],
        ),
        (
            "of two lines",
            of_epoch(other.epoch, &[all_of(&lines.lost)]),
            vec![all_of(&lines.lost), all_of(&other)],
        ),
        (
            "of a line that nobody here has heard of",
            of_epoch(lines.won.epoch, &[stranger]),
            vec![stranger],
        ),
    ] {
        let (epoch, entries) = passed_on(&state, &payload);
        assert_eq!(entries, vector(expected), "{name}");
        assert!(epoch == payload.epoch || epoch == lines.won.epoch, "{name}");
        assert!(state.has(epoch) || epoch > state.active, "{name}");
    }
}

#[test]
fn what_is_over_or_was_ours_after_all_leaves_payloads() {
    let lines = lines();
    let mut state = winner(&lines);
    let saw_both = of_epoch(lines.won.epoch, &[all_of(&lines.lost), all_of(&lines.one)]);
    assert_eq!(passed_on(&state, &saw_both).1, vector([all_of(&lines.lost)]));
    assert!(state.give_up_lost([lines.lost.epoch]) && !state.give_up_lost([lines.lost.epoch]));
    assert!(passed_on(&state, &saw_both).1.is_empty());
    assert!(!state.give_up_lost([same(&lines.won).epoch]), "nobody knows it");
}

/// Changes what node 1 knows of the region that it reads in.
fn with_region(
    state: &ReplicaState,
    change: impl Fn(&mut crate::protocol::replication::Region),
) -> ReplicaState {
    let mut changed = state.clone();
    Arc::make_mut(&mut changed.regions).iter_mut().for_each(change);
    changed
}

/// The winning view, with what this life left behind noted under name 9, or in a later life of node 3.
fn won_with(lines: &Lines, change: impl FnOnce(&mut View)) -> ReplicaState {
    let mut view = (*same(&lines.won)).clone();
    change(&mut view);
    let mut state = winner(lines);
    state.learn(&Arc::new(view));
    state.activate(lines.won.epoch.next());
    state
}

fn noted(by: Member, lines: &Lines) -> LeftBehind {
    LeftBehind {
        name: MemberId(9),
        by,
        epoch: lines.lost.epoch,
        since_ms: None,
    }
}

fn hears(state: &ReplicaState, numbers: &[u64]) -> ReplicaState {
    with_region(state, |region| {
        region
            .heard
            .extend(numbers.iter().map(|number| member(*number).id()));
    })
}

fn has_from(state: &ReplicaState, name: MemberId) -> ReplicaState {
    with_region(state, |region| {
        region.sources.insert(name);
    })
}

/// Node 1 knows only the later view of the lost line, like a node that is added to it.
#[test]
fn an_early_epoch_of_a_lost_line_is_known_by_the_history_of_a_later_one() {
    let lines = lines();
    let later = same(&lines.lost);
    let mut state = state(&member(1), &[&lines.one, &lines.won]);
    assert!(!state.knows_epoch(lines.lost.epoch));
    state.learn(&later);
    assert!(state.knows_epoch(lines.lost.epoch));
    let early = of_epoch(lines.lost.epoch, &[]);
    let (_, entries) = passed_on(&state, &early);
    assert_eq!(entries, vector([all_of(&later)]));
    state.give_up_lost([later.epoch]);
    assert!(read(&state, slot(&lines), &[all_of(&lines.lost)]).is_ok());
}

/// The lost line has the epoch in its history, too, but that says nothing about the number of a write.
#[test]
fn a_forged_number_in_an_epoch_of_both_lines_is_denied_by_its_member() {
    let lines = lines();
    let state = winner(&lines);
    let forged = dot(&member(1), 1, end_of(0) + 5);
    let nothing = VersionVector::default();
    assert_eq!(state.judge(&nothing, forged), Claim::Impossible);
    // In an epoch of the lost line alone, an entry stands for everything, whatever its number.
    let of_lost = Dot {
        log: Log {
            epoch: lines.lost.epoch,
            ..forged.log
        },
        ..forged
    };
    assert_eq!(state.judge(&nothing, of_lost), Claim::Exists);
}

/// One case for each fate of the lives that owned the slot on the lost line, here 2 and 3.
#[test]
fn a_reader_of_a_lost_line_waits_until_each_owner_there_can_bring_nothing_more() {
    let lines = lines();
    let plain = winner(&lines);
    let of_two = has_from(&plain, member(2).id());
    let noted_three = won_with(&lines, |view| {
        view.note_left_behind(&[noted(member(3), &lines)], &[&lines.won], 1000);
    });
    let noted_three = has_from(&noted_three, member(2).id());
    let given_up = {
        let mut state = noted_three.clone();
        let mut view = (**state.view().expect("is active")).clone();
        assert!(view.give_up(&node(3), true));
        state.views.insert(view.epoch, Arc::new(view));
        state
    };
    // Removed by the force that began our line, before the lost one was known.
    let forced_out = won_with(&lines, |view| {
        view.note_removals(&[&lines.one], 1000, true);
    });
    let forced_out = hears(&has_from(&forced_out, member(2).id()), &[0, 2]);
    let given_up_again = {
        let mut state = forced_out.clone();
        let mut view = (**state.view().expect("is active")).clone();
        assert!(view.give_up(&node(3), true));
        state.views.insert(view.epoch, Arc::new(view));
        state
    };
    let lost_its_disk = {
        let mut state = forced_out.clone();
        state.expired.insert(member(3).id());
        state
    };
    let back_empty = won_with(&lines, |view| {
        let listed = next::add(&lines.won, &reborn(3, 5)).expect("is new");
        *view = listed;
    });
    let back_empty = has_from(&back_empty, member(2).id());
    let others = back_empty.owners_then_and_now(&back_empty.owned_slots());
    let heard_all = with_region(&back_empty, |region| region.heard.extend(&others));
    // A closing clears `heard`, and no member is asked again.
    let closed = {
        let mut state = has_from(&plain, member(3).id());
        state.closed.below = state.active;
        state
    };
    for (name, state, is_over) in [
        ("nobody was heard", &plain, false),
        (
            "2 is listed, every epoch before is closed, 3 handed over",
            &closed,
            true,
        ),
        (
            "2 is listed in its life and was heard, 3 is gone",
            &hears(&plain, &[2]),
            false,
        ),
        (
            "all were heard, and of what 3 left nobody has heard",
            &hears(&plain, &[0, 2]),
            false,
        ),
        ("2 handed over, 3 is gone", &of_two, false),
        (
            "both handed over in those lives",
            &has_from(&of_two, member(3).id()),
            true,
        ),
        (
            "2 is listed in its life and was heard, 3 handed over",
            &hears(&has_from(&plain, member(3).id()), &[2]),
            true,
        ),
        ("3 left something behind", &noted_three, false),
        (
            "others were heard, 3 left something behind",
            &hears(&noted_three, &[0, 2]),
            false,
        ),
        (
            "what 3 left behind is here",
            &has_from(&noted_three, MemberId(9)),
            true,
        ),
        ("3 is given up, others may have taken it", &given_up, false),
        (
            "3 is given up, and all were heard",
            &hears(&given_up, &[0, 2]),
            true,
        ),
        (
            "3 was removed by force, and may have gone on there",
            &forced_out,
            false,
        ),
        ("3 was given up again since", &given_up_again, true),
        (
            "3 was removed by force, and has nothing left",
            &lost_its_disk,
            true,
        ),
        ("3 came back with an empty disk", &back_empty, false),
        ("3 came back empty, and all were heard", &heard_all, true),
    ] {
        let expected = if is_over {
            Ok(())
        } else {
            missing(&[all_of(&lines.lost)]).map(drop)
        };
        let judged = read(state, slot(&lines), &[all_of(&lines.lost)]).map(drop);
        assert_eq!(judged, expected, "{name}");
        let is_through = state.does_not_await_lost().any(|epoch| epoch == lines.lost.epoch);
        assert!(is_over || !is_through, "{name}");
    }
    let mut over = plain;
    over.give_up_lost([lines.lost.epoch]);
    assert!(read(&over, slot(&lines), &[all_of(&lines.lost)]).is_ok());
}

#[test]
fn owners_of_other_slots_and_of_later_epochs_are_not_waited_for() {
    // {0, 1} and {2, 3}; on the lost line they stay where they are, then node 4 takes the place of node 3.
    let one = first(2, 5);
    let lost = same(&one);
    let later = minus(&lost, 3);
    let won = forked(&same(&one));
    let mut reader = state(&member(1), &[&one, &won]);
    reader.learn(&lost);
    reader.learn(&later);
    let own = slot_in(&one.slots_of_node(&node(1)));
    assert_eq!(read(&reader, own, &[all_of(&lost)]), missing(&[all_of(&lost)]));
    let heard = hears(&reader, &[0]);
    assert!(
        read(&heard, own, &[all_of(&later)]).is_ok(),
        "2, 3 and 4 had none of it"
    );
    // Node 2 reads a slot that node 3 had, and node 4 later.
    let mut other = state(&member(2), &[&one, &won]);
    other.learn(&lost);
    other.learn(&later);
    let theirs = slot_in(&one.slots_of_node(&node(2)));
    let other = hears(&other, &[3]);
    assert!(read(&other, theirs, &[all_of(&lost)]).is_ok());
    assert_eq!(
        read(&other, theirs, &[all_of(&later)]),
        missing(&[all_of(&later)])
    );
    // What node 3 had before its removal counts for the later epoch, too.
    let of_four = with_region(&other, |region| {
        region.heard = [member(4).id()].into();
    });
    assert_eq!(
        read(&of_four, theirs, &[all_of(&later)]),
        missing(&[all_of(&later)])
    );
    assert!(read(&hears(&of_four, &[3]), theirs, &[all_of(&later)]).is_ok());
}

#[test]
fn lost_views_are_noted_once_and_dated_once() {
    let lines = lines();
    let mut state = winner(&lines);
    assert!(!state.note_lost(&lines.lost));
    state.date_lost(500);
    state.learn(&same(&lines.lost));
    state.date_lost(700);
    let dates: Vec<u64> = state.lost.values().map(|lost| lost.noted_ms).collect();
    assert_eq!(dates, [500, 700]);
}

/// A member forgot its vote, and two views of one epoch were chosen.
#[test]
fn of_two_views_of_one_epoch_every_node_follows_the_same_one() {
    let one = first(3, 4);
    let (four, other) = (plus(&one, 4), minus(&one, 3));
    assert!(four.epoch == other.epoch && four != other);
    let (won, lost) = if four.fingerprint() > other.fingerprint() {
        (four, other)
    } else {
        (other, four)
    };
    for (first, second) in [(&won, &lost), (&lost, &won)] {
        let mut state = state(&member(0), &[&one]);
        assert!(state.learn(first));
        assert_eq!(state.learn(second), second == &won, "of two that are not active");
        assert_eq!(state.newest(), Some(&won));
        assert!(state.ended.is_none());
    }
    let mut active = state(&member(0), &[&one, &won]);
    assert!(!active.learn(&lost) && active.ended.is_none() && active.is_member());
    let mut active = state(&member(0), &[&one, &lost]);
    active.learn(&same(&lost));
    assert!(active.learn(&won), "what was built on the other goes with it");
    assert_eq!(active.newest(), Some(&won));
    assert!(active.ended == Some(crate::protocol::replication::Ending::Outranked) && !active.is_member());
}
