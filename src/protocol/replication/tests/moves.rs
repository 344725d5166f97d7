//! Slots that move between members over several views: what is kept, offered, asked for and waited for.

use proptest::prelude::*;

use super::*;

/// K = 1: half of the slots of node 0 go to node 1, which is removed again.
fn there_and_back() -> [Arc<View>; 3] {
    let one = first(1, 1);
    let two = plus(&one, 1);
    let three = minus(&two, 1);
    [one, two, three]
}

fn moved(views: &[Arc<View>; 3]) -> SlotSet {
    views[1].slots_of_node(&node(1))
}

#[test]
fn what_moves_away_is_kept_with_all_that_was_held_of_it() {
    let views = there_and_back();
    let mut zero = Node::new(&member(0), &[&views[0]]);
    zero.put(&key_in(&moved(&views)), 1);
    zero.learn(&[&views[1]]);
    zero.activate(2);
    let [kept] = &zero.state.kept[..] else {
        panic!("one history: {:?}", zero.state.kept);
    };
    assert_eq!((kept.last_owned, kept.lacks), (Epoch(1), Epoch::NONE));
    assert_eq!(kept.slots, moved(&views));
    assert_eq!(kept.coverage, vector([dot(&member(0), 1, END)]));
    // Later writes are of other slots.
    zero.put(&key_in(&views[1].slots_of_node(&node(0))), 2);
    assert_eq!(zero.state.kept[0].coverage.len(), 1);
}

#[test]
fn a_member_several_views_behind_keeps_what_it_lost_in_each() {
    // K = 1: nodes 1 and 2 join, each takes a share of node 0.
    let one = first(1, 1);
    let two = plus(&one, 1);
    let three = plus(&two, 2);
    let mut zero = state(&member(0), &[&one]);
    zero.learn(&two);
    zero.learn(&three);
    zero.activate(Epoch(3));
    let slots_at = |view: &View| view.slots_of_node(&node(0));
    let last_owned: Vec<_> = zero
        .kept
        .iter()
        .map(|kept| (kept.last_owned.0, kept.slots.clone()))
        .collect();
    let lost = [
        (1, slots_at(&one).difference(&slots_at(&two))),
        (2, slots_at(&two).difference(&slots_at(&three))),
    ];
    assert_eq!(last_owned, lost);
}

#[test]
fn what_is_kept_is_where_the_way_back_begins() {
    let views = there_and_back();
    let mut zero = Node::new(&member(0), &[&views[0]]);
    let (mut one, key) = (Node::new(&member(1), &[]), key_in(&moved(&views)));
    let old = zero.put(&key, 1);
    zero.learn(&[&views[1]]);
    one.learn(&[&views[0], &views[1]]);
    zero.seal(2);
    one.take_over(&zero, 2).expect("is handed over");
    zero.activate(2);
    one.activate(2);
    let other = one.put(
        &key_in(&moved(&views).difference(&[key.slot()].into_iter().collect())),
        2,
    );
    for replica in [&mut zero, &mut one] {
        replica.learn(&[&views[2]]);
        replica.seal(3);
    }
    let ask = zero.state.ask_hand_over(Epoch(3), &[]).expect("is listed");
    let wanted = ask.wanted.iter().find(|wanted| wanted.slots == moved(&views));
    assert!(wanted.is_some_and(|wanted| wanted.holds.includes(old.dot())));
    let (_, records) = one.give(&ask).expect("is given");
    assert_eq!(records, [other]);
    zero.take_over(&one, 3).expect("is handed over");
    zero.activate(3);
    assert!(zero.state.is_ready() && zero.state.kept.is_empty() && zero.state.gone.is_empty());
}

#[test]
fn what_was_handed_over_for_one_view_is_given_up_for_another_with_its_claim() {
    let views = there_and_back();
    let mut zero = Node::new(&member(0), &[&views[0]]);
    zero.learn(&[&views[1]]);
    zero.seal(2);
    let mut one = Node::new(&member(1), &[]);
    one.learn(&[&views[0], &views[1]]);
    one.take_over(&zero, 2).expect("is handed over");
    assert_eq!(one.state.give_up_incoming(Epoch(2)), SlotSet::default());
    assert_eq!(one.state.give_up_incoming(Epoch(3)), moved(&views));
    assert_eq!(one.state.handed_over(Epoch(2)), SlotSet::default());
    one.activate(2);
    assert!(one.state.ready_slots().intersection(&moved(&views)).is_empty());
}

#[test]
fn what_comes_back_without_a_hand_over_lacks_what_happened_elsewhere() {
    let views = there_and_back();
    let mut zero = Node::new(&member(0), &[&views[0], &views[1]]);
    let mut noted = next::remove(&views[1], &node(1)).expect("is listed");
    noted.note_removals(&[&views[1]], 1000, false);
    zero.learn(&[&Arc::new(noted)]);
    zero.activate(3);
    let slot = slot_in(&moved(&views));
    assert_eq!(read(&zero.state, slot, &[]), Err(NotHere::NotReady));
    assert!(zero.state.kept.is_empty(), "it owns them again");
    assert!(zero.state.gone.is_empty());
    // The other slots never moved.
    let stayed = slot_in(&views[1].slots_of_node(&node(0)));
    assert!(read(&zero.state, stayed, &[]).is_ok());
}

