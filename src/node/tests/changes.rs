//! Which answers count in a view change: votes, progress reports, and the name of a node to add.

use std::collections::{BTreeSet, VecDeque};

use parking_lot::Mutex;

use super::rig::{Actor, first_view, idle, life, listed_and_stranger, node_with, start};
use crate::names::{Epoch, Member};
use crate::node::{RequestKind, ViewRefusal, ViewRequest};
use crate::protocol::placement::next;
use crate::protocol::replication::Closed;
use crate::protocol::view_change::{Electorate, Phase, Report, Vote};
use crate::wire::peer::{Answer, Known, Question};

fn report(by: &Member) -> Report {
    Report {
        by: by.id(),
        active: Epoch::FIRST,
        sealed: Epoch(2),
        knows: true,
        copied: true,
        keys_moved: 0,
        keys_to_go: 0,
        through_with: BTreeSet::new(),
    }
}

/// The driver makes a giver of a member that reports to be sealed.
#[tokio::test(start_paused = true)]
async fn a_report_counts_for_the_member_that_made_it() {
    let [listed, stranger] = listed_and_stranger();
    for (peer, by, counts) in [
        (&listed, &listed, true),
        (&stranger, &listed, false),
        (&listed, &stranger, false),
    ] {
        let state = first_view(2, 2);
        let view = next::admit(state.view().expect("is active"), &[]);
        let (node, cast) = node_with(state).await;
        let said = report(by);
        let reports = move |question: &Question| match question {
            Question::Order { .. } => Some(Answer::Report(said.clone())),
            other => idle(other),
        };
        cast.puts(Actor::new(peer, reports), &peer.node);
        node.view_changes.drive(view.into()).await;
        let is_giver = cast.asked.lock().iter().any(|asked| match asked {
            Question::Order { order, .. } => {
                order.phase == Phase::HandOver && order.givers.contains(&listed.id())
            }
            _ => false,
        });
        assert_eq!(is_giver, counts, "{peer:?} by {by:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_vote_counts_for_the_member_that_cast_it() {
    let [listed, stranger] = listed_and_stranger();
    for (peer, by, counts) in [
        (&listed, &listed, true),
        (&listed, &life(2, 1), false),
        (&stranger, &listed, false),
    ] {
        let state = first_view(3, 3);
        let before = state.view().expect("is active").clone();
        let (node, cast) = node_with(state).await;
        let by = by.clone();
        let votes = move |question: &Question| {
            let by = by.clone();
            match question {
                Question::Promise { .. } => Some(Answer::Voted {
                    by,
                    vote: Vote::Promised { accepted: None },
                }),
                Question::Accept { .. } => Some(Answer::Voted {
                    by,
                    vote: Vote::Accepted,
                }),
                other => idle(other),
            }
        };
        cast.puts(Actor::new(peer, votes), &peer.node);
        let wanted = next::admit(&before, &[]);
        let electorate = Electorate::of(&before);
        let chosen = node
            .view_changes
            .propose(Epoch(2), Some(&before), &electorate, &wanted)
            .await;
        assert_eq!(chosen.is_ok(), counts, "{peer:?}");
    }
}

fn met(by: &Member) -> Answer {
    Answer::Met {
        by: by.clone(),
        start: start(),
        known: Known {
            views: Vec::new(),
            lost: Vec::new(),
            closed: Closed::default(),
            active: Epoch::NONE,
        },
        left: Vec::new(),
    }
}

/// Asks to add node 1, at whose address a node greets as `peer`. That node names the lives in `said` one
/// after the other, and then stays with the last.
async fn added(peer: &Member, said: &[&Member]) -> Result<(), ViewRefusal> {
    let (node, cast) = node_with(first_view(1, 1)).await;
    let lives = Mutex::new(said.iter().map(|by| met(by)).collect::<VecDeque<_>>());
    let meets = move |question: &Question| match question {
        Question::Meet => {
            let mut lives = lives.lock();
            if lives.len() > 1 {
                lives.pop_front()
            } else {
                lives.front().cloned()
            }
        }
        other => idle(other),
    };
    cast.puts(Actor::new(peer, meets), &life(1, 1).node);
    let request = ViewRequest {
        node: life(1, 1).node,
        kind: RequestKind::Add,
        dry_run: true,
    };
    node.view_changes.change_view(request).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn a_node_is_added_under_the_name_by_which_it_answers() {
    let [one, other] = listed_and_stranger();
    assert_eq!(added(&one, &[&one]).await, Ok(()));
    assert!(added(&one, &[&other]).await.is_err());
    // Another life began while it was asked.
    assert_eq!(added(&one, &[&other, &one]).await, Ok(()));
    let text = added(&life(2, 1), &[&life(2, 1)])
        .await
        .expect_err("is refused")
        .to_string();
    assert!(
        text.contains("n1:80 cannot be added: the node there calls itself n2:80"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_lost_its_disk_is_not_counted_on_for_what_it_held() {
    for (peer, is_there) in listed_and_stranger().into_iter().zip([true, false]) {
        let (node, cast) = node_with(first_view(2, 1)).await;
        cast.puts(Actor::new(&peer, idle), &peer.node);
        let request = ViewRequest {
            node: peer.node.clone(),
            kind: RequestKind::Remove { force: false },
            dry_run: false,
        };
        let removed = node.view_changes.change_view(request).await;
        let is_refused = matches!(removed, Err(ViewRefusal::WouldLoseData { .. }));
        assert_eq!(is_refused, !is_there, "{peer:?}: {removed:?}");
    }
}
