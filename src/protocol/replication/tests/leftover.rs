//! Lives that end while their node runs: what they may still do, what the next life knows, and since
//! when deletions may have been missed.

use super::*;
use crate::names::MemberId;
use crate::protocol::placement::LeftBehind;
use crate::protocol::replication::{Ending, Leftover, NoReturn, may_write};

const NAME: MemberId = MemberId(9);

fn left(epoch: Epoch, since_ms: Option<u64>) -> LeftBehind {
    LeftBehind {
        name: NAME,
        by: member(1),
        epoch,
        since_ms,
    }
}

/// The view after `before` without this node, which notes the removal at that time.
fn removed_at(before: &View, number: u64, at_ms: u64) -> View {
    let mut view = next::remove(before, &node(number)).expect("is listed");
    view.note_removals(&[before], at_ms, false);
    view
}

/// Since when the life of node 1 may have missed deletions, when it learns of the winning line.
fn missed_since(history: &[&Arc<View>], won: &Arc<View>, ending: Ending) -> Option<u64> {
    let mut state = state(&member(1), history);
    if ending == Ending::WentBack {
        state.end(ending);
    }
    state.learn(won);
    assert_eq!(state.ended, Some(ending));
    let next = state.next_life(reborn(1, 5), NAME);
    next.leftovers[0].left.since_ms
}

/// The same change, decided without a quorum at some time. Of two lines, the one with the higher draw counts.
fn forked_at(view: &View, drawn: u64, at_ms: u64) -> Arc<View> {
    let mut forked = view.clone();
    forked.fork(drawn, at_ms);
    Arc::new(forked)
}

#[test]
fn deletions_may_be_missed_since_the_first_view_of_either_line_or_the_own_removal() {
    let one = first(3, 4);
    let won = forked_at(&minus(&one, 0), 2, 5000);
    let plain = same(&one);
    let removes = Arc::new(removed_at(&one, 3, 3000));
    let forced = forked_at(&minus(&one, 3), 1, 2000);
    let without_me = Arc::new(removed_at(&one, 1, 1000));
    let added_to = same(&without_me);
    let won_without_me = forked_at(&without_me, 2, 5000);
    let won_removed_later = forked_at(&removed_at(&one, 1, 4000), 2, 5000);
    let mut forgot = (*without_me).clone();
    forgot.removed.clear();
    let forgot = Arc::new(forgot);
    for (name, ours, won, expected) in [
        ("the line that won began", &plain, &won, 5000),
        ("the lost line removed a member before", &removes, &won, 3000),
        ("the lost line was forced before", &forced, &won, 2000),
        (
            "the line that won removed the member before",
            &plain,
            &won_without_me,
            1000,
        ),
        (
            "it was removed, and followed the lost line",
            &added_to,
            &won,
            1000,
        ),
        ("both lines removed it", &added_to, &won_removed_later, 1000),
        (
            "it was removed so long ago that it is forgotten",
            &forgot,
            &won,
            1,
        ),
    ] {
        let history = if ours == &added_to {
            vec![&one, &without_me, ours]
        } else {
            vec![&one, ours]
        };
        assert_eq!(
            missed_since(&history, won, Ending::Outranked),
            Some(expected),
            "{name}"
        );
    }
}

/// A copy does not show when it was made.
#[test]
fn the_records_of_a_disk_that_went_back_are_judged_one_by_one() {
    let one = first(3, 4);
    let won = forked_at(&minus(&one, 0), 2, 5000);
    assert_eq!(missed_since(&[&one, &same(&one)], &won, Ending::WentBack), None);
}

/// A log that was once handed over as complete is not complete on the restored copy.
#[test]
fn an_unproven_life_hands_nothing_over_and_takes_part_in_nothing() {
    let one = first(3, 3);
    let two = same(&one);
    let slot = Slot(0);
    for state in ["as it was", "unproven", "ended"] {
        let [mut copy, mut sibling] = [2, 0].map(|number| Node::new(&member(number), &[&one]));
        match state {
            "unproven" => copy.state.is_unproven = true,
            "ended" => copy.state.end(Ending::WentBack),
            _ => {}
        }
        let is_well = state == "as it was";
        assert_eq!(copy.state.may_act(), is_well, "{state}");
        assert_eq!(copy.state.is_member(), is_well, "{state}");
        assert_eq!(read(&copy.state, slot, &[]).is_ok(), is_well, "{state}");
        assert_eq!(
            may_write(&copy.state, slot, Epoch::NONE).is_ok(),
            is_well,
            "{state}"
        );
        let before = sibling.clone();
        assert_eq!(sibling.exchange(&copy).is_ok(), is_well, "{state}");
        assert_eq!(copy.exchange(&before).is_ok(), is_well, "{state}");
        copy.learn(&[&two]);
        copy.seal(2);
        let mut newcomer = Node::new(&member(1), &[&one]);
        newcomer.learn(&[&two]);
        newcomer.seal(2);
        assert_eq!(newcomer.take_over(&copy, 2).is_ok(), is_well, "{state}");
        assert_eq!(
            copy.state.offer_copy(&member(1), Epoch(2)).is_empty(),
            !is_well,
            "{state}"
        );
        copy.activate(2);
        assert_eq!(copy.state.active == Epoch(2), is_well, "{state}");
    }
}

