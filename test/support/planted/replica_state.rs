//! Schedules on the decisions alone, for rules that show only where nodes are removed or several views
//! behind. Each passes with the rule and returns what went wrong without it.

use std::sync::Arc;

use causeway::names::{ClusterId, Dot, Epoch, Incarnation, Log, Member, NodeId, Slot};
use causeway::protocol::causality::{Payload, Timestamp, VersionVector};
use causeway::protocol::placement::{View, next};
use causeway::protocol::replication::{
    Closed, NotHere, Progress, ReplicaState, Step, Unstable, answer, may_read,
};
use causeway::protocol::view_change::{Ballot, Electorate, Next, Proposal, Vote};

use super::Seen;
use crate::model::node::Stored;

fn member(number: u64) -> Member {
    let node = format!("n{number}:80").parse().expect("is an address");
    let incarnation = Incarnation {
        started_ms: 1,
        random: number,
    };
    Member { node, incarnation }
}

fn node(number: u64) -> NodeId {
    member(number).node
}

/// The first view of `count` nodes, all up.
fn first(replicas: u32, count: u64) -> Arc<View> {
    let members = || (0..count).map(member);
    let up = members().map(|member| (member.node, member.incarnation));
    let nodes = members().map(|member| member.node).collect();
    Arc::new(View::first(ClusterId(1), replicas, &nodes, &up.collect()))
}

fn removed(view: &View, number: u64) -> Arc<View> {
    Arc::new(next::remove(view, &node(number)).expect("is listed"))
}

fn added(view: &View, number: u64) -> Arc<View> {
    Arc::new(next::add(view, &member(number)).expect("is new"))
}

/// The state of a member that learned these views and has the one of epoch `active` active.
fn state(number: u64, views: &[&Arc<View>], active: u64) -> ReplicaState {
    let mut state = ReplicaState::new(member(number));
    for view in views {
        state.learn(view);
        if view.epoch.0 <= active {
            state.activate(view.epoch);
        }
    }
    state
}

fn dot(number: u64, epoch: u64, count: u64) -> Dot {
    let log = Log {
        epoch: Epoch(epoch),
        member: member(number).id(),
    };
    Dot { log, number: count }
}

/// The lowest slot that these nodes own in these views.
fn slot_of(owners: &[(&View, u64)]) -> Slot {
    let is_owned = |slot: &Slot| {
        owners
            .iter()
            .all(|(view, number)| view.owners(*slot).contains(&node(*number)))
    };
    Slot::all().find(is_owned).expect("some slot moves like this")
}

/// n0 is cut off and removed. Later writes are stable without it, so only the epoch tells n0 that it may
/// not answer.
pub(crate) fn a_removed_owner_that_is_cut_off() -> Seen {
    let one = first(2, 3);
    let two = removed(&one, 0);
    let left_behind = state(0, &[&one], 1);
    let mut owner = state(1, &[&one, &two], 2);
    let slot = slot_of(&[(&one, 0), (&two, 1)]);
    let written = owner.next_dot();
    owner.vector.raise(written);
    let depends = Payload {
        epoch: Epoch(1),
        timestamp: Timestamp::ZERO,
        entries: [written].into_iter().collect(),
    };
    let told = answer(&owner, &owner.vector, &depends, None);
    match may_read(&left_behind, &VersionVector::default(), slot, &told) {
        Err(NotHere::EpochAhead(_)) => Ok(()),
        other => Err(format!(
            "a removed owner answered a reader of the next epoch: {other:?}"
        )),
    }
}

/// n1 missed a write of epoch 1 and was cut off before epoch 3, which concluded that all have it.
pub(crate) fn a_closing_that_reaches_a_node_behind() -> Seen {
    let one = first(2, 4);
    let two = removed(&one, 3);
    let mut behind = state(1, &[&one, &two], 2);
    let slot = slot_of(&[(&one, 1), (&two, 1)]);
    behind.close(Closed {
        below: Epoch(2),
        at: Epoch(3),
        ..Closed::default()
    });
    let depends = Payload {
        epoch: Epoch(1),
        timestamp: Timestamp::ZERO,
        entries: [dot(0, 1, 1)].into_iter().collect(),
    };
    match may_read(&behind, &VersionVector::default(), slot, &depends) {
        Err(NotHere::Missing(_)) => Ok(()),
        other => Err(format!(
            "what never came counted as closed at a node that is behind: {other:?}"
        )),
    }
}

