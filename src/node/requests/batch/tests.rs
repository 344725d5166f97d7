//! Batches at node 0 whose owners are actors, or whose sibling is unreachable.

use std::collections::BTreeSet;

use super::*;
use crate::names::{Epoch, Key};
use crate::node::limits::{ANSWER_TIME, WRITE_LIMIT};
use crate::node::tests::rig::{Actor, dot, first_view, idle, life, node_with};
use crate::protocol::causality::{Record, Timestamp};
use crate::protocol::placement::next;
use crate::protocol::replication::Effect;
use crate::wire::peer::Declined;

fn key(text: &str) -> Key {
    Key::new(text).expect("is a key")
}

fn put(key: &Key) -> Operation {
    Operation::Put {
        key: key.clone(),
        value: b"v".to_vec(),
    }
}

/// The ids under which owners got a batch of two writes, its results, and how long it took. Node 1 owns
/// both keys and answers `by_the_first`. Halfway, the view gives the second key to node 2, which takes
/// every batch.
async fn scattered(by_the_first: Option<Answer>) -> (BTreeSet<u128>, Vec<Result<Done, Refusal>>, Duration) {
    let before = first_view(2, 1);
    let view = next::add(before.view().expect("is active"), &life(2, 1)).expect("is new");
    let mut after = before.clone();
    after.learn(&view.into());
    after.seal(Epoch(2));
    after.activate(Epoch(2));
    let [stays, moves] = [1, 2].map(|number| {
        let was = before.view().expect("is active").slots_of_node(&life(1, 1).node);
        let is = after
            .view()
            .expect("is active")
            .slots_of_node(&life(number, 1).node);
        let slots = was.intersection(&is);
        let mut keys = (0..).map(|number| key(&format!("k{number}")));
        keys.find(|key| slots.contains(key.slot())).expect("some")
    });
    let taken = Answer::Done(vec![Outcome::Written(Effect {
        created: true,
        payload: Payload::default(),
        timestamp: Timestamp(1),
        replicas: 1,
    })]);
    let (node, cast) = node_with(before).await;
    for (number, answer) in [(1, by_the_first), (2, Some(taken))] {
        let words = move |question: &Question| match question {
            Question::Batch { .. } => answer.clone(),
            other => idle(other),
        };
        cast.puts(Actor::new(&life(number, 1), words), &life(number, 1).node);
    }
    let began = Instant::now();
    let batch = node
        .requests
        .batch(vec![put(&stays), put(&moves)], Payload::default());
    let change = async {
        tokio::time::sleep(WRITE_LIMIT / 2).await;
        node.shared.me.publish(after);
    };
    let (done, ()) = tokio::join!(batch, change);
    let asked = cast.asked.lock();
    let ids = asked.iter().filter_map(|question| match question {
        Question::Batch { id, .. } => Some(*id),
        _ => None,
    });
    (ids.collect(), done.results, began.elapsed())
}

/// No owner took the batch, so its parts are retried; the client has waited for as long as it should.
#[tokio::test(start_paused = true)]
async fn a_batch_that_the_view_scatters_waits_no_longer_than_any_other() {
    let (_, results, took) = scattered(Some(Answer::Declined(Declined::NotOwner))).await;
    let [Err(Refusal::Unavailable { .. }), Ok(Done::Written(_))] = &results[..] else {
        panic!("each key is asked for where it lies now: {results:?}");
    };
    assert!(
        (WRITE_LIMIT - ANSWER_TIME..WRITE_LIMIT).contains(&took),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_unknown_outcome_is_not_done_again_when_the_view_scatters_it() {
    let (ids, results, _) = scattered(None).await;
    assert_eq!(ids.len(), 1, "it is given away once");
    let is_unknown = |result: &Result<Done, Refusal>| matches!(result, Err(Refusal::UnknownOutcome { .. }));
    assert!(results.iter().all(is_unknown), "{results:?}");
}

/// After a read of a record, no key is reported missing while a write that it depends on may arrive.
#[tokio::test(start_paused = true)]
async fn a_deletion_is_judged_by_what_a_read_before_it_has_shown() {
    let (node, _) = node_with(first_view(2, 2)).await;
    let not_here = [dot(&life(1, 1), 5)].into_iter().collect();
    let shown = Record::new(
        &key("read"),
        Some(b"v"),
        dot(&life(0, 1), 1),
        Timestamp(1),
        &not_here,
    );
    node.shared.resident.put(shown.vouched());
    let read = || Operation::Get { key: key("read") };
    let delete = || Operation::Delete { key: key("deleted") };
    for (operations, is_answered) in [
        (vec![delete()], true),
        (vec![delete(), read()], true),
        (vec![read(), delete()], false),
    ] {
        let done = node.requests.batch(operations.clone(), Payload::default()).await;
        let is_missing = |result: &Result<Done, Refusal>| matches!(result, Err(Refusal::KeyNotFound { .. }));
        let told = done.results.iter().any(is_missing);
        assert_eq!(told, is_answered, "{operations:?}: {:?}", done.results);
    }
}
