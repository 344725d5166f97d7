//! A node whose life is over, or that no view lists: which nodes it asks, and what it must not do.

use tokio::time::sleep;

use super::rig::{Actor, SOON, ask, config, first_view, idle, life, node_of, node_with, start};
use crate::config::Config;
use crate::names::{Epoch, Member};
use crate::node::Node;
use crate::node::peers::link::Identity;
use crate::protocol::placement::{SlotSet, View, next};
use crate::protocol::replication::{Closed, Ending, Mark, ReplicaState};
use crate::protocol::view_change::{Ballot, Vote};
use crate::wire::SharedView;
use crate::wire::peer::{Answer, Greeting, Known, Question, Returned, Start};

/// The answer to `Meet` of a node that knows these views.
fn met(by: &Member, start: Start, views: &[View]) -> Answer {
    let shared = |view: &View| SharedView(view.clone().into());
    Answer::Met {
        by: by.clone(),
        start,
        known: Known {
            views: views.iter().map(shared).collect(),
            lost: Vec::new(),
            closed: Closed::default(),
            active: views.last().map_or(Epoch::NONE, |view| view.epoch),
        },
        left: Vec::new(),
    }
}

/// The node is greeted by a member that has seen its life further than its disk knows.
fn is_seen_further(node: &Node, by: &Member) {
    let seen = Mark {
        run: 9,
        ..Mark::default()
    };
    let greeting = Greeting {
        member: by.clone(),
        remembers: vec![(node.shared.me.state().id, seen)],
        ..node.shared.me.greeting(&by.node)
    };
    assert!(node.shared.me.check(&greeting).is_err(), "its disk is old");
}

/// Two owners have all slots. The one that answers has no room for what is returned. The other one came
/// back while it was believed away, and does not call nodes that are in no view.
#[tokio::test(start_paused = true)]
async fn an_owner_that_seems_away_is_asked_all_the_same_to_take_what_is_kept() {
    let mut state = first_view(3, 2);
    let before = state.view().expect("is active").clone();
    let after = next::remove(&before, &life(0, 1).node).expect("is listed");
    state.learn(&after.clone().into());
    state.seal(Epoch(2));
    state.activate(Epoch(2));
    assert!(!state.kept.is_empty() && !state.is_member());
    let (node, cast) = node_with(state).await;
    let [full, back] = [1, 2].map(|number| life(number, 1));
    let meets = met(&full, node.shared.start.clone(), &[(*before).clone(), after]);
    let takes_nothing = move |question: &Question| match question {
        Question::Meet => Some(meets.clone()),
        Question::Confirm(_) => Some(Answer::Confirmed(SlotSet::default())),
        Question::Return { .. } => Some(Answer::NotTaken),
        other => idle(other),
    };
    cast.puts(Actor::new(&full, takes_nothing), &full.node);
    let call = node.shared.peers.call(&back.node, Question::Ping, SOON).await;
    assert!(call.is_err() && node.shared.peers.is_away(&back.node));
    assert_eq!(
        node.view_changes.owners_to_ask(vec![back.clone(), full.clone()]),
        [full.clone(), back.clone()],
        "it is asked last"
    );
    let takes_all = |question: &Question| match question {
        Question::Return { .. } => Some(Answer::Returned(Returned::Settled)),
        other => idle(other),
    };
    cast.puts(Actor::new(&back, takes_all), &back.node);
    sleep(2 * SOON).await;
    assert!(node.shared.me.state().kept.is_empty());
}

/// The view on disk lists no other node, but a later view with another member has been decided.
#[tokio::test(start_paused = true)]
async fn a_witness_of_a_newer_disk_is_asked_for_its_views_before_one_is_decided_alone() {
    let state = first_view(1, 1);
    let one = (**state.view().expect("is active")).clone();
    let (node, cast) = node_with(state).await;
    let witness = life(1, 1);
    let later = next::add(&one, &witness).expect("is new");
    let meets = met(&witness, node.shared.start.clone(), &[one, later.clone()]);
    let knows = move |question: &Question| match question {
        Question::Meet => Some(meets.clone()),
        other => idle(other),
    };
    cast.puts(Actor::new(&witness, knows), &witness.node);
    is_seen_further(&node, &witness);
    sleep(SOON).await;
    let again = node.shared.me.member();
    assert_ne!(again, life(0, 1), "another life began");
    // By now this node could see that it is alone at its address, and decide.
    let mut own = Actor::new(&again, idle);
    own.boot = node.shared.me.greeting(&witness.node).boot;
    cast.puts(own, &again.node);
    sleep(SOON).await;
    assert_eq!(node.shared.me.state().newest().map(|view| &**view), Some(&later));
}

