//! Members that are removed while they are cut off: which readers wait for a write that only such a
//! member has, and what ends the wait.

use super::*;
use crate::protocol::replication::trimmed;

/// The view after `open` without this node, with the removal noted.
fn without(open: &[&Arc<View>], number: u64) -> Arc<View> {
    let before = open.last().expect("there is a view before");
    let mut view = next::remove(before, &node(number)).expect("is listed");
    let open: Vec<&View> = open.iter().map(|view| view.as_ref()).collect();
    view.note_removals(&open, 1000, false);
    Arc::new(view)
}

/// The owners of all slots, nodes 2 and 3, after node 0 of {0, 1} and {2, 3} was removed while it was cut
/// off. Node 1 has handed over everything, including the `held` first writes of node 0. All have exchanged.
fn owners_after_the_removal(held: u64) -> [Node; 2] {
    let one = first(2, 4);
    let two = without(&[&one], 0);
    let mut replicas = [1, 2, 3].map(|number| Node::new(&member(number), &[&one]));
    for number in 1..=held {
        replicas[0].state.vector.raise(dot(&member(0), 1, number));
    }
    for replica in &mut replicas {
        replica.learn(&[&two]);
        replica.seal(2);
    }
    let [mut giver, mut owner, mut sibling] = replicas;
    for taker in [&mut owner, &mut sibling] {
        let other = giver.clone();
        taker.take_over(&other, 2).expect("is handed over");
    }
    for replica in [&mut giver, &mut owner, &mut sibling] {
        replica.activate(2);
    }
    exchange_all(&mut owner, [&giver, &sibling]);
    exchange_all(&mut sibling, [&giver, &owner]);
    [owner, sibling]
}

fn exchange_all<'a>(taker: &mut Node, givers: impl IntoIterator<Item = &'a Node>) {
    for giver in givers {
        taker.exchange(giver).expect("are in one epoch");
    }
}

fn close_first_epoch(replica: &mut Node) {
    let closed = closing(Epoch(2), Epoch(2));
    assert!(replica.state.close(closed));
}

/// A slot that the removed node 0 owned, and one that it did not.
fn slots() -> (Slot, Slot) {
    let one = first(2, 4);
    let slot = |number| slot_in(&one.slots_of_node(&node(number)));
    (slot(0), slot(2))
}

#[test]
fn a_reader_waits_for_a_write_that_only_a_removed_member_has_also_when_its_epoch_is_closed() {
    let [mut owner, _] = owners_after_the_removal(1);
    let (its, other) = slots();
    let (held, unheld) = (dot(&member(0), 1, 1), dot(&member(0), 1, 2));
    for is_closed in [false, true] {
        if is_closed {
            close_first_epoch(&mut owner);
        }
        assert_eq!(read(&owner.state, its, &[unheld]), missing(&[unheld]));
        assert!(read(&owner.state, its, &[held]).is_ok(), "the others have it");
        assert!(read(&owner.state, its, &[]).is_ok(), "nobody else waits");
        assert!(
            read(&owner.state, other, &[unheld]).is_ok(),
            "it owned none of this"
        );
    }
}

#[test]
fn an_entry_of_a_closed_epoch_stays_in_payloads_while_a_removed_member_may_return_it() {
    let [mut owner, _] = owners_after_the_removal(0);
    close_first_epoch(&mut owner);
    let (its, of_others) = (dot(&member(0), 1, 1), dot(&member(1), 1, 1));
    let payload = Payload {
        entries: vector([its, of_others]),
        ..Payload::default()
    };
    let trimmed = trimmed(&owner.state, &VersionVector::default(), &payload);
    assert_eq!(trimmed.entries, vector([its]));
    assert!(!owner.state.does_not_await().contains(&member(0).id()));
    let mut settled = owner.state.clone();
    assert!(settled.settle_removals(&BTreeSet::from([member(0).id()])));
    let short = super::super::trimmed(&settled, &VersionVector::default(), &payload);
    assert!(short.entries.is_empty(), "no owner waits for it any more");
    let known_stable = super::super::trimmed(&owner.state, &vector([its]), &payload);
    assert!(known_stable.entries.is_empty(), "everybody has it");
}

