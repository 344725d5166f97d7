//! Requests that node 0 forwards to owners that are actors.

use std::collections::BTreeSet;

use super::*;
use crate::node::Node;
use crate::node::tests::rig::{Actor, first_view, idle, life, node_with};

/// A key of the other partition in a first view of four nodes.
fn their_key(node: &Node) -> Key {
    let mut keys = (0..).map(|number| Key::new(&format!("k{number}")).expect("is a key"));
    let is_theirs = |key: &Key| node.shared.me.state().region_of(key.slot()).is_none();
    keys.find(is_theirs).expect("some")
}

/// The ids under which owners got a write, and its outcome. An owner that gets the write breaks the stream,
/// or refuses it.
async fn written(breaks: bool) -> (BTreeSet<u128>, Result<Written, Refusal>) {
    let (node, cast) = node_with(first_view(4, 2)).await;
    let owners = [life(2, 1), life(3, 1)];
    let words = move |question: &Question| match question {
        Question::Write { .. } if !breaks => Some(Answer::Declined(Declined::NotOwner)),
        other => idle(other),
    };
    for owner in &owners {
        let is_last = move |question: &Question| breaks && matches!(question, Question::Write { .. });
        cast.puts(Actor::new(owner, words).hangs_up_after(is_last), &owner.node);
    }
    let written = node
        .requests
        .put(&their_key(&node), "v".into(), Payload::default())
        .await;
    let asked = cast.asked.lock();
    let ids = asked.iter().filter_map(|question| match question {
        Question::Write { id, .. } => Some(*id),
        _ => None,
    });
    (ids.collect(), written)
}

/// The write may have been taken: another owner may take it a second time, and a reply that no owner took
/// it may be wrong.
#[tokio::test(start_paused = true)]
async fn a_write_whose_stream_breaks_is_forwarded_to_no_other_owner() {
    let (ids, outcome) = written(true).await;
    assert_eq!(ids.len(), 1, "the same one is asked again under the same id");
    assert!(
        matches!(outcome, Err(Refusal::UnknownOutcome { .. })),
        "{outcome:?}"
    );
    let (ids, outcome) = written(false).await;
    assert!(ids.len() > 1, "one that is refused goes to the next owner");
    assert!(matches!(outcome, Err(Refusal::Unavailable { .. })), "{outcome:?}");
}

/// A client that is told that no owner can be reached looks for a fault in the network.
#[tokio::test(start_paused = true)]
async fn a_read_that_waits_behind_long_answers_is_refused_for_overload() {
    for (sends_long_answers, overloaded) in [(true, true), (false, false)] {
        let (node, cast) = node_with(first_view(4, 2)).await;
        for owner in [life(2, 1), life(3, 1)] {
            let mut actor = Actor::new(&owner, idle);
            actor.sends_long_answers = sends_long_answers;
            cast.puts(actor, &owner.node);
        }
        let read = node.requests.get(&their_key(&node), Payload::default()).await;
        let refusal = read.expect_err("no owner answers in time");
        assert_eq!(refusal == Refusal::Overloaded, overloaded, "{refusal:?}");
        assert_eq!(
            matches!(refusal, Refusal::Unavailable { .. }),
            !overloaded,
            "{refusal:?}"
        );
    }
}
