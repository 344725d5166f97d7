//! What is kept of slots that moved away: which owners confirm it, when it is dropped, and how long a
//! removed node may bring it back (I12).

use super::*;
use crate::protocol::replication::{Confirm, Ending, NoReturn};

/// K = 1: node 1 takes half of the slots of node 0.
fn moving() -> [Arc<View>; 2] {
    let one = first(1, 1);
    let two = plus(&one, 1);
    [one, two]
}

fn moved(views: &[Arc<View>; 2]) -> SlotSet {
    views[1].slots_of_node(&node(1))
}

/// Node 0 with one write that moves, sealed for the second view; and the write.
fn keeper(views: &[Arc<View>; 2]) -> (Node, Record) {
    let mut keeper = Node::new(&member(0), &[&views[0]]);
    let written = keeper.put(&key_in(&moved(views)), 1);
    keeper.learn(&[&views[1]]);
    keeper.seal(2);
    (keeper, written)
}

fn owner(views: &[Arc<View>; 2]) -> Node {
    let mut owner = Node::new(&member(1), &[]);
    owner.learn(&[&views[0], &views[1]]);
    owner
}

fn confirmed(owner: &Node, keeper: &Node) -> SlotSet {
    let epoch = keeper.state.newest().expect("knows one").epoch;
    owner.state.confirms(&keeper.state.ask_to_confirm(epoch))
}

#[test]
fn an_owner_confirms_what_was_handed_over_to_it_and_nothing_before() {
    let views = moving();
    let (mut keeper, written) = keeper(&views);
    let (mut with, mut without) = (owner(&views), owner(&views));
    with.take_over(&keeper, 2).expect("is handed over");
    keeper.activate(2);
    assert!(confirmed(&with, &keeper).is_empty(), "it is not active yet");
    for owner in [&mut with, &mut without] {
        owner.activate(2);
    }
    assert!(with.holds(&written));
    assert_eq!(confirmed(&with, &keeper), moved(&views));
    assert!(confirmed(&without, &keeper).is_empty());
}

#[test]
fn an_owner_that_lacks_what_one_of_two_keepers_has_confirms_the_other_only() {
    // Node 4 took from node 0. A write that node 1 coordinated never came to node 0.
    let four = first(2, 4);
    let five = plus(&four, 4);
    let six = plus(&five, 5);
    let [mut zero, mut one] = [0, 1].map(|number| Node::new(&member(number), &[&four, &five]));
    let slots = six
        .slots_of_node(&node(4))
        .intersection(&five.slots_of_node(&node(0)));
    let late = one.put(&key_in(&slots), 1);
    let mut new = Node::new(&member(4), &[&four, &five]);
    for replica in [&mut zero, &mut one, &mut new] {
        replica.learn(&[&six]);
        replica.seal(3);
    }
    new.take_over(&zero, 3).expect("is handed over");
    for replica in [&mut zero, &mut one, &mut new] {
        replica.activate(3);
    }
    let told = |new: &Node| [&zero, &one].map(|keeper| confirmed(new, keeper));
    assert_eq!(told(&new), [slots.clone(), SlotSet::default()]);
    // A member that is not a sibling gives late what it kept.
    new.exchange(&one).expect("is exchanged");
    assert!(new.holds(&late));
    assert_eq!(told(&new), [slots.clone(), slots]);
}

#[test]
fn nobody_is_asked_for_what_closed_epochs_left() {
    let views = moving();
    let (mut keeper, _) = keeper(&views);
    let mut owner = owner(&views);
    owner.activate(2);
    let mut lacking = owner.clone();
    for region in Arc::make_mut(&mut owner.state.regions) {
        region.lacks = Epoch::NONE;
    }
    keeper.activate(2);
    assert!(confirmed(&owner, &keeper).is_empty());
    for replica in [&mut owner, &mut lacking] {
        replica.state.closed = closing(Epoch(2), Epoch(2));
    }
    assert_eq!(confirmed(&owner, &keeper), moved(&views));
    assert!(confirmed(&lacking, &keeper).is_empty(), "it lacks all of it");
}