/// Node 0 of {0, 1} is removed while it is cut off. Proxy 2 takes its place and is removed as well. It
/// may hold more of node 0's log than others, and took part in the closing of the epoch.
#[test]
fn the_removal_of_another_owner_does_not_end_the_wait_for_an_earlier_removed_one() {
    let one = first(2, 3);
    let two = without(&[&one], 0);
    let mut stays = Node::new(&member(1), &[&one]);
    let mut takes_its_place = Node::new(&member(2), &[&one]);
    for replica in [&mut stays, &mut takes_its_place] {
        replica.learn(&[&two]);
        replica.seal(2);
    }
    takes_its_place.take_over(&stays, 2).expect("is handed over");
    for replica in [&mut stays, &mut takes_its_place] {
        replica.activate(2);
    }
    exchange_all(&mut stays, [&takes_its_place]);
    close_first_epoch(&mut stays);
    // The proposer does not know of the closing.
    let three = without(&[&one, &two], 2);
    stays.learn(&[&three]);
    stays.seal(3);
    stays.activate(3);
    let unheld = dot(&member(0), 1, 2);
    let its = slot_in(&SlotSet::all());
    assert_eq!(read(&stays.state, its, &[unheld]), missing(&[unheld]));
}

#[test]
fn one_slot_of_a_log_is_complete_and_another_is_waited_for() {
    // Slots of {0, 1} move to {4, 5} and are handed over as complete. Then node 1 is removed while it is
    // cut off, and nodes 4 and 5 gain some of the slots that had stayed with it.
    let one = first(2, 4);
    let five = plus(&one, 4);
    let six = plus(&five, 5);
    let seven = without(&[&one, &five, &six], 1);
    let moved = six
        .slots_of_node(&node(4))
        .intersection(&one.slots_of_node(&node(1)));
    let gained = seven
        .slots_of_node(&node(4))
        .difference(&six.slots_of_node(&node(4)));
    let gained = gained.intersection(&one.slots_of_node(&node(1)));
    let mut givers = [0, 1].map(|number| Node::new(&member(number), &[&one]));
    let mut taker = Node::new(&member(4), &[]);
    for replica in givers.iter_mut().chain([&mut taker]) {
        replica.learn(&[&one, &five, &six]);
        replica.seal(3);
    }
    for giver in &givers {
        taker.take_over(giver, 3).expect("is handed over");
    }
    let [stays, _] = &mut givers;
    for replica in [&mut *stays, &mut taker] {
        replica.activate(3);
        replica.learn(&[&seven]);
        replica.seal(4);
    }
    taker.take_over(stays, 4).expect("is handed over");
    for replica in [&mut *stays, &mut taker] {
        replica.activate(4);
    }
    taker.exchange(stays).expect("are in one epoch");
    let entry = dot(&member(1), 1, 1);
    assert!(read(&taker.state, slot_in(&moved), &[entry]).is_ok());
    assert_eq!(read(&taker.state, slot_in(&gained), &[entry]), missing(&[entry]));
}

#[test]
fn a_hand_over_counts_for_a_slot_when_the_last_log_that_it_was_owned_in_is_complete() {
    // Node 0 owned all of its slots in epoch 1, and the second half of them in epoch 2 as well.
    let (one, gone) = (first(2, 4), member(0));
    let slots = one.slots_of_node(&gone.node);
    let later: SlotSet = slots.iter().skip(slots.len() / 2).collect();
    let mut two = View::clone(&without(&[&one], 0));
    let removal = two.removed.get_mut(&gone.id()).expect("was removed");
    removal.logs = BTreeMap::from([(log(&gone, 1), slots.clone()), (log(&gone, 2), later.clone())]);
    let owner = state(&member(2), &[&one, &Arc::new(two)]);
    let is_awaited = |slots: &SlotSet, complete: &[u64]| {
        let complete = complete.iter().map(|epoch| dot(&gone, *epoch, END));
        let mut region = crate::protocol::replication::Region::gained(slots.clone(), Epoch::NONE);
        region.coverage = vector(complete);
        owner.is_awaited(&region, gone.id())
    };
    assert!(!is_awaited(&later, &[2]) && is_awaited(&later, &[1]));
    assert!(is_awaited(&slots, &[2]) && !is_awaited(&slots, &[1, 2]));
}