#[test]
fn slots_of_a_removed_owner_are_ready_when_it_has_returned_them_and_not_before() {
    let views = there_and_back();
    let mut zero = state(&member(0), &[&views[0], &views[1]]);
    let mut noted = next::remove(&views[1], &node(1)).expect("is listed");
    noted.note_removals(&[&views[1]], 1000, false);
    zero.learn(&Arc::new(noted));
    zero.activate(Epoch(3));
    let half: SlotSet = moved(&views).iter().take(100).collect();
    zero.note_returned(member(1).id(), &BTreeSet::new(), &half);
    let rest = moved(&views).difference(&half);
    assert!(read(&zero, slot_in(&half), &[]).is_ok());
    assert_eq!(read(&zero, slot_in(&rest), &[]), Err(NotHere::NotReady));
    zero.note_returned(member(1).id(), &BTreeSet::new(), &rest);
    assert!(zero.is_ready() && zero.gone.is_empty());
}

#[test]
fn a_removed_owner_that_was_given_up_is_not_waited_for() {
    let views = there_and_back();
    let mut zero = state(&member(0), &[&views[0], &views[1]]);
    let mut noted = next::remove(&views[1], &node(1)).expect("is listed");
    noted.note_removals(&[&views[1]], 1000, false);
    let mut given_up = next::admit(&noted, &[]);
    assert!(given_up.give_up(&node(1), false));
    for (view, ready) in [(noted, false), (given_up, true)] {
        let epoch = view.epoch;
        zero.learn(&Arc::new(view));
        zero.activate(epoch);
        assert_eq!(zero.is_ready(), ready, "in epoch {epoch}");
    }
    // The operator must be told: no owner knows what there was.
    assert_eq!(zero.gone, moved(&views));
    // If it comes back all the same, it does not count as gone any more.
    let half: SlotSet = moved(&views).iter().take(100).collect();
    for news in [true, false] {
        assert_eq!(zero.note_returned(member(1).id(), &BTreeSet::new(), &half), news);
        assert_eq!(zero.gone, moved(&views).difference(&half));
    }
}

#[test]
fn a_member_that_is_removed_keeps_everything_and_owns_nothing() {
    let one = first(2, 3);
    let two = minus(&one, 0);
    let mut left = Node::new(&member(0), &[&one]);
    let written = left.put(&key_in(&SlotSet::all()), 1);
    left.learn(&[&two]);
    left.activate(2);
    assert!(left.state.is_leaving() && left.state.owned_slots().is_empty());
    assert_eq!(left.state.kept_slots(), SlotSet::all());
    assert!(left.state.kept[0].coverage.includes(written.dot()));
    assert_eq!(read(&left.state, Slot(0), &[]), Err(NotHere::NotOwner));
    // It gives nothing under its old dots any more.
    let ask = Node::new(&member(1), &[&one, &two]).state.ask_steady();
    assert_eq!(left.give(&ask).err(), Some(NoExchange::NotListed));
}

#[test]
fn kept_slots_are_offered_with_the_epoch_in_which_they_were_owned_last() {
    let views = there_and_back();
    let mut zero = Node::new(&member(0), &[&views[0], &views[1]]);
    let last = same(&views[1]);
    zero.learn(&[&last]);
    zero.activate(3);
    let mut one = Node::new(&member(1), &[&views[0], &views[1]]);
    one.learn(&[&last]);
    one.activate(3);
    let (given, _) = zero.give(&one.state.ask_steady()).expect("is given");
    let offered: Vec<_> = given
        .offered
        .iter()
        .map(|one| (one.last_owned.0, one.lacks.0))
        .collect();
    assert_eq!(offered, [(1, 0)]);
    // Recent enough: nobody but node 1 itself has owned them since.
    one.state
        .take_steady(&one.state.ask_steady(), &given)
        .expect("is taken");
    assert!(one.state.is_ready());
}

#[test]
fn sources_of_kept_slots_are_offered_and_survive_their_return() {
    let views = there_and_back();
    let returned = member(7).id();
    let mut zero = Node::new(&member(0), &[&views[0], &views[1]]);
    let mut one = Node::new(&member(1), &[&views[0], &views[1]]);
    Arc::make_mut(&mut zero.state.kept)[0].sources.insert(returned);
    one.exchange(&zero).expect("is exchanged");
    let slot = slot_in(&moved(&views));
    zero.learn(&[&views[2]]);
    zero.activate(3);
    for replica in [&one, &zero] {
        let region = replica.state.region_of(slot).expect("owns it");
        assert!(region.sources.contains(&returned), "{:?}", replica.state.me);
    }
}

