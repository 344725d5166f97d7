//! When a slot becomes ready (I6), by one owner that was there until the end or by all that could have
//! brought something; and which slots then count as gone.

use super::*;

/// Four nodes, and a third partition of nodes 4 and 5 in view 3, with slots of both others.
fn growing() -> [Arc<View>; 3] {
    let four = first(2, 4);
    let five = plus(&four, 4);
    let six = plus(&five, 5);
    [four, five, six]
}

fn lacks(replica: &Node) -> BTreeSet<u64> {
    let regions = replica.state.regions.iter();
    regions.map(|region| region.lacks.0).collect()
}

/// Member `number` of the four, at view 2 and sealed for the third.
fn old_owner(number: u64, views: &[Arc<View>; 3]) -> Node {
    let mut owner = Node::new(&member(number), &[&views[0], &views[1]]);
    owner.learn(&[&views[2]]);
    owner.seal(3);
    owner
}

fn newcomer(number: u64, views: &[Arc<View>; 3]) -> Node {
    let mut newcomer = Node::new(&member(number), &[]);
    newcomer.learn(&[&views[0], &views[1], &views[2]]);
    newcomer
}

#[test]
fn owners_in_the_first_view_lack_nothing_and_later_ones_what_was_before() {
    let views = growing();
    let first = Node::new(&member(0), &[&views[0]]);
    assert_eq!(lacks(&first), BTreeSet::from([0]));
    let mut new = newcomer(5, &views);
    new.activate(3);
    assert_eq!(lacks(&new), BTreeSet::from([3]));
    assert!(!new.state.is_ready() && new.state.gone.is_empty());
    let kept = Node::new(&member(0), &[&views[0], &views[1], &views[2]]);
    assert!(kept.state.is_ready());
}

#[test]
fn one_ready_owner_that_was_there_until_the_end_makes_its_slots_ready_and_no_others() {
    let views = growing();
    let (mut zero, mut new) = (old_owner(0, &views), newcomer(4, &views));
    let slots = views[2].slots_of_node(&node(4));
    let key = key_in(&slots.intersection(&views[0].slots_of_node(&node(0))));
    zero.state.sealed = Epoch::NONE;
    let written = zero.put(&key, 1);
    zero.stable.raise(written.dot());
    zero.seal(3);
    new.take_over(&zero, 3).expect("is handed over");
    // Before the activation, the state shows nothing of it.
    assert!(new.state.regions.is_empty());
    new.activate(3);
    assert!(new.holds(&written) && read(&new.state, key.slot(), &[written.dot()]).is_ok());
    let of_two = slot_in(&slots.intersection(&views[0].slots_of_node(&node(2))));
    assert_eq!(read(&new.state, of_two, &[]), Err(NotHere::NotReady));
}

#[test]
fn a_copy_alone_makes_nothing_ready_and_covers_nothing() {
    let views = growing();
    let mut zero = Node::new(&member(0), &[&views[0], &views[1]]);
    let moving = views[2]
        .slots_of_node(&node(4))
        .intersection(&zero.state.owned_slots());
    zero.put(&key_in(&moving), 1);
    // The records came in a copy; its giver was passed over before a hand-over.
    let mut new = newcomer(4, &views);
    zero.learn(&[&views[2]]);
    let copied = zero.state.offer_copy(&new.state.me, Epoch(3));
    assert!(!copied.is_empty() && new.state.ask_hand_over(Epoch(3), &copied).is_some());
    new.activate(3);
    assert_eq!(lacks(&new), BTreeSet::from([3]));
    for region in new.state.regions.iter() {
        let of_others = region
            .coverage
            .iter()
            .filter(|dot| dot.log.member != member(4).id());
        assert_eq!((of_others.count(), region.sources.len()), (0, 0));
    }
}

#[test]
fn an_owner_that_lost_the_slot_earlier_does_not_make_it_ready() {
    // Node 0 handed over late, and had owned the slots only until epoch 1: it never saw what became
    // stable in epoch 2.
    let [one, two] = [first(2, 2), same(&first(2, 2))];
    let three = with(&two, &[reborn(1, 9)]);
    let lowered = |last_owned: u64, giver_lacks: u64| {
        let mut taker = ReplicaState::new(reborn(1, 9));
        for view in [&one, &two, &three] {
            taker.learn(view);
        }
        let ask = taker.ask_hand_over(Epoch(3), &[]);
        let ask = ask.expect("is listed");
        let given = crate::protocol::replication::ExchangeResponse {
            giver: member(0),
            active: Epoch(last_owned),
            vector: VersionVector::default(),
            offered: vec![crate::protocol::replication::Offered {
                slots: SlotSet::all(),
                lacks: Epoch(giver_lacks),
                last_owned: Epoch(last_owned),
                coverage: VersionVector::default(),
                sources: BTreeSet::new(),
            }],
            too_late: BTreeSet::new(),
            claimed: VersionVector::default(),
        };
        taker.take_hand_over(&ask, &given).expect("is taken");
        taker.incoming.expect("something is").regions[0].lacks.0
    };
    assert_eq!(lowered(2, 0), 0);
    assert_eq!(lowered(2, 2), 2);
    assert_eq!(lowered(1, 0), 3);
    assert_eq!(lowered(2, 4), 3);
}

