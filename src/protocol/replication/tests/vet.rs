//! Which claims of a payload can be true, as far as one node can tell.

use std::sync::Arc;

use super::*;
use crate::protocol::replication::runs::{COMPLETE, end_of};
use crate::protocol::replication::{Claim, answer};

/// Node 0 of five, two in a partition and node 4 a proxy, in the second view, which changed nothing. It took
/// three writes and has two of node 1.
fn judge() -> ReplicaState {
    let one = first(2, 5);
    let two = same(&one);
    let mut state = state(&member(0), &[&one, &two]);
    state.vector = vector([dot(&member(0), 2, 3), dot(&member(1), 2, 2)]);
    state
}

fn judged(state: &ReplicaState, dot: Dot) -> Claim {
    state.judge(&VersionVector::default(), dot)
}

/// A new owner learns of claims with the slots: sessions that read them may come to it.
#[test]
fn claims_are_handed_over_and_are_news_once() {
    let view = first(2, 2);
    let mut giver = state(&member(0), &[&view]);
    let claimed = vector([dot(&member(1), 1, 1_000)]);
    assert!(giver.learn_claims(&claimed));
    assert!(!giver.learn_claims(&vector([dot(&member(1), 1, 999)])));
    let ask = state(&member(1), &[&view]).ask_steady();
    let (given, _) = giver
        .give(&ask, &Unstable::default(), &Shelf::new())
        .expect("is a sibling");
    assert_eq!(given.claimed, claimed);
}

#[test]
fn the_own_log_has_an_end_and_all_others_may_go_further() {
    let state = judge();
    let own = |number| judged(&state, dot(&member(0), 2, number));
    assert_eq!((own(3), own(4)), (Claim::Exists, Claim::Impossible));
    let sibling = |number| judged(&state, dot(&member(1), 2, number));
    assert_eq!((sibling(2), sibling(3)), (Claim::Exists, Claim::Undecided));
    let elsewhere = dot(&member(2), 2, 7);
    assert_eq!(judged(&state, elsewhere), Claim::Undecided);
    assert_eq!(state.judge(&vector([elsewhere]), elsewhere), Claim::Exists);
}

#[test]
fn what_no_view_allows_is_impossible() {
    let state = judge();
    for (what, claim) in [
        ("a proxy takes no writes", dot(&member(4), 2, 1)),
        ("a stranger", dot(&member(9), 2, 1)),
        ("another life", dot(&reborn(1, 7), 2, 1)),
        ("no view is of epoch 0", dot(&member(1), 0, 1)),
        ("no write has this number", dot(&member(1), 2, COMPLETE)),
        ("nor in an earlier epoch", dot(&member(1), 1, COMPLETE)),
    ] {
        assert_eq!(judged(&state, claim), Claim::Impossible, "{what}");
    }
}

#[test]
fn an_epoch_is_unknown_until_its_view_is_known() {
    let mut state = judge();
    let ahead = dot(&member(1), 3, 1);
    assert_eq!(judged(&state, ahead), Claim::UnknownEpoch);
    assert!(!state.knows_epoch(Epoch(3)));
    state.learn(&same(state.newest().expect("is there").clone().as_ref()));
    assert_eq!(judged(&state, ahead), Claim::Undecided);
    assert!(state.knows_epoch(Epoch(3)));
}

#[test]
fn entries_of_closed_epochs_are_dropped_whatever_they_claim() {
    let mut state = judge();
    state.closed.below = Epoch(2);
    for claim in [dot(&member(9), 1, 1), dot(&member(1), 1, COMPLETE)] {
        assert_eq!(judged(&state, claim), Claim::Exists);
    }
}

#[test]
fn a_log_that_is_complete_here_exists_and_one_that_is_not_may_go_further() {
    let mut state = judge();
    let region = &mut Arc::make_mut(&mut state.regions)[0];
    region.coverage = vector([dot(&member(1), 1, COMPLETE), dot(&member(2), 1, 4)]);
    assert_eq!(judged(&state, dot(&member(1), 1, 99)), Claim::Exists);
    assert_eq!(judged(&state, dot(&member(2), 1, 4)), Claim::Exists);
    assert_eq!(judged(&state, dot(&member(2), 1, 5)), Claim::Undecided);
    // A member's own log of an earlier epoch is complete, and only the run of its end is remembered.
    assert_eq!(judged(&state, dot(&member(0), 1, 99)), Claim::Exists);
    state.runs = state.runs.started_again(1, 1, 0);
    let later = |number: u64| dot(&member(0), 1, number + (1 << 38));
    assert_eq!(judged(&state, later(1)), Claim::Exists);
    assert_eq!(judged(&state, later(1 << 38)), Claim::Impossible);
    let region = &mut Arc::make_mut(&mut state.regions)[0];
    region.coverage.raise(dot(&member(0), 1, end_of(0)));
    assert_eq!(judged(&state, later(1)), Claim::Impossible);
}

/// A forged entry must not make readers wait for ever: the member that owns the log denies it.
#[test]
fn an_entry_of_a_closed_epoch_in_a_later_run_is_for_its_member_to_deny() {
    let mut state = judge();
    state.closed.below = Epoch(2);
    let runs = [0, 1].map(|number| (member(number).id(), 2));
    state.closed.runs = Arc::new(runs.into_iter().collect());
    let of_run = |number, run: u64| dot(&member(number), 1, (run << 38) + 5);
    assert_eq!(judged(&state, of_run(0, 2)), Claim::Exists);
    assert_eq!(judged(&state, of_run(0, 3)), Claim::Impossible);
    assert_eq!(judged(&state, of_run(1, 3)), Claim::Undecided);
    assert_eq!(
        judged(&state, of_run(9, 3)),
        Claim::Exists,
        "nobody waits for a stranger"
    );
}

#[test]
fn a_reply_mentions_no_dependency_that_no_view_allows() {
    let state = judge();
    let honest = dot(&member(2), 2, 7);
    let forged = [
        dot(&member(1), 1_000_000_000_000_000, 1),
        dot(&member(9), 2, 1),
        dot(&member(4), 1, 1),
    ];
    let dependencies = vector(forged.into_iter().chain([honest]));
    let key = key_in(&state.regions[0].slots);
    let written = dot(&member(0), 2, 3);
    let record = Record::new(&key, Some(b"v"), written, Timestamp(1), &dependencies);
    let nothing = VersionVector::default();
    let told = answer(&state, &nothing, &Payload::default(), &[record]);
    assert_eq!(told.entries, vector([honest, written]));
}