#[test]
fn a_keeper_that_is_not_listed_is_confirmed_when_it_handed_over_itself() {
    // K = 2: node 2 replaces node 0, which has a write that node 1 lacks.
    let one = first(2, 3);
    let mut two = next::remove(&one, &node(0)).expect("is listed");
    two.note_removals(&[&one], 1000, false);
    let two = Arc::new(two);
    let [mut left, _, mut new] = [0, 1, 2].map(|number| Node::new(&member(number), &[&one]));
    left.put(&key_in(&SlotSet::all()), 1);
    for replica in [&mut left, &mut new] {
        replica.learn(&[&two]);
        replica.seal(2);
    }
    let mut without = new.clone();
    new.take_over(&left, 2).expect("is handed over");
    for replica in [&mut left, &mut new, &mut without] {
        replica.activate(2);
    }
    assert_eq!(confirmed(&new, &left), SlotSet::all());
    // It still confirms when the epochs are closed, and nothing but the source shows the hand-over.
    let closed = closing(Epoch(2), Epoch(2));
    new.state.close(closed.clone());
    assert_eq!(confirmed(&new, &left), SlotSet::all());
    // An owner that is ready but never had the write does not confirm.
    for region in Arc::make_mut(&mut without.state.regions) {
        region.lacks = Epoch::NONE;
    }
    assert!(confirmed(&without, &left).is_empty());
    without.state.close(closed);
    assert!(confirmed(&without, &left).is_empty());
}

#[test]
fn a_removed_keeper_counts_no_closing() {
    // Otherwise it would ask for less than it keeps: the members were done with their epochs without it.
    let one = first(2, 3);
    let mut left = Node::new(&member(0), &[&one]);
    let written = left.put(&key_in(&SlotSet::all()), 1);
    left.learn(&[&minus(&one, 0)]);
    left.activate(2);
    let closed = closing(Epoch(2), Epoch(2));
    assert!(!left.state.close(closed));
    assert!(left.state.kept[0].coverage.includes(written.dot()));
}

#[test]
fn confirming_is_for_members_that_are_active_in_the_epoch_they_are_asked_about() {
    let views = moving();
    let (mut keeper, _) = keeper(&views);
    let mut owner = owner(&views);
    owner.take_over(&keeper, 2).expect("is handed over");
    keeper.activate(2);
    owner.activate(2);
    let confirm = keeper.state.ask_to_confirm(Epoch(2));
    let other = Confirm {
        epoch: Epoch(3),
        ..confirm.clone()
    };
    assert!(owner.state.confirms(&other).is_empty());
    assert!(!owner.state.confirms(&confirm).is_empty());
    owner.state.end(Ending::Outranked);
    assert!(owner.state.confirms(&confirm).is_empty());
}

#[test]
fn only_what_is_kept_is_dropped_and_only_for_the_epoch_that_was_asked_about() {
    let views = moving();
    let (mut keeper, _) = keeper(&views);
    keeper.activate(2);
    let moved = moved(&views);
    assert!(keeper.state.drop_kept(Epoch(1), &moved).is_empty());
    let some: SlotSet = moved.iter().take(10).collect();
    let own = views[1].slots_of_node(&node(0));
    assert_eq!(keeper.state.drop_kept(Epoch(2), &some.union(&own)), some);
    assert_eq!(keeper.state.kept_slots(), moved.difference(&some));
    assert_eq!(keeper.state.drop_kept(Epoch(2), &moved), moved.difference(&some));
    assert!(keeper.state.kept.is_empty());
}

#[test]
fn what_is_on_its_way_back_is_not_dropped_after_the_seal() {
    let views = moving();
    let (mut keeper, _) = keeper(&views);
    keeper.activate(2);
    keeper.learn(&[&minus(&views[1], 1)]);
    // Until the seal it may be copied again; after it, a hand-over may begin from what is here.
    let dropped = keeper.clone().state.drop_kept(Epoch(2), &moved(&views));
    assert_eq!(dropped, moved(&views));
    keeper.seal(3);
    assert!(keeper.state.drop_kept(Epoch(2), &moved(&views)).is_empty());
    assert_eq!(keeper.state.kept_slots(), moved(&views));
}

