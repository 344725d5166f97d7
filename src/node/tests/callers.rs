//! What a node believes of the peers that call it, and of its own data directory: a peer's name counts
//! only if the peer answers at that address.

use tokio::time::sleep;

use super::rig::{
    Actor, CLUSTER, Disk, SOON, ask, ask_from, ask_on, config, first_view, greet, idle, life,
    listed_and_stranger, node_with, start,
};
use crate::names::{ClusterId, Epoch, Member, NodeId};
use crate::node::start::recall;
use crate::node::{Machine, StartError};
use crate::protocol::replication::{Confirm, Mark, ReplicaState};
use crate::protocol::view_change::{Ballot, Vote};
use crate::store::Engine;
use crate::wire::peer::{Answer, Declined, Greeting, Question};

#[tokio::test(start_paused = true)]
async fn a_member_asks_for_itself_only() {
    let (node, _) = node_with(first_view(2, 2)).await;
    let mut asked = node.shared.me.state().ask_steady();
    asked.taker = life(1, 1);
    let confirm = Confirm {
        keeper: life(1, 1),
        epoch: Epoch::FIRST,
        closed_below: Epoch::NONE,
        kept: node.shared.me.state().kept.to_vec(),
    };
    let gone = |answer: Option<Answer>| matches!(answer, Some(Answer::Declined(Declined::Gone)));
    for (peer, may_ask) in listed_and_stranger().into_iter().zip([true, false]) {
        let exchange = ask(&node, &peer, Question::Exchange(asked.clone())).await;
        assert_eq!(gone(exchange), !may_ask, "exchange by {peer:?}");
        let confirmed = ask(&node, &peer, Question::Confirm(confirm.clone())).await;
        assert_eq!(gone(confirmed), !may_ask, "confirm by {peer:?}");
    }
    assert!(
        ask(&node, &life(0, 1), Question::Ping).await.is_none(),
        "our own name"
    );
    assert!(
        ask(&node, &life(0, 2), Question::Ping).await.is_none(),
        "another life of ours"
    );
}

/// Two processes use one name, and one of them answers at its address.
#[tokio::test(start_paused = true)]
async fn a_life_that_does_not_answer_at_its_address_is_not_admitted() {
    let [listed, stranger] = listed_and_stranger();
    for (at_its_address, is_believed) in [(&listed, false), (&stranger, true)] {
        let (node, cast) = node_with(first_view(3, 3)).await;
        cast.puts(Actor::new(at_its_address, idle), &stranger.node);
        let noted = ask(&node, &stranger, Question::Admit { left: Vec::new() }).await;
        assert!(matches!(noted, Some(Answer::Noted)));
        sleep(SOON).await;
        let is_proposed = |asked: &Question| matches!(asked, Question::Promise { .. });
        assert_eq!(cast.asked.lock().iter().any(is_proposed), is_believed);
    }
}

