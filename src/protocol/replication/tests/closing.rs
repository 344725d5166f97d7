//! When a member is done with an epoch, when a closing counts, and when a tombstone may be dropped (I4).

use super::*;
use crate::protocol::replication::runs::end_of;

/// Node 0 of two, in an epoch that follows `epochs - 1` others with the same members.
fn member_zero(epochs: u64) -> ReplicaState {
    let mut views = vec![first(2, 2)];
    for _ in 1..epochs {
        views.push(same(views.last().expect("begins with one")));
    }
    state(&member(0), &views.iter().collect::<Vec<_>>())
}

fn cover(state: &mut ReplicaState, dot: Dot) {
    for region in Arc::make_mut(&mut state.regions) {
        region.coverage.raise(dot);
    }
}

#[test]
fn a_member_is_done_with_an_epoch_when_every_log_of_it_is_complete_here() {
    let mut zero = member_zero(3);
    assert_eq!(zero.done_below(), Epoch(1));
    cover(&mut zero, dot(&member(1), 1, 8));
    assert_eq!(zero.done_below(), Epoch(1));
    cover(&mut zero, dot(&member(1), 2, END));
    assert_eq!(zero.done_below(), Epoch(1));
    cover(&mut zero, dot(&member(1), 1, END));
    assert_eq!(zero.done_below(), Epoch(3));
    Arc::make_mut(&mut zero.regions)[0].lacks = Epoch(2);
    assert_eq!(zero.done_below(), zero.closed.below);
}

#[test]
fn a_log_that_was_given_up_does_not_keep_its_epoch_open() {
    let one = first(2, 2);
    let two = with(&one, &[reborn(1, 9)]);
    let mut zero = state(&member(0), &[&one, &two]);
    assert_eq!(zero.done_below(), Epoch(1));
    Arc::make_mut(&mut zero.regions)[0]
        .heard
        .insert(reborn(1, 9).id());
    assert_eq!(zero.done_below(), Epoch(2));
}

#[test]
fn a_member_that_heard_all_owners_is_done_with_an_epoch_that_no_coverage_names() {
    // K = 1: slots went to node 1 and back. Node 1 counted the closing of epoch 1, and was removed before any
    // other node learned of it. Its coverage has no entry for that epoch, and node 0 has dropped its own.
    let one = first(1, 1);
    let two = plus(&one, 1);
    let three = minus(&two, 1);
    let mut zero = Node::new(&member(0), &[&one]);
    let mut between = Node::new(&member(1), &[]);
    between.learn(&[&one, &two]);
    zero.learn(&[&two]);
    zero.seal(2);
    between.take_over(&zero, 2).expect("is handed over");
    zero.activate(2);
    between.activate(2);
    let kept = zero.state.kept_slots();
    zero.state.drop_kept(Epoch(2), &kept);
    let closed = closing(Epoch(2), Epoch(2));
    assert!(between.state.close(closed));
    for replica in [&mut zero, &mut between] {
        replica.learn(&[&three]);
        replica.seal(3);
    }
    zero.take_over(&between, 3).expect("is handed over");
    zero.activate(3);
    assert!(zero.state.is_ready());
    assert_eq!(zero.state.done_below(), Epoch(3));
}

#[test]
fn a_keeper_is_done_with_no_epoch() {
    let one = first(1, 1);
    let mut zero = state(&member(0), &[&one, &plus(&one, 1)]);
    assert_eq!(zero.done_below(), Epoch::NONE);
    let kept = zero.kept_slots();
    zero.drop_kept(Epoch(2), &kept);
    assert_eq!(zero.done_below(), Epoch(2));
}

#[test]
fn proxies_and_nodes_in_no_view_keep_nothing_open() {
    let one = first(2, 5);
    let two = same(&one);
    assert_eq!(state(&member(4), &[&one, &two]).done_below(), Epoch(2));
    assert_eq!(ReplicaState::new(member(4)).done_below(), Epoch::NONE);
}