/// The life ends first. The next one knows what is left, and nothing that is out of date.
#[test]
fn the_next_life_has_what_the_one_before_left_and_knows_the_history_that_counts() {
    let one = first(3, 3);
    let lost = minus(&one, 0);
    let won = forked(&minus(&one, 2));
    let mut life = Node::new(&member(1), &[&one, &lost]);
    life.put(&key_in(&SlotSet::all()), 5);
    let later = same(&lost);
    life.learn(&[&later, &won]);
    assert!(life.state.ended == Some(Ending::Outranked) && life.state.regions.is_empty());
    life.state.end(Ending::WentBack);
    assert_eq!(life.state.ended, Some(Ending::Outranked), "it ends once");
    life.state.laid_aside = 0..3;
    life.state.closed = closing(one.epoch, one.epoch);
    let next = life.state.next_life(reborn(1, 5), NAME);
    assert_eq!((next.active, next.newest()), (Epoch::NONE, Some(&won)));
    assert!(next.views.keys().eq([&one.epoch, &won.epoch]));
    assert!(next.lost.keys().eq([&lost.epoch, &later.epoch]));
    assert!(next.has_left && next.ended.is_none() && next.closed == life.state.closed);
    assert_eq!((next.laid_aside.clone(), next.next_page()), (3..3, 3));
    let [leftover] = &next.leftovers[..] else {
        panic!("one leftover: {:?}", next.leftovers);
    };
    assert_eq!((leftover.left.epoch, &leftover.left.by), (lost.epoch, &member(1)));
    assert_eq!(leftover.pages, 0..3);
    let kept: Vec<_> = leftover.kept.iter().map(|kept| kept.slots.len()).collect();
    assert_eq!(kept.iter().sum::<usize>(), SlotSet::all().len());
    let own = Log {
        epoch: lost.epoch,
        member: member(1).id(),
    };
    let complete = Dot {
        log: own,
        number: END,
    };
    assert!(leftover.kept.iter().all(|kept| kept.coverage.includes(complete)));
    // A life that had nothing leaves nothing, and the next one still has the earlier leftovers.
    let mut again = next.clone();
    again.end(Ending::WentBack);
    let third = again.next_life(reborn(1, 6), MemberId(10));
    assert_eq!(third.leftovers, next.leftovers);
}

/// A peer has seen this node further. By `VIEW`, its disk from before the first view would begin a
/// second cluster.
#[test]
fn the_next_life_does_not_go_by_view_though_the_disk_of_the_one_before_knew_no_view() {
    let mut blank = ReplicaState::new(member(1));
    blank.end(Ending::WentBack);
    let next = blank.next_life(reborn(1, 5), NAME);
    assert!(next.has_left && next.leftovers.is_empty() && next.newest().is_none());
}

#[test]
fn a_leftover_speaks_of_every_slot() {
    let one = first(2, 4);
    let mut state = state(&member(1), &[&one]);
    state.end(Ending::WentBack);
    let leftover = Leftover {
        left: left(one.epoch, None),
        kept: state.kept.to_vec(),
        pages: 0..1,
    };
    let all = leftover.of_all_slots();
    let slots = super::super::replica_state::union_of(all.iter().map(|kept| &kept.slots));
    assert_eq!(slots, SlotSet::all());
    let nothing = all.last().expect("the slots that it never had");
    assert_eq!(
        nothing.slots,
        SlotSet::all().difference(&one.slots_of_node(&node(1)))
    );
    assert!(nothing.coverage.is_empty() && nothing.last_owned == Epoch::NONE);
}

