//! What counts as acknowledged and as stable, and which siblings writers wait for.

use crate::names::{Dot, Epoch, Log, MemberId};
use crate::protocol::causality::VersionVector;
use crate::protocol::replication::{Progress, Step};

const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);

fn own(epoch: u64) -> Log {
    Log {
        epoch: Epoch(epoch),
        member: MemberId(9),
    }
}

fn held(log: Log, number: u64) -> VersionVector {
    [Dot { log, number }].into_iter().collect()
}

/// The second epoch with siblings A and B in step, and five writes stored.
fn progress() -> Progress {
    let mut progress = Progress::new(own(2));
    progress.begin(own(2), 0, [(A, Step::In), (B, Step::In)]);
    progress.stored(5);
    progress
}

fn acknowledged(progress: &mut Progress, epoch: u64, sibling: MemberId, number: u64) {
    progress.acknowledged(Epoch(epoch), sibling, &held(own(epoch), number), true);
}

fn stable(progress: &Progress) -> u64 {
    progress.stable().number(own(2))
}

#[test]
fn a_write_is_stable_when_every_sibling_has_acknowledged_it() {
    let mut progress = progress();
    acknowledged(&mut progress, 2, A, 5);
    assert_eq!((stable(&progress), progress.replicas_of(4)), (0, 2));
    acknowledged(&mut progress, 2, B, 3);
    assert_eq!((stable(&progress), progress.replicas_of(4)), (3, 2));
    acknowledged(&mut progress, 2, B, 9);
    assert_eq!((stable(&progress), progress.replicas_of(4)), (5, 3));
    assert_eq!(progress.replicas_of(10), 1);
}

#[test]
fn a_sibling_that_is_away_keeps_writes_unstable() {
    let mut progress = progress();
    progress.fell_behind(Epoch(2), B);
    acknowledged(&mut progress, 2, A, 5);
    assert_eq!((stable(&progress), progress.settled_number()), (0, 5));
}

#[test]
fn alone_a_write_is_stable_when_it_is_stored() {
    let mut progress = Progress::new(own(2));
    progress.begin(own(2), 3, []);
    assert_eq!(stable(&progress), 3);
    progress.stored(4);
    assert_eq!((stable(&progress), progress.settled_number()), (4, u64::MAX));
}

#[test]
fn acknowledgements_of_another_epoch_do_not_count() {
    let mut progress = progress();
    for (epoch, sibling) in [(1, A), (3, A), (1, B), (3, B)] {
        progress.acknowledged(Epoch(epoch), sibling, &held(own(2), 5), true);
    }
    assert_eq!((stable(&progress), progress.settled_number()), (0, 0));
}

#[test]
fn acknowledgements_after_the_seal_do_not_count() {
    // Every old owner holds what counts as stable, and so does every hand-over.
    let mut progress = progress();
    acknowledged(&mut progress, 2, A, 5);
    acknowledged(&mut progress, 2, B, 2);
    progress.seal();
    acknowledged(&mut progress, 2, B, 5);
    assert_eq!(stable(&progress), 2);
    // Writers do not wait for them either.
    assert_eq!(progress.settled_number(), u64::MAX);
    progress.rejoins(A);
    assert_eq!(progress.pushed_to().count(), 0);
}

#[test]
fn strangers_do_not_count() {
    let mut progress = progress();
    acknowledged(&mut progress, 2, MemberId(7), 5);
    assert_eq!((stable(&progress), progress.replicas_of(1)), (0, 1));
}

#[test]
fn acknowledgements_begin_anew_with_each_epoch_and_stable_numbers_stay() {
    let mut progress = progress();
    acknowledged(&mut progress, 2, A, 5);
    acknowledged(&mut progress, 2, B, 5);
    progress.seal();
    progress.begin(own(3), 0, [(A, Step::In), (B, Step::In)]);
    progress.stored(2);
    acknowledged(&mut progress, 3, A, 2);
    assert_eq!((stable(&progress), progress.stable().number(own(3))), (5, 0));
    acknowledged(&mut progress, 3, B, 1);
    assert_eq!(progress.stable().number(own(3)), 1);
    progress.forget_below(Epoch(3));
    assert_eq!((stable(&progress), progress.stable().number(own(3))), (0, 1));
}

#[test]
fn writers_wait_for_siblings_in_step_and_not_for_joining_ones() {
    let mut progress = progress();
    assert_eq!(progress.settled_number(), 0);
    acknowledged(&mut progress, 2, A, 4);
    progress.fell_behind(Epoch(1), B);
    assert_eq!(progress.settled_number(), 0);
    progress.fell_behind(Epoch(2), B);
    assert_eq!((progress.settled_number(), progress.pushed_to().count()), (4, 1));
    progress.rejoins(B);
    assert_eq!((progress.settled_number(), progress.pushed_to().count()), (4, 2));
    // A push acknowledged up to the last write brings it into step; an exchange, or an earlier number,
    // does not.
    progress.acknowledged(Epoch(2), B, &held(own(2), 5), false);
    acknowledged(&mut progress, 2, A, 5);
    progress.stored(6);
    acknowledged(&mut progress, 2, B, 5);
    acknowledged(&mut progress, 2, A, 6);
    assert_eq!(progress.settled_number(), 6);
    acknowledged(&mut progress, 2, B, 6);
    progress.stored(7);
    acknowledged(&mut progress, 2, A, 7);
    assert_eq!(progress.settled_number(), 6);
}

#[test]
fn stable_numbers_of_others_are_news_once() {
    let mut progress = progress();
    let theirs = held(own(1), 4);
    assert!(progress.learn_stable(&theirs) && !progress.learn_stable(&theirs));
    assert!(progress.stable().covers(&theirs));
}
