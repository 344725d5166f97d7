//! What an exchange brings, what it does not, and when it is refused (I9, I11).

use std::cell::Cell;

use super::*;
use crate::protocol::replication::{Copied, Wanted};

/// Nodes 0 and 1, which hold everything together.
fn pair() -> (Node, Node) {
    let view = first(2, 2);
    (Node::new(&member(0), &[&view]), Node::new(&member(1), &[&view]))
}

/// Records, and whether they were searched.
struct Watched<'a> {
    records: &'a Shelf,
    is_searched: Cell<bool>,
}

impl Records for Watched<'_> {
    fn get(&self, key: &str) -> Option<Record> {
        Records::get(self.records, key)
    }

    fn for_each_in(&self, slots: &SlotSet, visit: impl FnMut(&Record)) {
        self.is_searched.set(true);
        self.records.for_each_in(slots, visit);
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

fn key(text: &str) -> Key {
    Key::new(text).expect("is a key")
}

#[test]
fn one_unit_brings_what_superseded_together_with_the_number_of_what_was_superseded() {
    let view = first(3, 3);
    let [mut a, mut b, mut c] = [0, 1, 2].map(|number| Node::new(&member(number), &[&view]));
    let old = a.put(&key("k"), 1);
    assert!(b.push(&old));
    let new = b.put(&key("k"), 2);
    assert!(c.exchange(&b).is_ok());
    assert!(c.holds(&new));
    assert_eq!(c.state.vector, vector([old.dot(), new.dot()]));
}

#[test]
fn a_push_is_taken_only_after_the_number_before_it() {
    let (mut a, mut b) = pair();
    let writes = [1, 2, 3].map(|time| a.put(&key("k"), time));
    assert!(!b.push(&writes[1]) && b.push(&writes[0]) && b.push(&writes[1]));
    assert!(!b.push(&writes[0]));
    assert_eq!(b.state.vector, vector([writes[1].dot()]));
}

#[test]
fn a_taker_that_is_ready_gets_what_may_be_unstable_and_one_that_lacks_gets_all() {
    let (mut a, b) = pair();
    let (stable, fresh) = (a.put(&key("a"), 1), a.put(&key("b"), 2));
    a.stable.raise(stable.dot());
    let mut ask = b.state.ask_steady();
    let records = |ask: &crate::protocol::replication::ExchangeRequest| a.give(ask).expect("is given").1;
    assert_eq!(records(&ask), std::slice::from_ref(&fresh));
    ask.wanted[0].lacks = Epoch(1);
    assert_eq!(records(&ask), [stable.clone(), fresh.clone()]);
    ask.wanted[0].holds = vector([stable.dot()]);
    assert_eq!(records(&ask), [fresh]);
}

#[test]
fn an_answer_to_an_earlier_question_is_not_taken() {
    let (a, b) = pair();
    let ask = b.state.ask_steady();
    let (given, _) = a.give(&ask).expect("is given");
    let mut moved_on = b.clone();
    moved_on.learn(&[&same(b.state.view().expect("is active"))]);
    let mut sealed = moved_on.clone();
    sealed.seal(2);
    assert_eq!(sealed.state.take_steady(&ask, &given), Err(NoExchange::Stale));
    moved_on.activate(2);
    assert_eq!(moved_on.state.take_steady(&ask, &given), Err(NoExchange::Stale));
    let mut of_another = given.clone();
    of_another.active = Epoch(2);
    let taken = b.clone().state.take_steady(&ask, &of_another);
    assert_eq!(taken, Err(NoExchange::Stale));
    let mut of_a_stranger = given.clone();
    of_a_stranger.giver = reborn(0, 5);
    let taken = b.clone().state.take_steady(&ask, &of_a_stranger);
    assert_eq!(taken, Err(NoExchange::NotListed));
    assert_eq!(b.clone().state.take_steady(&ask, &given), Ok(()));
}

#[test]
fn only_members_of_the_same_active_epoch_exchange() {
    let (a, b) = pair();
    let refused = |ask: &crate::protocol::replication::ExchangeRequest, giver: &Node| {
        giver.give(ask).expect_err("is refused")
    };
    let mut ahead = a.clone();
    ahead.learn(&[&same(a.state.view().expect("is active"))]);
    ahead.activate(2);
    assert_eq!(refused(&b.state.ask_steady(), &ahead), NoExchange::OtherEpoch);
    let mut ask = b.state.ask_steady();
    ask.taker = reborn(1, 5);
    assert_eq!(refused(&ask, &a), NoExchange::NotListed);
    let nobody = Node::new(&member(0), &[]);
    let mut ask = b.state.ask_steady();
    (ask.active, ask.target) = (Epoch::NONE, Epoch::NONE);
    assert_eq!(refused(&ask, &nobody), NoExchange::OtherEpoch);
}

#[test]
fn a_steady_exchange_speaks_of_siblings_logs_of_the_active_epoch_only() {
    let view = first(2, 4);
    let (a, mut b) = (Node::new(&member(0), &[&view]), Node::new(&member(1), &[&view]));
    let ask = b.state.ask_steady();
    let (mut given, _) = a.give(&ask).expect("is given");
    let of_sibling = dot(&member(0), 1, 3);
    // Only this member draws numbers of its own log (I1); the others are not logs of this partition and
    // epoch.
    let others = [
        dot(&member(1), 1, 9),
        dot(&member(2), 1, 9),
        dot(&member(0), 7, 9),
    ];
    given.vector = vector(others.into_iter().chain([of_sibling]));
    b.state.take_steady(&ask, &given).expect("is taken");
    assert_eq!(b.state.vector, vector([of_sibling]));
    assert_eq!(b.state.next_dot().number, 1);
}

#[test]
fn only_a_sealed_member_that_is_not_through_hands_over_and_only_to_a_member_of_the_view() {
    let (one, two) = (first(2, 2), with(&first(2, 2), &[reborn(1, 9)]));
    let mut giver = Node::new(&member(0), &[&one]);
    let mut taker = Node::new(&reborn(1, 9), &[]);
    taker.learn(&[&one, &two]);
    giver.learn(&[&two]);
    assert_eq!(taker.take_over(&giver, 2), Err(NoExchange::NotSealed));
    giver.seal(2);
    assert_eq!(taker.clone().take_over(&giver, 2), Ok(()));
    let mut ask = taker.state.ask_hand_over(Epoch(2), &[]).expect("is listed");
    ask.taker = reborn(1, 10);
    assert_eq!(giver.give(&ask).err(), Some(NoExchange::NotListed));
    giver.activate(2);
    assert_eq!(taker.take_over(&giver, 2), Err(NoExchange::NotSealed));
}

#[test]
fn what_is_handed_over_includes_the_vector_and_the_own_logs_as_complete() {
    let view = first(2, 2);
    let (two, four) = (same(&view), with(&same(&same(&view)), &[reborn(1, 9)]));
    let mut giver = Node::new(&member(0), &[&view]);
    let mut lost = Node::new(&member(1), &[&view]);
    let held = lost.put(&key("k"), 1);
    assert!(giver.push(&held));
    giver.learn(&[&two, &four]);
    giver.seal(4);
    let mut taker = Node::new(&reborn(1, 9), &[]);
    // The giver is several views behind: its logs of the views that it never served are complete, too.
    taker.learn(&[&view, &two, &same(&two), &four]);
    taker.take_over(&giver, 4).expect("is handed over");
    taker.activate(4);
    assert!(taker.holds(&held));
    let complete = [1, 2, 3].map(|epoch| dot(&member(0), epoch, END));
    let region = &taker.state.regions[0];
    for dot in complete.into_iter().chain([held.dot()]) {
        assert!(region.coverage.includes(dot), "{dot:?}");
    }
    assert!(!region.coverage.includes(dot(&member(1), 1, 2)));
}

#[test]
fn old_dots_are_not_taken_from_a_node_that_the_view_before_did_not_list() {
    // Node 1 was removed in view 2, in which node 0 went on alone, and comes back with its data.
    let one = first(2, 3);
    let two = minus(&one, 1);
    let three = plus(&two, 1);
    let mut back = Node::new(&member(1), &[&one]);
    let lost = back.put(&key("k"), 1);
    back.learn(&[&two, &three]);
    back.seal(3);
    let mut taker = Node::new(&member(0), &[&one, &two]);
    taker.learn(&[&three]);
    assert_eq!(taker.take_over(&back, 3), Err(NoExchange::NotListed));
    assert!(taker.state.incoming.is_none() && !taker.holds(&lost));
    // Once it is active again it does not give them either: it gained its slots anew.
    back.activate(3);
    assert!(back.state.regions.iter().all(|region| region.lacks == Epoch(3)));
}

#[test]
fn a_hand_over_for_a_view_that_is_active_already_is_not_taken() {
    let (one, two) = (first(2, 2), same(&first(2, 2)));
    let mut giver = Node::new(&member(0), &[&one]);
    let mut taker = Node::new(&member(1), &[&one]);
    giver.learn(&[&two]);
    taker.learn(&[&two]);
    giver.seal(2);
    let ask = taker.state.ask_hand_over(Epoch(2), &[]);
    let ask = ask.expect("is listed");
    let (given, _) = giver.give(&ask).expect("is given");
    taker.activate(2);
    assert_eq!(taker.state.take_hand_over(&ask, &given), Err(NoExchange::Stale));
    assert_eq!(taker.state.ask_hand_over(Epoch(2), &[]), None);
}

#[test]
fn a_sealed_member_takes_nothing_so_that_what_it_handed_over_is_final() {
    // O seals and hands over; then A, which is not sealed yet, offers it another write.
    let view = first(2, 2);
    let next = with(&view, &[]);
    let (mut a, mut o) = pair();
    o.learn(&[&next]);
    o.seal(2);
    let late = a.put(&key("k"), 1);
    assert!(!o.push(&late));
    assert_eq!(o.exchange(&a), Err(NoExchange::Stale));
    assert!(!o.state.vector.includes(late.dot()) && !o.holds(&late));
}

#[test]
fn an_offer_in_part_changes_that_part_only() {
    let (mut a, b) = pair();
    let ask = b.state.ask_steady();
    let (mut given, _) = a.give(&ask).expect("is given");
    let half: SlotSet = SlotSet::all().iter().take(100).collect();
    given.offered[0].slots = half.clone();
    given.offered[0].coverage = vector([dot(&member(1), 1, 4)]);
    a.state = b.state.clone();
    a.state.take_steady(&ask, &given).expect("is taken");
    let regions: Vec<_> = a
        .state
        .regions
        .iter()
        .map(|region| (region.slots.len(), region.coverage.len(), region.heard.len()))
        .collect();
    assert_eq!(regions, [(100, 1, 1), (SlotSet::all().len() - 100, 0, 0)]);
}

#[test]
fn coverage_of_closed_epochs_is_not_taken_in_again() {
    let (a, mut b) = pair();
    let ask = b.state.ask_steady();
    let (mut given, _) = a.give(&ask).expect("is given");
    b.state.closed.below = Epoch(1);
    given.offered[0].coverage = vector([dot(&member(0), 0, 4), dot(&member(0), 1, 4)]);
    b.state.take_steady(&ask, &given).expect("is taken");
    assert_eq!(b.state.regions[0].coverage, vector([dot(&member(0), 1, 4)]));
}

#[test]
fn what_was_copied_is_not_asked_for_again() {
    let one = first(2, 2);
    let (two, three) = (same(&one), with(&same(&one), &[reborn(1, 9)]));
    let mut taker = ReplicaState::new(reborn(1, 9));
    for view in [&one, &two, &three] {
        taker.learn(view);
    }
    let held = vector([dot(&member(0), 1, 5), dot(&member(0), 2, 5)]);
    let half: SlotSet = (0..100).map(Slot).collect();
    let copied = Copied {
        slots: half.clone(),
        holds: held.clone(),
        closed_below: Epoch(2),
    };
    let ask = taker.ask_hand_over(Epoch(3), &[copied]).expect("is listed");
    let wanted = |wanted: &Wanted| (wanted.slots.clone(), wanted.holds.clone(), wanted.closed_below);
    let rest = SlotSet::all().difference(&half);
    assert_eq!(
        ask.wanted.iter().map(wanted).collect::<Vec<_>>(),
        [
            (half, held, Epoch(2)),
            (rest, VersionVector::default(), Epoch::NONE)
        ]
    );
    assert!(ask.wanted.iter().all(|wanted| wanted.lacks == Epoch(3)));
}

#[test]
fn a_hand_over_behind_a_copy_searches_all_records_only_when_what_it_lacks_may_be_forgotten() {
    let one = first(1, 1);
    let two = plus(&one, 1);
    let mut giver = Node::new(&member(0), &[&one]);
    giver.learn(&[&two]);
    let gained = two.slots_of_node(&node(1));
    let first_key = key_in(&gained);
    let others = gained.difference(&[first_key.slot()].into_iter().collect());
    giver.put(&first_key, 1);
    let copied = giver.state.offer_copy(&member(1), Epoch(2));
    let behind = giver.put(&key_in(&others), 2);
    giver.seal(2);
    let mut taker = ReplicaState::new(member(1));
    for view in [&one, &two] {
        taker.learn(view);
    }
    let ask = taker.ask_hand_over(Epoch(2), &copied).expect("is listed");

    let given = |unstable: &Unstable| {
        let watched = Watched {
            records: &giver.records,
            is_searched: Cell::new(false),
        };
        let (_, records) = giver.state.give(&ask, unstable, &watched).expect("is sealed");
        (records, watched.is_searched.get())
    };
    let mut unstable = giver.unstable();
    assert_eq!(given(&unstable), (vec![behind.clone()], false));
    // It became stable and was dropped: only a search finds it.
    unstable.settle(&vector([behind.dot()]), Epoch::NONE);
    assert_eq!(given(&unstable), (vec![behind], true));
}
