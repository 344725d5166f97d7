//! Each kind of answer counts for the member that was asked, and only if that member gave it.

use std::collections::BTreeSet;

use tokio::time::sleep;

use super::rig::{Actor, SOON, dot, first_view, idle, life, listed_and_stranger, node_with, returned};
use crate::names::{Epoch, Key, Log, Member};
use crate::node::{Machine, Node, World};
use crate::protocol::causality::{Payload, Record, Timestamp, VersionVector};
use crate::protocol::placement::{SlotSet, next};
use crate::protocol::replication::{Closed, ExchangeResponse, ReplicaState, Return};
use crate::wire::peer::{Answer, Gossip, Question, Returned, Vouched};

fn key(text: &str) -> Key {
    Key::new(text).expect("is a key")
}

fn record(text: &str, number: u64) -> Record {
    let dot = dot(&life(1, 1), number);
    Record::new(
        &key(text),
        Some(b"v"),
        dot,
        Timestamp(1),
        &VersionVector::default(),
    )
}

fn given(giver: &Member) -> ExchangeResponse {
    ExchangeResponse {
        giver: giver.clone(),
        active: Epoch::FIRST,
        vector: [dot(&life(1, 1), 2)].into_iter().collect(),
        offered: Vec::new(),
        too_late: BTreeSet::new(),
        claimed: VersionVector::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn another_name_is_not_talked_to_and_both_names_are_told() {
    let (node, cast) = node_with(first_view(3, 2)).await;
    cast.puts(Actor::new(&life(2, 1), idle), &life(1, 1).node);
    let n1 = life(1, 1).node;
    assert!(node.shared.peers.call(&n1, Question::Ping, SOON).await.is_err());
    let why = node.shared.peers.misled(&n1).expect("it is told");
    assert!(
        why.contains("calls itself n2:80") && why.contains("IPPORT to n1:80"),
        "{why}"
    );
    assert!(node.shared.peers.is_away(&n1) && cast.asked.lock().is_empty());
    // With the right node at the address, the call succeeds and nothing is reported.
    cast.puts(Actor::new(&life(1, 1), idle), &n1);
    sleep(SOON).await;
    assert!(node.shared.peers.call(&n1, Question::Ping, SOON).await.is_ok());
    assert_eq!(node.shared.peers.misled(&n1), None);
}

#[tokio::test(start_paused = true)]
async fn a_push_is_acknowledged_by_the_life_that_the_view_lists() {
    for (peer, replicas) in listed_and_stranger().into_iter().zip([2, 1]) {
        let (node, cast) = node_with(first_view(2, 2)).await;
        let holds_all = |question: &Question| match question {
            Question::Push(push) => Some(Answer::Held {
                epoch: push.epoch,
                held: [dot(&life(0, 1), push.first)].into_iter().collect(),
            }),
            other => idle(other),
        };
        cast.puts(Actor::new(&peer, holds_all), &peer.node);
        // The link is up before the push.
        node.shared
            .peers
            .call(&peer.node, Question::Ping, SOON)
            .await
            .expect("answers");
        let written = node.requests.put(&key("k"), "v".into(), Payload::default()).await;
        assert_eq!(written.expect("is stored").replicas, replicas, "by {peer:?}");
    }
}

/// The outcome of an exchange with a node that greets as `peer` and says that it is `giver`.
async fn exchanged(peer: &Member, giver: &Member) -> Vec<bool> {
    let (node, cast) = node_with(first_view(2, 2)).await;
    let given = given(giver);
    let gives = move |question: &Question| match question {
        Question::Exchange(_) => Some(Answer::Exchanged {
            given: given.clone(),
            records: vec![record("a", 1), record("b", 2)],
            ticket: 0,
            pages: 1,
        }),
        other => idle(other),
    };
    cast.puts(Actor::new(peer, gives), &peer.node);
    let ask = node.shared.me.state().ask_steady();
    let taken = node.replication.exchange(&life(1, 1), ask, None).await.is_ok();
    vec![taken, node.shared.resident.get("a").is_some()]
}

#[tokio::test(start_paused = true)]
async fn an_exchange_is_taken_from_the_life_that_was_asked() {
    let [listed, stranger] = listed_and_stranger();
    assert_eq!(exchanged(&listed, &listed).await, [true, true]);
    for (peer, giver) in [
        (&stranger, &listed),
        (&listed, &stranger),
        (&stranger, &stranger),
        (&listed, &life(0, 1)),
    ] {
        assert_eq!(exchanged(peer, giver).await, [false, false], "{peer:?} {giver:?}");
    }
}

/// After a restart the giver gives the same ticket to another exchange.
#[tokio::test(start_paused = true)]
async fn pages_come_from_the_process_that_answered_the_exchange() {
    for (second_boot, is_taken) in [(7, true), (8, false)] {
        let (node, cast) = node_with(first_view(2, 2)).await;
        let listed = life(1, 1);
        let page = |question: &Question| match question {
            Question::Page { .. } => Some(Answer::Records(vec![record("b", 2)])),
            other => idle(other),
        };
        let restarts = std::sync::Arc::clone(&cast);
        let gives = move |question: &Question| match question {
            Question::Exchange(_) => {
                let mut again = Actor::new(&life(1, 1), page);
                again.boot = second_boot;
                restarts.puts(again, &life(1, 1).node);
                Some(Answer::Exchanged {
                    given: given(&life(1, 1)),
                    records: vec![record("a", 1)],
                    ticket: 0,
                    pages: 2,
                })
            }
            other => idle(other),
        };
        let first = Actor::new(&listed, gives);
        let first = first.hangs_up_after(|question| matches!(question, Question::Exchange(_)));
        cast.puts(first, &listed.node);
        // The node exchanges by itself as soon as it serves.
        sleep(SOON).await;
        let is_exchange = |asked: &Question| matches!(asked, Question::Exchange(_));
        assert!(cast.asked.lock().iter().any(is_exchange));
        assert_eq!(
            node.shared.resident.get("a").is_some(),
            is_taken,
            "boot {second_boot}"
        );
        assert_eq!(
            node.shared.resident.get("b").is_some(),
            is_taken,
            "boot {second_boot}"
        );
    }
}

/// Node 0 after a change that moved some of its slots to node 1.
fn keeper() -> ReplicaState {
    let mut state = first_view(1, 1);
    let view = next::add(state.view().expect("is active"), &life(1, 1)).expect("is new");
    state.learn(&view.into());
    state.seal(Epoch(2));
    state.activate(Epoch(2));
    assert!(!state.kept.is_empty());
    state
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_counts_from_the_owner_that_the_view_lists() {
    for (peer, confirms) in listed_and_stranger().into_iter().zip([true, false]) {
        let (node, cast) = node_with(keeper()).await;
        let confirms_all = |question: &Question| match question {
            Question::Confirm(_) => Some(Answer::Confirmed(SlotSet::all())),
            other => idle(other),
        };
        cast.puts(Actor::new(&peer, confirms_all), &peer.node);
        sleep(SOON).await;
        let is_dropped = node.shared.me.state().kept.is_empty();
        assert_eq!(is_dropped, confirms, "by {peer:?}");
    }
}

/// Node 0 after a change that moved some of its slots to nodes 2 and 3.
fn keeper_of_two() -> ReplicaState {
    let mut state = first_view(2, 2);
    for number in [2, 3] {
        let view = next::add(state.view().expect("is active"), &life(number, 1)).expect("is new");
        let epoch = view.epoch;
        state.learn(&view.into());
        state.seal(epoch);
        state.activate(epoch);
    }
    assert!(!state.kept.is_empty());
    state
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_dropped_when_every_owner_has_confirmed_it() {
    for (confirming, is_dropped) in [(&[2, 3][..], true), (&[2][..], false), (&[3][..], false)] {
        let (node, cast) = node_with(keeper_of_two()).await;
        let confirms_all = |question: &Question| match question {
            Question::Confirm(_) => Some(Answer::Confirmed(SlotSet::all())),
            other => idle(other),
        };
        for owner in confirming.iter().map(|number| life(*number, 1)) {
            cast.puts(Actor::new(&owner, confirms_all), &owner.node);
        }
        sleep(SOON).await;
        assert_eq!(
            node.shared.me.state().kept.is_empty(),
            is_dropped,
            "by {confirming:?}"
        );
    }
}

/// An owner that takes note of the end too soon answers readers before the rest has come.
#[tokio::test(start_paused = true)]
async fn what_is_kept_is_returned_causes_first_and_its_end_is_told_with_the_last_page() {
    let state = keeper();
    let slots = state.kept_slots();
    let (node, cast) = node_with(state).await;
    let settles = |question: &Question| match question {
        Question::Return { .. } => Some(Answer::Returned(Returned::Settled)),
        other => idle(other),
    };
    cast.puts(Actor::new(&life(1, 1), settles), &life(1, 1).node);
    let keys = (0..).map(|number| key(&format!("k{number}")));
    let mut keys: Vec<Key> = keys.filter(|key| slots.contains(key.slot())).take(4).collect();
    keys.sort_by_key(Key::slot);
    // The later a slot is visited, the earlier its record was written. Two records fill a page.
    for (key, number) in keys.iter().zip([4, 3, 2, 1]) {
        let (value, none) = (vec![0; 200 * 1024], VersionVector::default());
        let record = Record::new(
            key,
            Some(&value),
            dot(&life(0, 1), number),
            Timestamp(number),
            &none,
        );
        node.shared.resident.put(record);
    }
    let returned = node.view_changes.return_to(&life(1, 1), &slots).await;
    assert_eq!(returned, Some(Returned::Settled));
    let asked = cast.asked.lock();
    let pages: Vec<(Vec<u64>, bool)> = asked
        .iter()
        .filter_map(|question| match question {
            Question::Return { records, kept, .. } => {
                let written = records.iter().map(|record| record.timestamp().0);
                Some((written.collect(), !kept.is_empty()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(pages, [(vec![1, 2], false), (vec![3, 4], true)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_returned_to_the_owner_that_the_view_lists() {
    for (peer, settled) in listed_and_stranger().into_iter().zip([true, false]) {
        let (node, cast) = node_with(first_view(2, 2)).await;
        let settles = |question: &Question| match question {
            Question::Return { .. } => Some(Answer::Returned(Returned::Settled)),
            other => idle(other),
        };
        cast.puts(Actor::new(&peer, settles), &peer.node);
        let returned = node.view_changes.return_to(&life(1, 1), &SlotSet::all()).await;
        assert_eq!(returned == Some(Returned::Settled), settled, "by {peer:?}");
    }
}

/// Node 0 in the second view, which removed node 2 at `noted_ms`, and what node 2 returns to it.
fn owner_after_a_removal(noted_ms: u64) -> (ReplicaState, Return) {
    let (mut state, gone) = (first_view(4, 2), life(2, 1));
    let before = state.view().expect("is active").clone();
    let mut after = next::remove(&before, &gone.node).expect("is listed");
    after.note_removals(&[&before], noted_ms, false);
    state.learn(&after.into());
    state.seal(Epoch(2));
    state.activate(Epoch(2));
    let slots = state
        .owned_slots()
        .intersection(&before.slots_of_node(&gone.node));
    let mut keys = (0..).map(|number| format!("k{number}"));
    let text = keys.find(|text| slots.contains(key(text).slot())).expect("some");
    let returned = returned(&gone, record(&text, 1), slots);
    (state, returned)
}

/// A keeper drops what is settled, and the disk of the owner that took it may be lost right after.
#[tokio::test(start_paused = true)]
async fn what_was_returned_is_settled_when_the_siblings_hold_it_too() {
    for (holds, said) in [(true, Returned::Settled), (false, Returned::NotYet)] {
        let (state, returned) = owner_after_a_removal(Machine.wall_ms());
        let sibling = state.siblings().pop().expect("has one");
        let log = state.own_log();
        let (node, cast) = node_with(state).await;
        let acknowledges = move |question: &Question| match question {
            Question::Push(push) if holds => Some(Answer::Held {
                epoch: push.epoch,
                held: [crate::names::Dot {
                    log,
                    number: push.first,
                }]
                .into_iter()
                .collect(),
            }),
            other => idle(other),
        };
        cast.puts(Actor::new(&sibling, acknowledges), &sibling.node);
        node.shared
            .peers
            .call(&sibling.node, Question::Ping, SOON)
            .await
            .expect("answers");
        let answer = node.view_changes.answer_return(returned).await;
        assert!(
            matches!(answer, Answer::Returned(answer) if answer == said),
            "{answer:?} where {said:?} is right"
        );
    }
}

/// By the wall clock the removal was in 1970. The owner started since, and has not counted its age.
#[tokio::test(start_paused = true)]
async fn members_tell_an_owner_for_how_long_a_removal_has_counted() {
    let hour_ms = 3_600_000;
    for (told, said) in [
        (Some(5_000), Returned::NotYet),
        (Some(30 * 24 * hour_ms), Returned::TooLate),
        (None, Returned::TooLate),
    ] {
        let (state, returned) = owner_after_a_removal(1);
        let others: Vec<Member> = state.view().expect("is active").members().collect();
        let (node, cast) = node_with(state).await;
        // Another member may know better.
        let before = node.view_changes.answer_return(returned.clone()).await;
        assert!(matches!(before, Answer::NotTaken), "{before:?}");
        let mut words = gossip(&node, Epoch(2), VersionVector::default());
        words.counted.removals_ms = told
            .map(|age_ms| (returned.from.id(), age_ms))
            .into_iter()
            .collect();
        for other in others.iter().filter(|other| other.node != node.shared.me.node) {
            let words = words.clone();
            let tells = move |question: &Question| match question {
                Question::Gossip(_) => Some(Answer::Gossip(words.clone().into())),
                asked => idle(asked),
            };
            cast.puts(Actor::new(other, tells), &other.node);
        }
        sleep(SOON).await;
        let answer = node.view_changes.answer_return(returned).await;
        assert!(
            matches!(answer, Answer::Returned(answer) if answer == said),
            "{answer:?} where {said:?} is right, told {told:?}"
        );
    }
}

/// The gossip of a member that is active in an epoch and lacks nothing before it. All it holds is stable.
fn gossip(to: &Node, epoch: Epoch, held: VersionVector) -> Gossip {
    Gossip {
        epoch,
        time: to.shared.me.shown(),
        stable: held.clone(),
        held,
        done_below: epoch,
        run: 0,
        closed: Closed {
            below: epoch,
            at: epoch,
            runs: Default::default(),
        },
        does_not_await: Default::default(),
        lost: Default::default(),
        counted: Default::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn gossip_counts_from_the_life_that_the_view_lists() {
    for (peer, counts) in listed_and_stranger().into_iter().zip([true, false]) {
        let mut state = first_view(2, 2);
        let view = next::admit(state.view().expect("is active"), &[]);
        state.learn(&view.into());
        state.activate(Epoch(2));
        let (node, cast) = node_with(state).await;
        let own = Log {
            epoch: Epoch(2),
            member: life(0, 1).id(),
        };
        let stable = crate::names::Dot { log: own, number: 5 };
        let gossip = gossip(&node, Epoch(2), [stable].into_iter().collect());
        let gossips = move |question: &Question| match question {
            Question::Gossip(_) => Some(Answer::Gossip(gossip.clone().into())),
            other => idle(other),
        };
        cast.puts(Actor::new(&peer, gossips), &peer.node);
        sleep(SOON).await;
        assert!(
            cast.asked
                .lock()
                .iter()
                .any(|asked| matches!(asked, Question::Gossip(_)))
        );
        let held = [stable].into_iter().collect();
        assert_eq!(
            node.shared.acks.is_held_by_all(&held),
            counts,
            "held, by {peer:?}"
        );
        assert_eq!(
            node.shared.acks.stable().includes(stable),
            counts,
            "stable, by {peer:?}"
        );
        assert_eq!(
            node.shared.me.state().closed.below == Epoch(2),
            counts,
            "closed, by {peer:?}"
        );
    }
}

/// A client saw a write of the other member, and was also given a number that no node has written. Only
/// the other member can tell them apart, and it is away.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_cleared_of_a_false_dependency_keeps_the_honest_one_below_it() {
    let (other, written) = (life(1, 1), dot(&life(1, 1), 7));
    let (node, cast) = node_with(first_view(2, 2)).await;
    let seen = Payload {
        epoch: Epoch::FIRST,
        entries: [dot(&other, 1_000_000)].into_iter().collect(),
        ..Payload::default()
    };
    node.requests
        .put(&key("k"), "v".into(), seen)
        .await
        .expect("is stored");
    let depends_on = || -> Vec<_> {
        let stored = node.shared.resident.get("k").expect("is stored");
        stored.dependencies().collect()
    };
    assert_eq!(depends_on(), [dot(&other, 1_000_000)]);
    let gossip = gossip(&node, Epoch::FIRST, VersionVector::default());
    let vouches = move |question: &Question| match question {
        Question::Vouch { .. } => Some(Answer::Vouched(Vouched {
            exist: [written].into_iter().collect(),
            ends: vec![written],
            ..Vouched::default()
        })),
        Question::Gossip(_) => Some(Answer::Gossip(gossip.clone().into())),
        asked => idle(asked),
    };
    cast.puts(Actor::new(&other, vouches), &other.node);
    sleep(SOON).await;
    assert_eq!(depends_on(), [written]);
}