/// A slot moves from n0 to n1 and on to n2. n0 never learned of the first move, and is the first giver
/// that n2 takes the slot from.
pub(crate) fn a_giver_that_owned_the_slot_long_ago() -> Seen {
    let one = first(1, 1);
    let two = added(&one, 1);
    let three = added(&two, 2);
    let slot = slot_of(&[(&one, 0), (&two, 1), (&three, 2)]);
    let mut giver = state(0, &[&one, &two, &three], 1);
    giver.seal(Epoch(3));
    let mut taker = ReplicaState::new(member(2));
    taker.learn_past(&[Arc::clone(&one), Arc::clone(&two)], &Closed::default());
    taker.learn(&three);
    let ask = taker
        .ask_hand_over(Epoch(3), &[])
        .expect("the view lists the taker");
    let given = giver.give(&ask, &Unstable::default(), &Stored::default());
    let (given, _) = given.map_err(|reason| format!("nothing was given: {reason}"))?;
    let taken = taker.take_hand_over(&ask, &given);
    taken.map_err(|reason| format!("nothing was taken: {reason}"))?;
    taker.activate(Epoch(3));
    match may_read(&taker, &VersionVector::default(), slot, &Payload::default()) {
        Err(NotHere::NotReady) => Ok(()),
        other => Err(format!(
            "a new owner answered without what was stable in between: {other:?}"
        )),
    }
}

/// n0 was removed, and its log was given up; then it returns with its data.
pub(crate) fn a_removed_node_that_comes_back() -> Seen {
    let one = first(2, 4);
    let two = removed(&one, 0);
    let three = added(&two, 4);
    let mut returned = state(0, &[&one, &two, &three], 1);
    returned.seal(Epoch(3));
    let mut taker = state(1, &[&one, &two, &three], 2);
    let ask = taker
        .ask_hand_over(Epoch(3), &[])
        .expect("the view lists the taker");
    let given = returned.give(&ask, &Unstable::default(), &Stored::default());
    let Ok((given, _)) = given else { return Ok(()) };
    match taker.take_hand_over(&ask, &given) {
        Err(_) => Ok(()),
        Ok(()) => Err("a log that was given up came back at one owner".to_owned()),
    }
}

/// n1 took over half of n0's slots, which n0 still keeps: no node may forget how to ask for them.
pub(crate) fn a_member_that_keeps_what_moved_away() -> Seen {
    let one = first(1, 1);
    let two = added(&one, 1);
    let keeper = state(0, &[&one, &two], 2);
    if keeper.done_below() > Epoch(1) {
        return Err("an epoch may be closed of which a member keeps slots that moved".to_owned());
    }
    Ok(())
}

/// n0 was removed, and returns when deletions since then may be forgotten.
pub(crate) fn a_removed_node_that_comes_back_too_late() -> Seen {
    const LIMIT_MS: u64 = 1000;
    let one = first(2, 3);
    let mut two = next::remove(&one, &node(0)).expect("is listed");
    two.note_removals(&[&one], 1, false);
    let taker = state(1, &[&one, &Arc::new(two)], 2);
    let taken = |after_ms: u64| taker.may_adopt(member(0).id(), 1 + after_ms, LIMIT_MS);
    match (taken(LIMIT_MS), taken(LIMIT_MS + 1)) {
        (Ok(()), Err(_)) => Ok(()),
        (Err(reason), _) => Err(format!("what came back in time was refused: {reason}")),
        (_, Ok(())) => Err("what was returned too late was taken: a deleted key may come back".to_owned()),
    }
}

/// What was acknowledged before the seal is handed over; what is acknowledged after it may not be.
pub(crate) fn an_acknowledgement_that_comes_after_the_seal() -> Seen {
    let own = dot(0, 1, 1);
    let mut progress = Progress::new(own.log);
    progress.begin(own.log, 0, [(member(1).id(), Step::In)]);
    progress.stored(1);
    progress.seal();
    let held = [own].into_iter().collect();
    progress.acknowledged(Epoch(1), member(1).id(), &held, true);
    if progress.stable().includes(own) {
        return Err("an acknowledgement counted after the seal".to_owned());
    }
    Ok(())
}

/// Two proposers for one register: the second prepares before the first asks to accept.
pub(crate) fn two_proposers_for_one_epoch() -> Seen {
    let view = first(1, 3);
    let electorate = Electorate::of(&view);
    let mut acceptors: [causeway::protocol::view_change::Acceptor; 3] = Default::default();
    let attempt = |number: u64| Proposal::new(Epoch(2), ballot(number), electorate.clone());
    let mut rivals = [attempt(0), attempt(1)];
    for rival in &mut rivals {
        for (number, acceptor) in (0..).zip(&mut acceptors) {
            rival.voted(node(number), acceptor.promise(&rival.ballot.clone()));
        }
    }
    let mut chosen = Vec::new();
    for (rival, wanted) in rivals.iter_mut().zip([removed(&view, 0), removed(&view, 1)]) {
        rival.begin_accepting(Arc::clone(&wanted));
        for (number, acceptor) in (0..).zip(&mut acceptors) {
            let vote: Vote = acceptor.accept(&rival.ballot.clone(), &wanted);
            if let Next::Chosen(view) = rival.voted(node(number), vote) {
                chosen.push(view);
            }
        }
    }
    chosen.dedup();
    match chosen.len() {
        1 => Ok(()),
        count => Err(format!("{count} views were chosen for one epoch")),
    }
}

fn ballot(number: u64) -> Ballot {
    Ballot {
        round: 1,
        proposer: node(number),
        attempt: number,
    }
}