#[test]
fn a_removed_keeper_goes_by_the_newest_view_it_knows() {
    let one = first(2, 3);
    let two = minus(&one, 0);
    let mut left = Node::new(&member(0), &[&one, &two]);
    assert!(left.state.is_leaving());
    left.learn(&[&same(&two)]);
    assert!(left.state.drop_kept(Epoch(2), &SlotSet::all()).is_empty());
    assert_eq!(left.state.drop_kept(Epoch(3), &SlotSet::all()), SlotSet::all());
}

#[test]
fn a_member_of_a_line_that_was_given_up_keeps_all_that_it_owned() {
    let one = first(2, 2);
    let mut left = Node::new(&member(0), &[&one]);
    let written = left.put(&key_in(&SlotSet::all()), 1);
    left.state.end(Ending::Outranked);
    let kept = &left.state.kept[0];
    assert_eq!((kept.slots.clone(), kept.last_owned), (SlotSet::all(), Epoch(1)));
    assert!(kept.coverage.includes(written.dot()));
    assert!(kept.coverage.includes(dot(&member(0), 1, END)));
    assert!(left.state.is_leaving() && left.state.regions.is_empty());
    left.state.end(Ending::WentBack);
    assert_eq!(
        (left.state.kept.len(), left.state.ended),
        (1, Some(Ending::Outranked))
    );
}

/// A fellow member may write on after it has handed over. A life that ends does not learn when that member is sealed.
#[test]
fn an_ended_life_does_not_list_present_members_as_sources() {
    let one = first(3, 3);
    let mut left = Node::new(&member(0), &[&one, &minus(&one, 2)]);
    let with_sources = |state: &mut ReplicaState| {
        for region in Arc::make_mut(&mut state.regions) {
            region.sources = [1, 2].map(|number| member(number).id()).into();
        }
    };
    with_sources(&mut left.state);
    left.state.end(Ending::WentBack);
    assert_eq!(left.state.kept[0].sources, [member(2).id()].into());
}

/// Node 0 of two, in a view that says that node 2 was removed at 1000 ms.
fn after_a_removal() -> ReplicaState {
    let one = first(2, 3);
    let mut two = next::remove(&one, &node(2)).expect("is listed");
    two.note_removals(&[&one], 1000, false);
    state(&member(0), &[&one, &Arc::new(two)])
}

#[test]
fn what_a_removed_node_returns_is_taken_for_a_limited_time() {
    let taker = after_a_removal();
    let may = |from: &Member, now_ms| taker.may_adopt(from.id(), now_ms, 500);
    assert_eq!(may(&member(2), 1500), Ok(()));
    assert_eq!(may(&member(2), 1501), Err(NoReturn::TooLate));
    // A clock that is behind does not make it later.
    assert_eq!(may(&member(2), 0), Ok(()));
    // No view says when these left, so the deletions that they missed are unknown.
    assert_eq!(may(&reborn(2, 7), 1000), Err(NoReturn::TooLate));
    assert_eq!(may(&member(1), 1000), Err(NoReturn::TooLate));
}

#[test]
fn what_a_removed_node_returns_is_not_taken_once_tombstones_were_dropped() {
    let mut taker = after_a_removal();
    assert!(taker.note_dropped_tombstones() && !taker.note_dropped_tombstones());
    // The clock was set back: it shows the time of the removal.
    assert_eq!(taker.may_adopt(member(2).id(), 1000, 500), Err(NoReturn::TooLate));
}

#[test]
fn what_a_removed_node_returns_is_taken_by_active_members_only() {
    let taker = after_a_removal();
    let refused = |change: fn(&mut ReplicaState)| {
        let mut state = taker.clone();
        change(&mut state);
        state.may_adopt(member(2).id(), 1000, 500) == Err(NoReturn::NotNow)
    };
    assert!(refused(|state| state.sealed = Epoch(3)));
    assert!(refused(|state| state.end(Ending::Outranked)));
    assert!(refused(|state| *state = ReplicaState::new(member(0))));
}