#[test]
fn an_owner_with_none_of_the_slots_offers_nothing_and_is_not_waited_for() {
    let views = there_and_back();
    let mut zero = Node::new(&member(0), &[&views[0], &views[1]]);
    let mut one = Node::new(&member(1), &[]);
    one.learn(&[&views[0], &views[1]]);
    one.activate(2);
    let kept = zero.state.kept_slots();
    assert_eq!(zero.state.drop_kept(Epoch(2), &kept), kept);
    let ask = one.state.ask_steady();
    let (given, _) = zero.give(&ask).expect("is given");
    assert_eq!(given.offered.len(), 1);
    assert_eq!(
        (given.offered[0].last_owned, given.offered[0].lacks),
        (Epoch::NONE, Epoch(2))
    );
    assert!(given.offered[0].coverage.is_empty());
    one.state.take_steady(&ask, &given).expect("is taken");
    // Every owner has said what it has.
    assert!(one.state.is_ready());
    // In a hand-over, slots that are not here are not offered.
    zero.learn(&[&same(&views[1])]);
    zero.seal(3);
    one.learn(&[&same(&views[1])]);
    let ask = one.state.ask_hand_over(Epoch(3), &[]).expect("is listed");
    assert!(zero.give(&ask).expect("is given").0.offered.is_empty());
}

#[test]
fn a_question_can_be_restricted_to_some_slots() {
    let view = first(2, 2);
    let mut ask = state(&member(0), &[&view]).ask_steady();
    let some = SlotSet::from_ranges(std::iter::once(5..9)).expect("is a range");
    ask.restrict(&some);
    assert_eq!(
        ask.wanted.iter().map(|wanted| &wanted.slots).collect::<Vec<_>>(),
        [&some]
    );
    ask.restrict(&SlotSet::from_ranges(std::iter::once(9..12)).expect("is a range"));
    assert!(ask.wanted.is_empty());
}

#[test]
fn a_copy_is_offered_by_shared_history_of_what_the_taker_gains() {
    let views = there_and_back();
    let mut zero = ReplicaState::new(member(0));
    zero.learn(&views[0]);
    zero.activate(Epoch(1));
    assert!(
        zero.offer_copy(&member(1), Epoch(2)).is_empty(),
        "it does not know the view"
    );
    zero.learn(&views[1]);
    let moved = moved(&views);
    let half: SlotSet = moved.iter().take(100).collect();
    let regions = Arc::make_mut(&mut zero.regions);
    let mut lacking = regions[0].clone();
    (lacking.slots, lacking.lacks) = (half.clone(), Epoch(1));
    regions[0].slots = regions[0].slots.difference(&half);
    regions.push(lacking);
    zero.closed.below = Epoch(1);
    let offered = zero.offer_copy(&member(1), Epoch(2));
    let offered: Vec<_> = offered
        .into_iter()
        .map(|one| (one.slots, one.closed_below))
        .collect();
    // An owner that lacks something does not have every record of closed epochs either.
    assert_eq!(
        offered,
        [(moved.difference(&half), Epoch(1)), (half, Epoch::NONE)]
    );
    assert!(zero.offer_copy(&reborn(1, 9), Epoch(2)).is_empty(), "not listed");
    zero.activate(Epoch(2));
    assert!(zero.offer_copy(&member(1), Epoch(2)).is_empty(), "active already");
}

/// Adds a node that is not listed, or removes one that is; the same members again if neither is possible.
fn changed(view: &Arc<View>, number: u64) -> Arc<View> {
    let changed = if view.lists(&node(number)) {
        next::remove(view, &node(number))
    } else {
        next::add(view, &member(number))
    };
    changed.map_or_else(|_| same(view), Arc::new)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_was_owned_is_owned_or_kept_and_never_both(
        replicas in 1u32..4,
        changes in proptest::collection::vec((0u64..6, any::<bool>()), 1..8),
    ) {
        let mut views = vec![first(replicas, 4)];
        let mut zero = state(&member(0), &[&views[0]]);
        let mut ever = zero.owned_slots();
        for (number, is_activated) in changes {
            let last = views.last().expect("begins with one");
            let view = changed(last, number);
            if zero.is_leaving() {
                break;
            }
            zero.learn(&view);
            if is_activated {
                zero.activate(view.epoch);
                ever = ever.union(&zero.owned_slots());
            }
            views.push(view);
            let (owned, kept) = (zero.owned_slots(), zero.kept_slots());
            prop_assert!(owned.intersection(&kept).is_empty());
            prop_assert!(ever.difference(&owned).difference(&kept).is_empty());
            let apart: usize = zero.kept.iter().map(|kept| kept.slots.len()).sum();
            prop_assert_eq!(apart, kept.len());
            let apart: usize = zero.regions.iter().map(|region| region.slots.len()).sum();
            prop_assert_eq!(apart, owned.len());
        }
    }
}
