//! Tests the committer's work between two batches and after one, with scripted peers.

use tokio::time::sleep;

use super::*;
use crate::config::{Limits, millis};
use crate::names::{Dot, Key};
use crate::node::identity::Me;
use crate::node::limits::{LATE_PUSH_LIMIT, PUSH_LIMIT, WRITE_LIMIT};
use crate::node::tests::rig::{Actor, SOON, dot, first_view, idle, life, node_with, node_without_committer};
use crate::node::{Machine, World as _};
use crate::protocol::causality::{Payload, Record, Timestamp, VersionVector};
use crate::protocol::placement::next;
use crate::protocol::replication::{ChangeAttempt, Return, Write};
use crate::store::Resident;
use crate::wire::notes::{standing_notes, vector_note};
use crate::wire::peer::Question;

fn key() -> Key {
    Key::new("k").expect("is a key")
}

fn write() -> Write {
    Write {
        key: key(),
        value: Some("v".into()),
        payload: Payload::default(),
        vouched: true,
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
            let write = write();
            node.shared
                .commit
                .enqueue(Job::Write {
                    write,
                    arrived,
                    reply,
                })
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
    let (write, arrived) = (write(), Instant::now());
    node.shared
        .commit
        .enqueue(Job::Write {
            write,
            arrived,
            reply,
        })
        .await;
    node.shared.tasks.spawn(committer.run());
    activated.await.expect("is answered").expect("is stored");
    let stored = stored.await.expect("is answered").expect("is stored");
    assert_eq!((stored.dot.log.epoch, stored.replicas), (target, 1));
}

/// The batch that one job makes at a node with this state.
fn stored_of(state: ReplicaState, job: Job) -> Batch {
    let limits = Limits::default();
    let me = Me::new(state.clone(), Arc::new(Machine), &limits);
    me.judge_wall();
    let resident = Resident::new();
    let attempt = ChangeAttempt::default();
    let mut decider = Decider::new(&me, &resident, &limits, state, Acceptors::new(), attempt);
    decider.decide(job);
    let (state, acceptors, mut effects) = decider.replica.finish();
    to_store(&state, &acceptors, &mut effects)
}

#[tokio::test]
async fn a_seal_is_stored_once_with_the_parts_of_the_state_that_it_changes() {
    let mut sealing = first_view(1, 1);
    let view = next::admit(sealing.view().expect("is active"), &[]);
    sealing.learn(&view.into());
    let seal = || Job::Seal {
        target: Epoch::FIRST.next(),
        reply: oneshot::channel().0,
    };
    let batch = stored_of(sealing.clone(), seal());
    let mut sealed = sealing;
    sealed.seal(Epoch::FIRST.next());
    sealed.position += 1;
    let [standing, closed_in] = standing_notes(&sealed);
    assert_eq!(batch.notes, [standing, closed_in, vector_note(&sealed)]);
    assert!(stored_of(sealed, seal()).is_empty());
}

/// A deletion that the member missed may be forgotten where the clock is ahead by the limit, the removal be noted by
/// a clock that is behind, and a third clock judge.
#[tokio::test]
async fn records_that_return_within_three_clock_limits_of_forgetting_are_too_late() {
    let limits = Limits::default();
    let removed_before = |clock_limits: u32| {
        let mut owner = first_view(2, 1);
        let before = Arc::clone(owner.view().expect("is active"));
        let removed = life(1, 1);
        let mut view = next::remove(&before, &removed.node).expect("is listed");
        let age = limits.forget_after - clock_limits * limits.clock_limit;
        view.note_removals(&[&*before], Machine.wall_ms() - millis(age), false);
        owner.learn(&view.into());
        owner.activate(Epoch::FIRST.next());
        let record = Record::new(
            &key(),
            Some(b"v"),
            dot(&removed, 1),
            Timestamp(1),
            &VersionVector::default(),
        );
        let returned = Return {
            from: removed,
            left: None,
            records: vec![record],
            slots: owner.owned_slots(),
            kept: Vec::new(),
            claimed: VersionVector::default(),
        };
        let reply = oneshot::channel().0;
        stored_of(owner, Job::Adopt { returned, reply }).records.len()
    };
    assert_eq!((removed_before(4), removed_before(2)), (1, 0));
}