#[test]
fn what_a_member_gave_before_it_took_more_does_not_end_the_wait_when_it_is_removed() {
    let one = first(2, 3);
    let [mut owner, gone, mut new] = [0, 1, 2].map(|number| Node::new(&member(number), &[&one]));
    owner.exchange(&gone).expect("are in one epoch");
    let two = without(&[&one], 1);
    for replica in [&mut owner, &mut new] {
        replica.learn(&[&two]);
        replica.seal(2);
    }
    new.take_over(&owner, 2).expect("is handed over");
    for replica in [&mut owner, &mut new] {
        replica.activate(2);
    }
    owner.exchange(&new).expect("are in one epoch");
    let later = dot(&member(1), 1, 1);
    assert_eq!(read(&owner.state, Slot(0), &[later]), missing(&[later]));
}

#[test]
fn the_wait_ends_at_each_owner_when_it_has_what_was_returned() {
    let [mut owner, mut sibling] = owners_after_the_removal(0);
    let (its, _) = slots();
    let entry = dot(&member(0), 1, 1);
    let slots = first(2, 4).slots_of_node(&node(0));
    owner
        .state
        .note_returned(member(0).id(), &BTreeSet::new(), &slots);
    assert!(read(&owner.state, its, &[entry]).is_ok());
    assert_eq!(read(&sibling.state, its, &[entry]), missing(&[entry]));
    sibling.exchange(&owner).expect("are in one epoch");
    assert!(read(&sibling.state, its, &[entry]).is_ok());
}

#[test]
fn a_log_of_an_epoch_that_was_closed_before_the_removal_is_complete() {
    // Nodes 2 and 3 have counted the closing of epoch 1 in epoch 2, of which node 0 was a member. The
    // proposer of node 0's removal has not, and names its log of epoch 1.
    let one = first(2, 4);
    let two = same(&one);
    let three = without(&[&one, &two], 0);
    let mut owner = Node::new(&member(2), &[&one, &two]);
    close_first_epoch(&mut owner);
    owner.learn(&[&three]);
    owner.activate(3);
    let slot = slot_in(&one.slots_of_node(&node(2)));
    let its = first(2, 4).slots_of_node(&node(0));
    let gained = owner.state.owned_slots().intersection(&its);
    assert!(read(&owner.state, slot, &[dot(&member(0), 1, 9)]).is_ok());
    // The gained slots are not ready, and ask for everything.
    let region = owner.state.region_of(slot_in(&gained)).expect("is owned");
    let complete = dot(&member(0), 1, END);
    assert!(!region.is_ready() && !region.coverage.includes(complete));
    let kept = owner.state.region_of(slot).expect("is owned");
    assert!(kept.coverage.includes(complete));
}

#[test]
fn nobody_waits_for_a_member_whose_hand_over_came_through_another() {
    // Node 0 is removed while it runs and hands over to node 1, which passes it on and is removed in turn.
    let [mut owner, _] = owners_after_the_removal(0);
    let (its, _) = slots();
    let lost = dot(&member(0), 1, 7);
    assert_eq!(read(&owner.state, its, &[lost]), missing(&[lost]));
    for region in Arc::make_mut(&mut owner.state.regions) {
        region.coverage.raise(dot(&member(0), 1, END));
    }
    close_first_epoch(&mut owner);
    assert!(read(&owner.state, its, &[lost]).is_ok());
    assert_eq!(owner.state.slots_held_alone(), owner.state.ready_slots());
}

#[test]
fn the_wait_ends_when_the_member_keeps_nothing_that_is_not_here() {
    let [mut owner, _] = owners_after_the_removal(0);
    let one = first(2, 4);
    let (its, _) = slots();
    let entry = dot(&member(0), 1, 1);
    let mut removed = Node::new(&member(0), &[&one]);
    removed.learn(&[&without(&[&one], 0)]);
    removed.activate(2);
    let confirm = removed.state.ask_to_confirm(Epoch(2));
    let confirmed = owner.state.confirms(&confirm);
    assert!(confirmed.is_empty(), "its log was not handed over as complete");
    for region in Arc::make_mut(&mut owner.state.regions) {
        region.coverage.raise(dot(&member(0), 1, END));
        region.coverage.raise(dot(&member(1), 1, END));
    }
    let confirmed = owner.state.confirms(&confirm);
    assert_eq!(confirmed, one.slots_of_node(&node(0)));
    assert!(owner.state.note_confirmed(&confirm, &confirmed));
    assert!(!owner.state.note_confirmed(&confirm, &confirmed), "is known");
    assert!(!owner.state.slots_held_alone().intersection(&confirmed).is_empty());
    assert!(read(&owner.state, its, &[entry]).is_ok());
}

