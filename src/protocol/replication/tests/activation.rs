//! Activation of a view: what is kept, gained and lost, and what the sealed logs become.

use super::*;
use crate::protocol::replication::Closed;

/// Four nodes; nodes 4 and 5 make a third partition in view 3, which is dissolved in view 4, when node
/// 4 is removed.
fn there_and_back() -> [Arc<View>; 4] {
    let four = first(2, 4);
    let five = plus(&four, 4);
    let six = plus(&five, 5);
    let back = minus(&six, 4);
    [four, five, six, back]
}

/// The slots that node 0 loses in view 3 and has again in view 4.
fn regained(views: &[Arc<View>; 4]) -> SlotSet {
    let [_, before, between, after] = views.each_ref().map(|view| view.slots_of_node(&node(0)));
    before.difference(&between).intersection(&after)
}

#[test]
fn what_was_gained_and_lost_is_told() {
    let views = there_and_back();
    let [_, before, between, after] = views.each_ref().map(|view| view.slots_of_node(&node(0)));
    let mut zero = state(&member(0), &[&views[0], &views[1]]);
    zero.learn(&views[2]);
    let activated = zero.activate(Epoch(3));
    assert!(activated.gained.is_empty());
    assert_eq!(activated.lost, before.difference(&between));
    zero.learn(&views[3]);
    let activated = zero.activate(Epoch(4));
    assert!(activated.lost.is_empty());
    assert_eq!(activated.gained, after.difference(&between));
}

#[test]
fn a_slot_lost_and_regained_in_views_that_were_passed_lacks_what_happened_between() {
    let views = there_and_back();
    assert!(!regained(&views).is_empty());
    let mut zero = state(&member(0), &[&views[0], &views[1]]);
    zero.learn(&views[2]);
    zero.learn(&views[3]);
    zero.activate(Epoch(4));
    for slot in views[3].slots_of_node(&node(0)).iter() {
        let kept = views[2].slots_of_node(&node(0)).contains(slot);
        let expected = if kept { 0 } else { 4 };
        assert_eq!(zero.region_of(slot).map(|region| region.lacks.0), Some(expected));
    }
}

#[test]
fn the_hand_over_brings_what_became_stable_while_the_slot_was_elsewhere() {
    let views = there_and_back();
    let key = key_in(&regained(&views));
    let mut zero = Node::new(&member(0), &[&views[0], &views[1]]);
    let mut five = Node::new(&member(5), &[]);
    five.learn(&[&views[0], &views[1], &views[2], &views[3]]);
    five.activate(3);
    let written = five.put(&key, 1);
    five.stable.raise(written.dot());
    zero.learn(&[&views[2], &views[3]]);
    five.seal(4);
    zero.take_over(&five, 4).expect("is handed over");
    zero.activate(4);
    assert!(zero.holds(&written));
    // Node 5 itself never got what was before view 3.
    let region = zero.state.region_of(key.slot());
    assert_eq!(region.map(|region| region.lacks.0), Some(3));
}

#[test]
fn the_vector_becomes_coverage_and_own_logs_are_complete() {
    let one = first(2, 2);
    let mut zero = state(&member(0), &[&one]);
    zero.vector = vector([dot(&member(0), 1, 3), dot(&member(1), 1, 5)]);
    let views = [same(&one), same(&same(&one))];
    views.iter().for_each(|view| assert!(zero.learn(view)));
    zero.activate(Epoch(3));
    let held = [
        dot(&member(0), 1, END),
        dot(&member(0), 2, END),
        dot(&member(1), 1, 5),
    ];
    assert_eq!(zero.regions[0].coverage, vector(held));
    assert!(zero.vector.is_empty() && zero.sealed == Epoch(3) && !zero.is_sealed());
    assert_eq!(zero.next_dot(), dot(&member(0), 3, 1));
}

#[test]
fn own_logs_of_views_that_were_passed_are_complete_for_slots_gained_there_too() {
    // Node 0 owns the slot in view 4, never serves that view, and activates view 5.
    let views = there_and_back();
    let last = same(&views[3]);
    let mut zero = state(&member(0), &[&views[0], &views[1]]);
    for view in [&views[2], &views[3], &last] {
        zero.learn(view);
    }
    zero.activate(Epoch(5));
    let region = zero.region_of(slot_in(&regained(&views))).expect("owns it");
    assert_eq!(region.lacks, Epoch(4));
    assert!(region.coverage.includes(dot(&member(0), 4, END)));
}

#[test]
fn what_was_heard_in_one_view_is_not_heard_in_the_next() {
    let one = first(2, 2);
    let [mut zero, other] = [0, 1].map(|number| Node::new(&member(number), &[&one]));
    zero.exchange(&other).expect("is exchanged");
    assert_eq!(zero.state.regions[0].heard, BTreeSet::from([member(1).id()]));
    zero.learn(&[&same(&one)]);
    zero.activate(2);
    assert!(zero.state.regions[0].heard.is_empty());
}

