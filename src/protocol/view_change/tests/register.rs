//! Acceptors, quorums and proposals, rule by rule (I10).

use super::*;
use crate::names::Epoch;
use crate::protocol::view_change::{Acceptor, Ballot, Electorate, Next, Proposal, Vote};

fn ballot(round: u64, proposer: u64, attempt: u64) -> Ballot {
    Ballot {
        round,
        proposer: node(proposer),
        attempt,
    }
}

fn promised(accepted: Option<(Ballot, Arc<View>)>) -> Vote {
    Vote::Promised { accepted }
}

fn own_view(raise_generation: bool) -> Next {
    Next::Propose {
        earlier: None,
        raise_generation,
    }
}

fn proposal(view: &View) -> Proposal {
    Proposal::new(Epoch(2), ballot(1, 0, 7), Electorate::of(view))
}

#[test]
fn a_promise_keeps_lower_ballots_out_in_both_phases() {
    let view = minus(&first(3, 0), 2);
    let (low, high) = (ballot(1, 2, 9), ballot(2, 0, 0));
    let mut acceptor = Acceptor::default();
    assert_eq!(acceptor.promise(&high), promised(None));
    let outbid = Vote::Outbid {
        promised: high.clone(),
    };
    assert_eq!(acceptor.promise(&low), outbid);
    assert_eq!(acceptor.accept(&low, &view), outbid);
    assert_eq!(acceptor.accepted, None);
    assert_eq!(acceptor.accept(&high, &view), Vote::Accepted);
    assert_eq!(acceptor.promise(&high), promised(Some((high, view))));
}

#[test]
fn what_was_accepted_is_told_with_every_later_promise() {
    let (one, two) = (minus(&first(3, 0), 1), minus(&first(3, 0), 2));
    let mut acceptor = Acceptor::default();
    assert_eq!(acceptor.accept(&ballot(1, 0, 0), &one), Vote::Accepted);
    // An acceptance is a promise as well.
    assert_ne!(acceptor.promise(&ballot(0, 0, 0)), promised(None));
    assert_eq!(acceptor.accept(&ballot(3, 0, 0), &two), Vote::Accepted);
    let told = promised(Some((ballot(3, 0, 0), two)));
    assert_eq!(acceptor.promise(&ballot(4, 0, 0)), told);
}

#[test]
fn attempts_of_one_proposer_in_one_round_are_different_ballots() {
    let mut acceptor = Acceptor::default();
    acceptor.promise(&ballot(1, 0, 8));
    let vote = acceptor.promise(&ballot(1, 0, 3));
    assert!(matches!(vote, Vote::Outbid { .. }), "{vote:?}");
}

#[test]
fn a_majority_of_the_nodes_decides_or_half_of_them_with_the_smallest() {
    let cases: [(u64, u64, &[u64], bool); 9] = [
        (3, 0, &[0, 1], true),
        (3, 0, &[1, 2], true),
        (3, 0, &[0], false),
        (4, 0, &[0, 3], true),
        (4, 0, &[1, 2], false),
        (4, 0, &[1, 2, 3], true),
        (2, 0, &[0], true),
        (2, 0, &[1], false),
        // A listed node that has not come up cannot vote, but counts.
        (4, 1, &[1, 2], false),
    ];
    for (count, missing, agreeing, expected) in cases {
        let electorate = Electorate::of(&first(count, missing));
        let decides = electorate.decides(&nodes(agreeing.iter().copied()), &nodes([]));
        assert_eq!(decides, expected, "{agreeing:?} of {count}");
    }
}

#[test]
fn where_lost_disks_leave_no_quorum_all_others_together_decide() {
    let electorate = Electorate::of(&first(5, 0));
    let decides = |agreeing: &[u64], lost: &[u64]| {
        let lost = nodes(lost.iter().copied());
        let decides = electorate.decides(&nodes(agreeing.iter().copied()), &lost);
        (decides, electorate.needs_generation(&lost))
    };
    assert_eq!(decides(&[3, 4], &[0, 1, 2]), (true, true));
    assert_eq!(decides(&[3], &[0, 1, 2]), (false, true));
    // Three could still decide: two may not.
    assert_eq!(decides(&[2, 3], &[0, 1]), (false, false));
    assert_eq!(decides(&[], &[0, 1, 2, 3, 4]), (false, true));
}