#[test]
fn the_wait_ends_when_time_is_up_and_siblings_that_may_have_taken_it_were_heard_since() {
    let [mut owner, mut sibling] = owners_after_the_removal(0);
    let (its, _) = slots();
    let entry = dot(&member(0), 1, 1);
    // The sibling takes what comes back, just in time.
    let returned = record(
        &key_in(&first(2, 4).slots_of_node(&node(0))),
        dot(&member(3), 2, 1),
        5,
    );
    sibling.state.vector.raise(returned.dot());
    sibling.hold([&returned]);
    let late = BTreeSet::from([member(0).id()]);
    assert!(owner.state.expire(&late));
    assert!(!owner.state.expire(&late), "is known");
    assert_eq!(read(&owner.state, its, &[entry]), missing(&[entry]));
    owner.exchange(&sibling).expect("are in one epoch");
    assert!(read(&owner.state, its, &[entry]).is_ok() && owner.holds(&returned));
    assert!(
        !owner.state.expire(&BTreeSet::from([member(1).id()])),
        "is a member"
    );
}

#[test]
fn the_wait_ends_when_the_node_is_added_again_with_an_empty_disk() {
    let [mut owner, mut sibling] = owners_after_the_removal(0);
    let (its, _) = slots();
    let entry = dot(&member(0), 1, 1);
    let two = owner.state.view().expect("serves").clone();
    let view = Arc::new(next::add(&two, &reborn(0, 9)).expect("is new"));
    let mut others = [
        Node::new(&member(1), &[&first(2, 4), &two]),
        Node::new(&reborn(0, 9), &[]),
    ];
    others[1].learn(&[&two]);
    for replica in [&mut owner, &mut sibling].into_iter().chain(&mut others) {
        replica.learn(&[&view]);
        replica.activate(3);
    }
    let its = [its, slot_in(&owner.state.owned_slots())]
        .into_iter()
        .find(|slot| {
            owner.state.region_of(*slot).is_some() && first(2, 4).slots_of_node(&node(0)).contains(*slot)
        });
    let its = its.expect("it owns slots that node 0 had");
    assert_eq!(read(&owner.state, its, &[entry]), missing(&[entry]));
    exchange_all(&mut owner, others.iter().chain([&sibling]));
    assert!(read(&owner.state, its, &[entry]).is_ok());
}

#[test]
fn the_wait_ends_when_the_operator_gives_the_member_up() {
    let [mut owner, mut sibling] = owners_after_the_removal(0);
    let (its, _) = slots();
    let entry = dot(&member(0), 1, 1);
    let mut view = next::admit(owner.state.view().expect("serves"), &[]);
    assert!(view.give_up(&node(0), false));
    let view = Arc::new(view);
    let mut giver = Node::new(&member(1), &[&first(2, 4), &without(&[&first(2, 4)], 0)]);
    for replica in [&mut owner, &mut sibling, &mut giver] {
        replica.learn(&[&view]);
        replica.activate(3);
    }
    assert_eq!(read(&owner.state, its, &[entry]), missing(&[entry]));
    let is_awaited = |owner: &Node| !owner.state.does_not_await().contains(&member(0).id());
    assert!(is_awaited(&owner), "a sibling may have taken something before");
    exchange_all(&mut owner, [&giver, &sibling]);
    assert!(read(&owner.state, its, &[entry]).is_ok() && !is_awaited(&owner));
}

#[test]
fn an_owner_that_comes_later_knows_how_far_a_removed_members_log_is_held() {
    let [mut owner, _] = owners_after_the_removal(1);
    close_first_epoch(&mut owner);
    let view = with(owner.state.view().expect("serves"), &[reborn(3, 9)]);
    let mut newcomer = Node::new(&reborn(3, 9), &[]);
    let past: Vec<Arc<View>> = owner.state.views.values().cloned().collect();
    newcomer.state.learn_past(&past, &owner.state.closed);
    for replica in [&mut owner, &mut newcomer] {
        replica.learn(&[&view]);
        replica.seal(3);
    }
    newcomer.take_over(&owner, 3).expect("is handed over");
    newcomer.activate(3);
    let (its, _) = slots();
    let (held, unheld) = (dot(&member(0), 1, 1), dot(&member(0), 1, 2));
    assert!(read(&newcomer.state, its, &[held]).is_ok());
    assert_eq!(read(&newcomer.state, its, &[unheld]), missing(&[unheld]));
}
