//! A get at node 0, whose sibling is an actor: it depends on what the sibling says that it holds.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::names::Dot;
use crate::node::Node;
use crate::node::tests::rig::{Actor, SOON, dot, first_view, idle, life, node_with};
use crate::protocol::causality::VersionVector;
use crate::protocol::replication::Closed;

fn gossip(node: &Node, epoch: Epoch, held: impl IntoIterator<Item = Dot>) -> Gossip {
    Gossip {
        epoch,
        time: node.shared.me.shown(),
        held: held.into_iter().collect(),
        stable: VersionVector::default(),
        done_below: Epoch::NONE,
        run: 0,
        closed: Closed::default(),
        does_not_await: Default::default(),
        lost: Default::default(),
        counted: Default::default(),
    }
}

/// What a get of a missing key answers, when the sibling tells `epoch` and `held`. If `breaks`, the stream
/// on which the sibling is asked breaks once while the get runs.
async fn got(epoch: Epoch, held: &[Dot], breaks: bool) -> Refusal {
    static BREAKS: AtomicBool = AtomicBool::new(false);
    let (node, cast) = node_with(first_view(2, 2)).await;
    let told = gossip(&node, epoch, held.iter().copied());
    let tells = move |question: &Question| match question {
        Question::Gossip(_) if BREAKS.load(Ordering::Relaxed) => None,
        Question::Gossip(_) => Some(Answer::Gossip(told.clone().into())),
        other => idle(other),
    };
    let is_asked = |question: &Question| matches!(question, Question::Gossip(_));
    let sibling = Actor::new(&life(1, 1), tells)
        .hangs_up_after(move |question| is_asked(question) && BREAKS.swap(false, Ordering::Relaxed));
    let name = life(1, 1).node;
    cast.puts(sibling, &name);
    // The link must be up before it can break.
    let up = node.shared.peers.call(&name, Question::Ping, SOON).await;
    up.expect("answers");
    BREAKS.store(breaks, Ordering::Relaxed);
    let got = node.requests.get_recent(&Key::new("k").expect("is a key")).await;
    assert!(!BREAKS.load(Ordering::Relaxed), "it has been asked");
    got.expect_err("nothing is here")
}

#[tokio::test(start_paused = true)]
async fn a_get_depends_on_the_epoch_and_the_writes_that_an_owner_tells_also_on_a_second_stream() {
    let told = [
        (Epoch::FIRST, vec![], true),
        (Epoch::FIRST, vec![dot(&life(1, 1), 1)], false),
        // The sibling is active in a view that is not known here: what it took there is not here.
        (Epoch(2), vec![], false),
    ];
    for (epoch, held, is_here) in told {
        for breaks in [false, true] {
            let refusal = got(epoch, &held, breaks).await;
            let is_answered = matches!(refusal, Refusal::KeyNotFound { .. });
            assert_eq!(is_answered, is_here, "{epoch} {held:?} {breaks}: {refusal:?}");
        }
    }
}