#[test]
fn only_members_vote() {
    let view = first(5, 2);
    let mut attempt = proposal(&view);
    assert_eq!(attempt.voted(node(0), promised(None)), Next::Wait);
    for stranger in [3, 4, 9] {
        assert_eq!(attempt.voted(node(stranger), promised(None)), Next::Wait);
    }
    assert_eq!(attempt.voted(node(1), promised(None)), Next::Wait);
    assert_eq!(attempt.voted(node(1), promised(None)), Next::Wait);
    assert_eq!(attempt.voted(node(2), promised(None)), own_view(false));
}

#[test]
fn the_highest_of_the_views_accepted_earlier_is_proposed_again() {
    let view = first(5, 0);
    let [low, high] = [1, 2].map(|number| minus(&view, number));
    let mut attempt = proposal(&view);
    attempt.voted(node(0), promised(Some((ballot(0, 4, 9), Arc::clone(&high)))));
    attempt.voted(node(1), promised(Some((ballot(0, 3, 9), low))));
    let next = attempt.voted(node(2), promised(None));
    let earlier = Some(Arc::clone(&high));
    assert_eq!(
        next,
        Next::Propose {
            earlier,
            raise_generation: false
        }
    );
    attempt.begin_accepting(Arc::clone(&high));
    // Late promises are not acceptances.
    assert_eq!(attempt.voted(node(3), promised(None)), Next::Wait);
    assert_eq!(attempt.voted(node(3), Vote::Accepted), Next::Wait);
    assert_eq!(attempt.voted(node(4), Vote::NotVoting), Next::Wait);
    assert_eq!(attempt.voted(node(0), Vote::Accepted), Next::Wait);
    assert_eq!(attempt.voted(node(4), Vote::Accepted), Next::Chosen(high));
}

#[test]
fn an_outbid_attempt_knows_the_round_to_beat() {
    let mut attempt = proposal(&first(3, 0));
    for round in [4, 6, 5] {
        let promised = ballot(round, 1, 0);
        assert_eq!(attempt.voted(node(1), Vote::Outbid { promised }), Next::Wait);
    }
    assert_eq!(attempt.outbid_by(), Some(6));
    assert_eq!(attempt.voted(node(0), promised(None)), Next::Wait);
}

#[test]
fn lost_disks_that_are_known_in_phase_one_raise_the_generation() {
    let view = first(3, 0);
    let mut attempt = proposal(&view);
    assert_eq!(attempt.voted(node(2), promised(None)), Next::Wait);
    assert_eq!(attempt.lost_its_disk(node(0)), Next::Wait);
    assert_eq!(attempt.lost_its_disk(node(1)), own_view(true));
    let next = minus(&view, 0);
    attempt.begin_accepting(Arc::clone(&next));
    assert_eq!(attempt.voted(node(2), Vote::Accepted), Next::Chosen(next));
}

#[test]
fn lost_disks_in_phase_two_do_not_choose_a_view_whose_generation_was_not_raised() {
    // Nodes 0 and 1 may have chosen another view; a node that knows it must see it outranked.
    let view = first(3, 0);
    let mut attempt = proposal(&view);
    attempt.voted(node(0), promised(None));
    assert_eq!(attempt.voted(node(2), promised(None)), own_view(false));
    attempt.begin_accepting(minus(&view, 0));
    assert_eq!(attempt.voted(node(2), Vote::Accepted), Next::Wait);
    assert_eq!(attempt.lost_its_disk(node(0)), Next::Wait);
    assert_eq!(attempt.lost_its_disk(node(1)), Next::Wait);
}

#[test]
fn the_first_view_is_voted_on_by_the_nodes_of_the_list() {
    let electorate = Electorate::of_first_view(&nodes(0..3));
    let mut attempt = Proposal::new(Epoch(1), ballot(1, 0, 7), electorate);
    attempt.voted(node(2), promised(None));
    assert_eq!(attempt.voted(node(0), promised(None)), own_view(false));
}
