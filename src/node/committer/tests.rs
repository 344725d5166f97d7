//! Tests the committer's work between two batches and after one, with scripted peers.

use tokio::time::sleep;

use super::*;
use crate::names::{Dot, Key};
use crate::node::commit::job::Write;
use crate::node::limits::{LATE_PUSH_LIMIT, PUSH_LIMIT, WRITE_LIMIT};
use crate::node::tests::rig::{Actor, SOON, dot, first_view, idle, life, node_with, node_without_committer};
use crate::protocol::causality::{Payload, Record, Timestamp, VersionVector};
use crate::protocol::placement::next;
use crate::wire::peer::Question;

fn key() -> Key {
    Key::new("k").expect("is a key")
}

fn write(arrived: Instant) -> Write {
    Write {
        key: key(),
        value: Some("v".into()),
        payload: Payload::default(),
        vouched: true,
        arrived,
    }
}

/// The hand-over that ends a copy must find the writes that became stable behind it.
#[tokio::test(start_paused = true)]
async fn what_becomes_stable_between_two_views_stays_unstable_until_the_next_one_is_active() {
    for is_between_views in [true, false] {
        let mut state = first_view(2, 2);
        if is_between_views {
            let view = next::admit(state.view().expect("is active"), &[]);
            state.learn(&view.into());
        }
        let (node, _, mut committer) = node_without_committer(state).await;
        let stable = dot(&life(1, 1), 1);
        let dependencies = VersionVector::default();
        let record = Record::new(&key(), Some(b"v"), stable, Timestamp(1), &dependencies);
        committer.unstable.insert(record);
        node.shared.acks.learn_stable(&[stable].into_iter().collect());
        committer.give(&mut Vec::new());
        assert_eq!(committer.unstable.len() == 1, is_between_views);
    }
}

/// A sibling is silent: the write is answered when the client has waited long enough, wherever it waited.
#[tokio::test(start_paused = true)]
async fn siblings_get_less_time_for_a_batch_of_which_a_write_has_waited() {
    for (waited, limit) in [(Duration::ZERO, PUSH_LIMIT), (WRITE_LIMIT, LATE_PUSH_LIMIT)] {
        let (node, cast) = node_with(first_view(2, 2)).await;
        let sibling = life(1, 1);
        cast.puts(Actor::new(&sibling, idle), &sibling.node);
        // The link is up before the push.
        let up = node.shared.peers.call(&sibling.node, Question::Ping, SOON).await;
        up.expect("answers");
        let arrived = Instant::now();
        sleep(waited).await;
        let (replies, stored): (Vec<_>, Vec<_>) = [(); 2].map(|()| oneshot::channel()).into_iter().unzip();
        let sent = Instant::now();
        // The oldest of them decides, whichever is first.
        for (reply, arrived) in replies.into_iter().zip([sent, arrived]) {
            node.shared
                .commit
                .enqueue(Job::Write(write(arrived), reply))
                .await;
        }
        for stored in stored {
            let stored = stored.await.expect("is answered").expect("is stored");
            assert_eq!(stored.replicas, 1);
        }
        let took = sent.elapsed();
        let slack = Duration::from_millis(20);
        assert!(
            (limit..limit + slack).contains(&took),
            "{took:?} instead of {limit:?}"
        );
    }
}

/// The write is the first of the new epoch, and its sibling has acknowledged more than one of the old.
#[tokio::test(start_paused = true)]
async fn what_siblings_acknowledged_in_one_epoch_does_not_count_for_writes_behind_an_activation() {
    let mut state = first_view(2, 2);
    let view = next::admit(state.view().expect("is active"), &[]);
    state.learn(&view.into());
    let (node, _, committer) = node_without_committer(state).await;
    let own = Dot {
        log: node.shared.me.state().own_log(),
        number: u64::MAX,
    };
    let held = [own].into_iter().collect();
    node.shared
        .acks
        .acknowledged(Epoch::FIRST, life(1, 1).id(), &held, false);
    let target = Epoch::FIRST.next();
    let (reply, activated) = oneshot::channel();
    node.shared.commit.enqueue(Job::Activate { target, reply }).await;
    let (reply, stored) = oneshot::channel();
    let write = write(Instant::now());
    node.shared.commit.enqueue(Job::Write(write, reply)).await;
    node.shared.tasks.spawn(committer.run());
    activated.await.expect("is answered").expect("is stored");
    let stored = stored.await.expect("is answered").expect("is stored");
    assert_eq!((stored.dot.log.epoch, stored.replicas), (target, 1));
}