/// A node that has just begun another life, or was restarted, asked once in the life before. Another
/// process of its name goes on asking.
#[tokio::test(start_paused = true)]
async fn a_life_that_has_just_ended_is_not_called_another_process() {
    let [listed, stranger] = listed_and_stranger();
    let (node, cast) = node_with(first_view(3, 3)).await;
    cast.puts(Actor::new(&listed, idle), &stranger.node);
    for is_told in [false, true] {
        ask(&node, &stranger, Question::Admit { left: Vec::new() }).await;
        sleep(SOON).await;
        assert_eq!(node.shared.complaints.is_made("another process answers"), is_told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_view_is_voted_for_if_its_proposer_answers_at_its_address() {
    let [one, other] = listed_and_stranger();
    for (at_its_address, is_believed) in [(&one, true), (&other, false)] {
        let (node, cast) = node_with(ReplicaState::new(life(0, 1))).await;
        cast.puts(Actor::new(at_its_address, idle), &one.node);
        let ballot = Ballot {
            round: 1,
            proposer: one.node.clone(),
            attempt: 1,
        };
        let promise = Question::Promise {
            epoch: Epoch::FIRST,
            ballot,
            start: Some(start()),
        };
        let Some(Answer::Voted { vote, .. }) = ask(&node, &one, promise).await else {
            panic!("a vote is answered");
        };
        assert_eq!(vote == Vote::Promised { accepted: None }, is_believed, "{vote:?}");
    }
}

/// Every life that the view lists has ended: the later lives of its nodes vote, and list each other by their
/// own word.
#[tokio::test(start_paused = true)]
async fn a_later_life_is_voted_for_if_it_answers_at_its_address() {
    let [listed, later] = listed_and_stranger();
    for (at_its_address, is_believed) in [(&later, true), (&listed, false)] {
        let mut state = ReplicaState::new(life(0, 2));
        state.learn(first_view(2, 2).view().expect("is active"));
        let (node, cast) = node_with(state).await;
        cast.puts(Actor::new(at_its_address, idle), &later.node);
        let ballot = Ballot {
            round: 1,
            proposer: later.node.clone(),
            attempt: 1,
        };
        let promise = Question::Promise {
            epoch: Epoch(2),
            ballot,
            start: None,
        };
        let Some(Answer::Voted { vote, .. }) = ask(&node, &later, promise).await else {
            panic!("a vote is answered");
        };
        assert_eq!(vote == Vote::Promised { accepted: None }, is_believed, "{vote:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_greeting_by_a_members_name_does_not_bring_the_member_back() {
    let [listed, stranger] = listed_and_stranger();
    for (peer, is_back) in [(&listed, true), (&stranger, false)] {
        let (node, _) = node_with(first_view(2, 2)).await;
        // No process listens at its address.
        let call = node.shared.peers.call(&listed.node, Question::Ping, SOON).await;
        assert!(call.is_err() && node.shared.peers.is_away(&listed.node));
        ask(&node, peer, Question::Ping).await.expect("is answered");
        assert_eq!(node.shared.peers.is_away(&listed.node), !is_back, "{peer:?}");
    }
}

/// Otherwise a member whose disk went back in time would hide it by calling often enough.
#[tokio::test(start_paused = true)]
async fn how_far_a_member_came_is_not_forgotten_before_it_was_told() {
    let (node, _) = node_with(first_view(2, 2)).await;
    let peer = life(1, 1);
    let mark = |run| Mark {
        run,
        ..Mark::default()
    };
    let remembered = |greeting: &Greeting| greeting.remembers.last().map(|(_, mark)| mark.run);
    let greet = async |run| greet(&node, &peer, CLUSTER, mark(run)).await.expect("greets");
    let (mut stream, _) = greet(3).await;
    ask_on(&mut stream, &node, Question::Ping)
        .await
        .expect("is answered");
    // The answer to the first greeting of the fourth run is lost.
    let (stream, _) = greet(4).await;
    drop(stream);
    let (mut stream, told) = greet(4).await;
    assert_eq!(remembered(&told), Some(3));
    ask_on(&mut stream, &node, Question::Ping)
        .await
        .expect("is answered");
    let (_, told) = greet(5).await;
    assert_eq!(remembered(&told), Some(4));
}

#[tokio::test(start_paused = true)]
async fn a_stranger_of_another_cluster_says_nothing_about_the_member_of_its_name() {
    let [listed, stranger] = listed_and_stranger();
    for (at_its_address, is_believed) in [(&listed, false), (&stranger, true)] {
        let (node, cast) = node_with(first_view(2, 2)).await;
        cast.puts(Actor::new(at_its_address, idle), &listed.node);
        // Wait until the link is up.
        sleep(SOON).await;
        let answer = ask_from(&node, &stranger, ClusterId(2), Question::Ping).await;
        assert!(answer.is_none(), "another cluster is not answered");
        assert_eq!(
            node.shared.peers.is_estranged(&listed.node),
            is_believed,
            "{at_its_address:?}"
        );
    }
}

#[tokio::test]
async fn a_data_directory_is_taken_over_under_another_name_while_nothing_depends_on_it() {
    async fn renamed(state: ReplicaState) -> Result<Member, StartError> {
        let disk = Disk(state);
        let recovered = disk.recover().expect("reads");
        let config = config(&life(5, 1).node);
        let recalled = recall(&config, &Machine, &disk, &recovered).await;
        recalled.map(|(state, _)| state.me)
    }
    let mut heard = ReplicaState::new(life(9, 1));
    heard.learn(first_view(2, 2).view().expect("is active"));
    for unused in [ReplicaState::new(life(9, 1)), heard] {
        let member = renamed(unused).await.expect("starts");
        assert_eq!(member.node, life(5, 1).node);
        assert_ne!(member.incarnation, life(9, 1).incarnation);
    }
    let mut has_left = ReplicaState::new(life(9, 1));
    has_left.has_left = true;
    for used in [first_view(2, 2), has_left] {
        let refused = renamed(used).await.expect_err("belongs to another node");
        assert!(matches!(refused, StartError::OtherNode { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_life_goes_on_by_the_spelling_of_its_address_that_it_began_with() {
    let old = NodeId::as_stored("[0:0:0:0:0:0:0:1]:80").expect("was a name once");
    let new: NodeId = "[::1]:80".parse().expect("is a name");
    let me = Member {
        node: old.clone(),
        ..life(9, 1)
    };
    for (has_left, node) in [(true, &old), (false, &new)] {
        let mut state = ReplicaState::new(me.clone());
        state.has_left = has_left;
        let disk = Disk(state);
        let recovered = disk.recover().expect("reads");
        let recalled = recall(&config(&new), &Machine, &disk, &recovered).await;
        let (state, _) = recalled.expect("starts");
        assert_eq!(state.me.node, *node, "only an unused life begins anew");
    }
}