/// The node knows no view: without the member that knows better, it would wait to be added.
#[tokio::test(start_paused = true)]
async fn a_disk_of_before_the_first_view_takes_the_views_of_its_witness() {
    let (node, cast) = node_with(ReplicaState::new(life(0, 1))).await;
    let witness = life(1, 1);
    is_seen_further(&node, &witness);
    sleep(SOON).await;
    assert!(node.shared.me.state().newest().is_none(), "the member is away");
    let serves = first_view(2, 1);
    let serves = (**serves.view().expect("is active")).clone();
    let meets = met(&witness, node.shared.start.clone(), std::slice::from_ref(&serves));
    let knows = move |question: &Question| match question {
        Question::Meet => Some(meets.clone()),
        other => idle(other),
    };
    cast.puts(Actor::new(&witness, knows), &witness.node);
    sleep(SOON).await;
    assert_eq!(node.shared.me.state().newest().map(|view| &**view), Some(&serves));
}

/// The disk is older than the first view, and `VIEW` is out of date. The other node in `VIEW` is empty,
/// and would form a first view.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_seen_further_than_its_disk_forms_no_cluster_by_view() {
    let [other, witness] = [1, 2].map(|number| life(number, 1));
    for (is_seen, forms) in [(false, true), (true, false)] {
        let config = Config {
            replicas: Some(1),
            view: Some(vec![life(0, 1).node, other.node.clone()]),
            ..config(&life(0, 1).node)
        };
        let (node, cast, committer) = node_of(&config, ReplicaState::new(life(0, 1))).await;
        node.shared.tasks.spawn(committer.run());
        if is_seen {
            is_seen_further(&node, &witness);
            sleep(SOON).await;
            assert_ne!(node.shared.me.member(), life(0, 1), "another life began");
        }
        let (meets, by) = (met(&other, node.shared.start.clone(), &[]), other.clone());
        let votes = move |question: &Question| {
            let by = by.clone();
            match question {
                Question::Meet => Some(meets.clone()),
                Question::Promise { .. } => Some(Answer::Voted {
                    by,
                    vote: Vote::Promised { accepted: None },
                }),
                Question::Accept { .. } => Some(Answer::Voted {
                    by,
                    vote: Vote::Accepted,
                }),
                asked => idle(asked),
            }
        };
        cast.puts(Actor::new(&other, votes), &other.node);
        sleep(SOON).await;
        assert_eq!(node.shared.me.state().newest().is_some(), forms);
    }
}

/// Its own `VIEW` is out of date, and so is that of a proposer that was started with the same.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_in_a_view_votes_for_no_first_one() {
    for (has_left, votes) in [(false, true), (true, false)] {
        let mut state = ReplicaState::new(life(0, 1));
        state.has_left = has_left;
        let (node, cast) = node_with(state).await;
        let proposer = life(1, 1);
        cast.puts(Actor::new(&proposer, idle), &proposer.node);
        let ballot = Ballot {
            round: 1,
            proposer: proposer.node.clone(),
            attempt: 1,
        };
        let promise = Question::Promise {
            epoch: Epoch::FIRST,
            ballot,
            start: Some(start()),
        };
        let Some(Answer::Voted { vote, .. }) = ask(&node, &proposer, promise).await else {
            panic!("a vote is answered");
        };
        assert_eq!(vote == Vote::Promised { accepted: None }, votes, "{vote:?}");
    }
}

/// The process was stopped between the end of a life and the beginning of the next.
#[tokio::test(start_paused = true)]
async fn a_life_that_ended_before_it_was_in_a_view_is_followed_by_another_after_a_restart_too() {
    let mut ended = ReplicaState::new(life(0, 1));
    ended.end(Ending::WentBack);
    let (node, _) = node_with(ended).await;
    sleep(SOON).await;
    let state = node.shared.me.state();
    assert!(state.me != life(0, 1) && state.ended.is_none() && state.has_left);
}