#[test]
fn a_slot_is_ready_when_all_its_owners_have_handed_over_though_none_was_ready() {
    // Both new owners lack, and all four old ones lost their disks: the new ones can take from each
    // other only.
    let views = growing();
    let lost = with(&views[2], &[0, 1, 2, 3].map(|number| reborn(number, 9)));
    let alone = [4, 5].map(|number| {
        let mut new = newcomer(number, &views);
        new.activate(3);
        new.learn(&[&lost]);
        new.activate(4);
        new
    });
    let [mut four, mut five] = alone;
    assert!(!four.state.is_ready() && four.state.gone.is_empty());
    four.exchange(&five).expect("is exchanged");
    assert!(four.state.is_ready());
    assert_eq!(four.state.gone, views[2].slots_of_node(&node(4)));
    // The other one becomes ready by the first, which is ready.
    five.exchange(&four).expect("is exchanged");
    assert!(five.state.is_ready());
}

#[test]
fn what_a_sibling_handed_over_before_it_got_more_does_not_count_in_the_next_view() {
    // Node 4 took from node 5, which had nothing yet. Then an old owner handed over to node 5 alone, and
    // in view 4 the old owners are gone. Node 5 holds what node 4 has never seen.
    let views = growing();
    let [mut four, mut five] = [4, 5].map(|number| {
        let mut new = newcomer(number, &views);
        new.activate(3);
        new
    });
    four.exchange(&five).expect("is exchanged");
    let key = key_in(&views[2].slots_of_node(&node(4)));
    let late = record(&key, dot(&member(0), 1, 1), 1);
    five.hold([&late]);
    for region in Arc::make_mut(&mut five.state.regions) {
        region.lacks = Epoch::NONE;
    }
    let lost = with(&views[2], &[0, 1, 2, 3].map(|number| reborn(number, 9)));
    for replica in [&mut four, &mut five] {
        replica.learn(&[&lost]);
        replica.activate(4);
    }
    assert_eq!(read(&four.state, key.slot(), &[]), Err(NotHere::NotReady));
    assert!(four.state.gone.is_empty());
    four.exchange(&five).expect("is exchanged");
    assert!(four.state.is_ready() && four.holds(&late) && four.state.gone.is_empty());
}

#[test]
fn the_only_holder_that_lost_its_disk_leaves_slots_that_are_ready_and_gone() {
    let one = first(1, 2);
    let two = with(&one, &[reborn(0, 9)]);
    let mut back = Node::new(&reborn(0, 9), &[]);
    back.learn(&[&one, &two]);
    back.activate(2);
    assert!(back.state.is_ready());
    assert_eq!(back.state.gone, two.slots_of_node(&node(0)));
}

#[test]
fn a_sibling_that_has_everything_leaves_nothing_gone() {
    let one = first(2, 2);
    let two = with(&one, &[reborn(1, 9)]);
    let mut holder = Node::new(&member(0), &[&one, &two]);
    let mut back = Node::new(&reborn(1, 9), &[]);
    let key = Key::new("k").expect("is a key");
    let written = holder.put(&key, 1);
    holder.stable.raise(written.dot());
    back.learn(&[&one, &two]);
    back.activate(2);
    assert!(!back.state.is_ready());
    back.exchange(&holder).expect("is exchanged");
    assert!(back.state.is_ready() && back.state.gone.is_empty() && back.holds(&written));
}

#[test]
fn an_owner_that_handed_over_before_it_was_removed_leaves_nothing_gone() {
    // K = 1: slots of node 0 moved to node 2 in view 2, and back in view 3.
    let one = first(1, 2);
    let two = plus(&one, 2);
    let three = minus(&two, 2);
    let gone = |hands_over: bool| {
        let mut between = Node::new(&member(2), &[&one, &two]);
        let mut taker = Node::new(&member(0), &[&one, &two]);
        for replica in [&mut between, &mut taker] {
            replica.learn(&[&three]);
            replica.seal(3);
        }
        if hands_over {
            taker.take_over(&between, 3).expect("is handed over");
        }
        taker.activate(3);
        assert!(taker.state.is_ready());
        taker.state.gone
    };
    let moved = one
        .slots_of_node(&node(0))
        .intersection(&two.slots_of_node(&node(2)));
    assert_eq!((gone(true), gone(false)), (SlotSet::default(), moved));
}

#[test]
fn what_old_owners_handed_over_counts_after_the_activation() {
    // No owner is ready: nodes 0 and 1 lack as well, and node 5 has nothing.
    let views = growing();
    let (mut four, mut five) = (newcomer(4, &views), newcomer(5, &views));
    for number in [0, 1] {
        let mut old = old_owner(number, &views);
        Arc::make_mut(&mut old.state.regions)[0].lacks = Epoch(2);
        four.take_over(&old, 3).expect("is handed over");
    }
    let slots = views[2].slots_of_node(&node(4));
    let slot = slot_in(&slots.intersection(&views[0].slots_of_node(&node(0))));
    four.activate(3);
    five.activate(3);
    assert_eq!(four.state.region_of(slot).map(|region| region.lacks.0), Some(2));
    four.exchange(&five).expect("is exchanged");
    assert_eq!(four.state.region_of(slot).map(|region| region.lacks.0), Some(0));
}