#[test]
fn what_came_for_another_view_is_not_taken_along() {
    let one = first(2, 2);
    let (two, three) = (with(&one, &[reborn(1, 9)]), same(&with(&one, &[reborn(1, 9)])));
    let mut giver = Node::new(&member(0), &[&one]);
    giver.learn(&[&two, &three]);
    giver.seal(3);
    let mut taker = Node::new(&reborn(1, 9), &[]);
    taker.learn(&[&one, &two, &three]);
    taker.take_over(&giver, 3).expect("is handed over");
    taker.activate(2);
    assert!(taker.state.incoming.is_none());
    assert_eq!(taker.state.regions[0].lacks, Epoch(2));
    assert!(taker.state.regions[0].sources.is_empty());
}

#[test]
fn a_node_in_no_view_begins_with_one_that_lists_it() {
    let one = first(2, 2);
    let two = with(&one, &[reborn(1, 9)]);
    let mut back = ReplicaState::new(reborn(1, 9));
    back.learn(&one);
    back.activate(Epoch(1));
    assert_eq!(back.active, Epoch::NONE);
    back.learn(&two);
    back.activate(Epoch(2));
    assert_eq!(back.active, Epoch(2));
    // A removed member activates the view, too, and so knows that it is not a member.
    let mut removed = state(&member(1), &[&one]);
    removed.learn(&minus(&one, 1));
    removed.activate(Epoch(2));
    assert!(removed.active == Epoch(2) && !removed.is_member() && removed.regions.is_empty());
    // A member that was replaced, because its disk seemed lost, ends its life.
    let mut replaced = state(&member(1), &[&one]);
    replaced.learn(&two);
    replaced.activate(Epoch(2));
    assert!(replaced.active == Epoch(1) && replaced.ended.is_some() && !replaced.kept.is_empty());
}

#[test]
fn a_node_that_is_removed_before_it_served_goes_along_to_say_that_it_took_nothing() {
    let one = first(1, 1);
    let two = plus(&one, 1);
    let three = minus(&two, 1);
    let mut new = ReplicaState::new(member(1));
    new.learn(&two);
    assert!(!new.is_passed_by());
    let mut served = new.clone();
    served.activate(Epoch(2));
    for state in [&mut new, &mut served] {
        state.learn(&three);
    }
    assert!(new.is_passed_by() && !served.is_passed_by());
    new.activate(Epoch(3));
    assert!(new.is_leaving());
    assert_eq!(new.kept_slots(), two.slots_of_node(&node(1)));
    assert!(new.kept.iter().all(|kept| kept.lacks == Epoch(2)));
    // A life that no view listed has nothing to say.
    let mut stranger = ReplicaState::new(reborn(1, 9));
    stranger.learn(&two);
    stranger.learn(&three);
    stranger.activate(Epoch(3));
    assert!(!stranger.is_passed_by() && stranger.active == Epoch::NONE);
    // The line that added it is given up: members that are waited for are asked in which life they answer.
    let mut added_there = ReplicaState::new(member(1));
    added_there.learn(&two);
    added_there.learn(&forked(&same(&one)));
    assert!(added_there.is_passed_by());
}

#[test]
fn epochs_only_go_up_and_only_to_views_that_are_known() {
    let one = first(2, 2);
    let two = same(&one);
    let mut zero = state(&member(0), &[&one, &two]);
    for target in [1, 2, 7] {
        zero.vector.raise(dot(&member(0), 2, 1));
        let before = zero.clone();
        zero.activate(Epoch(target));
        assert_eq!((zero.active, &zero.vector), (before.active, &before.vector));
    }
}

#[test]
fn a_closing_that_was_learned_is_not_counted_in_an_epoch_below_the_one_that_concluded_it() {
    let one = first(2, 3);
    let two = with(&one, &[reborn(1, 9)]);
    let three = same(&two);
    let mut back = ReplicaState::new(reborn(1, 9));
    // A node that is behind told of view 2; one that is ahead, of a closing concluded in epoch 3.
    assert!(back.learn_past(&[one, Arc::clone(&two)], &Closed::default()));
    let closed = closing(Epoch(2), Epoch(3));
    assert!(back.learn_past(&[two, three], &closed));
    back.activate(Epoch(2));
    assert_eq!(back.active, Epoch::NONE);
    back.activate(Epoch(3));
    assert_eq!((back.active, back.closed), (Epoch(3), closed));
    // Views of closed epochs are forgotten on the way.
    assert_eq!(
        back.views.keys().copied().collect::<Vec<_>>(),
        [Epoch(2), Epoch(3)]
    );
}