#[test]
fn a_closing_counts_only_from_the_epoch_that_concluded_it() {
    // A removed owner that was cut off must not count as covered what it never got.
    let mut behind = member_zero(2);
    let closed = |below, at| closing(Epoch(below), Epoch(at));
    let dot = dot(&member(1), 1, 5);
    assert!(!behind.close(closed(2, 3)));
    assert_eq!(read(&behind, Slot(0), &[dot]), missing(&[dot]));
    assert!(!behind.close(closed(3, 2)));
    assert!(behind.close(closed(2, 2)) && !behind.close(closed(2, 2)) && !behind.close(closed(1, 1)));
    assert!(read(&behind, Slot(0), &[dot]).is_ok());
}

/// A disk that went back in time writes to an epoch that is over, in a run that no member knew.
#[test]
fn an_entry_of_a_later_run_outlives_the_closing_and_the_end_of_the_log() {
    let mut zero = member_zero(3);
    let of_run = |epoch, run: u64| dot(&member(1), epoch, (run << 38) + 5);
    let ended = |epoch, run| dot(&member(1), epoch, end_of(run));
    cover(&mut zero, ended(2, 2));
    assert!(read(&zero, Slot(0), &[of_run(2, 2)]).is_ok());
    assert_eq!(read(&zero, Slot(0), &[of_run(2, 3)]), missing(&[of_run(2, 3)]));
    let runs = [(member(1).id(), 2)].into_iter().collect();
    let runs = Arc::new(runs);
    assert!(zero.close(Closed {
        runs,
        ..closing(Epoch(3), Epoch(3))
    }));
    for epoch in [1, 2] {
        assert!(read(&zero, Slot(0), &[of_run(epoch, 2)]).is_ok());
        let later = of_run(epoch, 3);
        assert_eq!(read(&zero, Slot(0), &[later]), missing(&[later]), "epoch {epoch}");
    }
    // The writer's life has ended, and left nothing behind that is waited for.
    let admitted = with(zero.view().expect("is active"), &[reborn(1, 9)]);
    let epoch = admitted.epoch;
    zero.learn(&admitted);
    zero.activate(epoch);
    assert!(read(&zero, Slot(0), &[of_run(2, 3)]).is_ok());
}

#[test]
fn closing_forgets_coverage_and_views_of_what_is_closed() {
    let mut zero = member_zero(3);
    let kept = dot(&member(1), 2, 4);
    cover(&mut zero, dot(&member(1), 1, 4));
    cover(&mut zero, kept);
    let closed = closing(Epoch(2), Epoch(3));
    assert!(zero.close(closed));
    assert_eq!(
        zero.views.keys().copied().collect::<Vec<_>>(),
        [Epoch(2), Epoch(3)]
    );
    let own = dot(&member(0), 2, END);
    assert_eq!(zero.regions[0].coverage, vector([kept, own]));
}

#[test]
fn a_tombstone_goes_only_when_it_is_stable_and_nothing_older_can_come_back() {
    let one = first(2, 2);
    let mut settled = state(&member(0), &[&one, &same(&one)]);
    settled.closed = closing(Epoch(2), Epoch(2));
    let key = Key::new("k").expect("is a key");
    let tombstone = |epoch| {
        let dot = dot(&member(0), epoch, 4);
        Record::new(&key, None, dot, Timestamp(1), &VersionVector::default())
    };
    let stable = vector([dot(&member(0), 2, 4)]);
    let merely_here = vector([dot(&member(0), 2, 3)]);
    assert!(settled.may_forget(&stable, &tombstone(2)));
    assert!(settled.may_forget(&merely_here, &tombstone(1)));
    assert!(!settled.may_forget(&merely_here, &tombstone(2)));
    let refused = |change: fn(&mut ReplicaState)| {
        let mut state = settled.clone();
        change(&mut state);
        !state.may_forget(&stable, &tombstone(2))
    };
    assert!(refused(|state| state.closed.below = Epoch(1)), "an epoch is open");
    assert!(refused(|state| state.sealed = Epoch(3)), "it is sealed");
    let knows_more = |state: &mut ReplicaState| {
        let next = same(state.view().expect("is active"));
        state.learn(&next);
    };
    assert!(refused(knows_more), "a view is on its way");
    assert!(!ReplicaState::new(member(0)).may_forget(&stable, &tombstone(2)));
}