/// The newest view lists the node in a life that has ended.
#[test]
fn a_later_life_votes_for_the_view_after_the_one_that_lists_an_ended_life_of_its_node() {
    let one = first(2, 3);
    let two = with(&one, &[reborn(1, 5)]);
    for (name, me, views, epoch, votes) in [
        ("a later life", reborn(1, 5), vec![&one], 2, true),
        (
            "not for a view that is decided",
            reborn(1, 5),
            vec![&one],
            1,
            false,
        ),
        ("nor for one after that", reborn(1, 5), vec![&one], 3, false),
        (
            "the listed life votes as a member",
            reborn(1, 5),
            vec![&one, &two],
            3,
            false,
        ),
        ("a node that is not listed", reborn(7, 5), vec![&one], 2, false),
        ("who knows no view", reborn(1, 5), vec![], 2, false),
    ] {
        let mut state = ReplicaState::new(me);
        views.iter().for_each(|view| {
            state.learn(view);
        });
        assert_eq!(state.votes_after_all_ended(Epoch(epoch)), votes, "{name}");
    }
    let active = state(&member(1), &[&one]);
    assert!(!active.votes_after_all_ended(Epoch(2)));
}

#[test]
fn readers_of_what_was_left_on_a_lost_line_depend_on_all_of_it() {
    let one = first(3, 3);
    let (won, lost) = (forked(&minus(&one, 2)), minus(&one, 0));
    let mut owner = state(&member(0), &[&one, &won]);
    let depends_on = |owner: &ReplicaState, epoch| owner.readers_depend_on(&left(epoch, None));
    assert_eq!(depends_on(&owner, one.epoch), Ok(None), "the line is ours");
    assert_eq!(depends_on(&owner, lost.epoch), Err(NoReturn::NotNow));
    owner.learn(&lost);
    let all = Dot::everything_of(lost.epoch);
    assert_eq!(depends_on(&owner, lost.epoch), Ok(Some(all)));
}

/// Owners wait for a leftover only once their view notes it.
#[test]
fn what_was_left_behind_is_awaited_once_the_active_view_notes_it() {
    let one = first(2, 4);
    let mut two = (*with(&one, &[reborn(1, 5)])).clone();
    assert!(two.note_left_behind(&[left(one.epoch, None)], &[&one], 1000));
    let two = Arc::new(two);
    let mut owner = state(&member(0), &[&one]);
    owner.learn(&two);
    assert!(!owner.awaits_return_of(NAME));
    owner.activate(two.epoch);
    assert!(owner.awaits_return_of(NAME) && !owner.awaits_return_of(member(1).id()));
    let slot = slot_in(&one.slots_of_node(&node(1)));
    let its = dot(&member(1), 1, 4);
    assert_eq!(read(&owner, slot, &[its]), missing(&[its]));
    owner.note_returned(NAME, &BTreeSet::from([NAME, member(1).id()]), &SlotSet::all());
    for region in Arc::make_mut(&mut owner.regions) {
        region.heard.insert(reborn(1, 5).id());
    }
    assert!(read(&owner, slot, &[its]).is_ok());
}

/// No other member can have deleted what no other member had.
#[test]
fn a_slot_is_held_elsewhere_if_it_is_ready_and_unknown_until_every_owner_was_asked() {
    let one = first(2, 3);
    let two = plus(&one, 3);
    let taker = state(&member(3), &[&one, &two]);
    let slot = slot_in(&taker.owned_slots());
    let region = taker.region_of(slot).expect("is owned");
    let owners = taker.owners_then_and_now(&region.slots);
    assert!(!region.is_ready() && owners.len() > 1);
    let with = |lacks, sources: &BTreeSet<MemberId>| {
        let mut state = taker.clone();
        for region in Arc::make_mut(&mut state.regions) {
            region.lacks = lacks;
            region.sources.clone_from(sources);
        }
        state.is_held_elsewhere(slot)
    };
    let some: BTreeSet<MemberId> = owners.iter().take(1).copied().collect();
    assert_eq!(with(two.epoch, &BTreeSet::new()), None);
    assert_eq!(with(two.epoch, &some), None);
    assert_eq!(with(two.epoch, &owners), Some(false));
    assert_eq!(with(Epoch::NONE, &BTreeSet::new()), Some(true));
    let foreign = state(&member(0), &[&first(2, 4)]);
    let foreign_slot = slot_in(&SlotSet::all().difference(&foreign.owned_slots()));
    assert_eq!(foreign.is_held_elsewhere(foreign_slot), None);
}
