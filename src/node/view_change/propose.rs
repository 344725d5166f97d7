//! Proposes the next view: asks the members of the view before, and does what the register's rules say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout_at};

use crate::names::{Epoch, Member, NodeId};
use crate::node::commit::handle::log_unstored;
use crate::node::limits::ASK_LIMIT;
use crate::node::view_change::ViewChanges;
use crate::protocol::placement::View;
use crate::protocol::view_change::{Ballot, Electorate, Next, Proposal, Vote};
use crate::wire::SharedView;
use crate::wire::peer::{Answer, Known, Question, Start};

/// How long one phase of one attempt may take.
const PHASE_LIMIT: Duration = Duration::from_millis(700);

/// How long a change is proposed before it is given up.
const PROPOSE_LIMIT: Duration = Duration::from_secs(5);

/// Why no view was chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProposeError {
    #[error("not enough members answer to decide a view change; silent: {0:?}")]
    NoMajority(BTreeSet<NodeId>),
    /// A voter knows a newer view; it has been learned.
    #[error("the view has moved on")]
    MovedOn,
}

/// A voter and its answer; none if it was silent.
type Said = (NodeId, Option<(Answer, Option<Member>)>);

impl ViewChanges {
    /// Has a view chosen for `epoch`, the next on the line of the view before: `wanted`, or one that an
    /// earlier attempt may have had chosen. A view decided without a quorum begins a line of its own.
    pub(crate) async fn propose(
        &self,
        epoch: Epoch,
        before: Option<&View>,
        electorate: &Electorate,
        wanted: &View,
    ) -> Result<Arc<View>, ProposeError> {
        self.propose_by_force(&BTreeSet::new(), None, epoch, before, electorate, wanted)
            .await
    }

    /// The same by force: the disks of the nodes in `given_up` count as lost. Does not wait for the removed
    /// node if it is gone and the only one that does not vote.
    pub(crate) async fn propose_by_force(
        &self,
        given_up: &BTreeSet<NodeId>,
        removed: Option<&NodeId>,
        epoch: Epoch,
        before: Option<&View>,
        electorate: &Electorate,
        wanted: &View,
    ) -> Result<Arc<View>, ProposeError> {
        let deadline = Instant::now() + PROPOSE_LIMIT;
        let mut round = 1;
        loop {
            let node = self.shared.me.node.clone();
            let ballot = Ballot {
                round,
                proposer: node,
                attempt: self.shared.me.world.random(),
            };
            let mut attempt = Proposal::new(epoch, ballot, electorate.clone());
            for node in given_up {
                attempt.lost_its_disk(node.clone());
            }
            let silent = match self.attempt(&mut attempt, removed, before, wanted).await? {
                Ok(view) => return Ok(view),
                Err(silent) => silent,
            };
            let is_outbid = attempt.outbid_by().is_some();
            if Instant::now() >= deadline || self.is_only_gone(&silent, removed) && !is_outbid {
                return Err(ProposeError::NoMajority(silent));
            }
            round = attempt
                .outbid_by()
                .map_or(round, |outbid| outbid + 1)
                .max(round + 1);
            // Rivals draw different pauses, so one of them gets through.
            sleep(Duration::from_millis(20 + self.shared.me.world.random() % 150)).await;
        }
    }

    /// True if only the node to be removed is silent, and it is gone.
    fn is_only_gone(&self, silent: &BTreeSet<NodeId>, removed: Option<&NodeId>) -> bool {
        silent.len() == 1 && removed.is_some_and(|node| silent.contains(node) && self.is_gone(node))
    }

    /// One attempt with both phases: the chosen view, or the nodes that did not answer.
    async fn attempt(
        &self,
        attempt: &mut Proposal,
        removed: Option<&NodeId>,
        before: Option<&View>,
        wanted: &View,
    ) -> Result<Result<Arc<View>, BTreeSet<NodeId>>, ProposeError> {
        let (epoch, ballot) = (attempt.epoch, attempt.ballot.clone());
        let ask = |start| Question::Promise {
            epoch,
            ballot: ballot.clone(),
            start,
        };
        let next = match self.ask_voters(attempt, removed, before, ask).await? {
            Ok(next) => next,
            Err(silent) => return Ok(Err(silent)),
        };
        let Next::Propose {
            earlier,
            raise_generation,
        } = next
        else {
            return Ok(Err(BTreeSet::new()));
        };
        let mut view = earlier.map_or_else(|| wanted.clone(), |earlier| (*earlier).clone());
        // An earlier attempt may have forked already.
        let line = before.map_or(Epoch::NONE, |before| before.epoch).line();
        if raise_generation && view.epoch.line() == line {
            view.fork(self.shared.me.world.random(), self.shared.me.time().likely_ms);
        }
        let view = Arc::new(view);
        attempt.begin_accepting(Arc::clone(&view));
        let ask = |start| Question::Accept {
            epoch,
            ballot: ballot.clone(),
            view: SharedView(Arc::clone(&view)),
            start,
        };
        Ok(match self.ask_voters(attempt, removed, before, ask).await? {
            Ok(Next::Chosen(view)) => Ok(view),
            Ok(_) => Err(BTreeSet::new()),
            Err(silent) => Err(silent),
        })
    }

    /// Asks every voter until the attempt can go on; otherwise returns the voters that have not answered.
    async fn ask_voters(
        &self,
        attempt: &mut Proposal,
        removed: Option<&NodeId>,
        before: Option<&View>,
        question: impl Fn(Option<Start>) -> Question,
    ) -> Result<Result<Next, BTreeSet<NodeId>>, ProposeError> {
        let start = before.is_none().then(|| self.shared.start.clone());
        let voters = attempt.electorate().voters.clone();
        let mut silent = voters.clone();
        let deadline = Instant::now() + PHASE_LIMIT;
        let mut asked: FuturesUnordered<_> = voters
            .into_iter()
            .map(|node| self.ask_voter(node, question(start.clone())))
            .collect();
        while !self.is_only_gone(&silent, removed)
            && let Ok(Some((node, said))) = timeout_at(deadline, asked.next()).await
        {
            let Some((answer, member)) = said else { continue };
            silent.remove(&node);
            let next = match (answer, member) {
                (Answer::Met { known, .. }, _) => {
                    self.learn(known).await;
                    return Err(ProposeError::MovedOn);
                }
                // Only the voter's own word counts, for a vote as for a lost disk.
                (Answer::Voted { by, .. }, Some(peer)) if by != peer => Next::Wait,
                (Answer::Voted { by, .. }, _)
                    if before
                        .is_some_and(|view| view.is_member(&by) == attempt.electorate().of_later_lives) =>
                {
                    attempt.lost_its_disk(node)
                }
                (Answer::Voted { vote, .. }, _) => attempt.voted(node, vote),
                _ => Next::Wait,
            };
            if next != Next::Wait {
                return Ok(Ok(next));
            }
        }
        Ok(Err(silent))
    }

    async fn ask_voter(&self, node: NodeId, question: Question) -> Said {
        if node == self.shared.me.node {
            let me = self.shared.me.member();
            let answer = match question {
                Question::Promise { epoch, ballot, start } => self.answer_promise(epoch, ballot, start).await,
                Question::Accept {
                    epoch,
                    ballot,
                    view,
                    start,
                } => self.answer_accept(epoch, ballot, view.0, start).await,
                _ => Answer::Noted,
            };
            return (node, Some((answer, Some(me))));
        }
        let said = self
            .shared
            .peers
            .call_known(&node, question, PHASE_LIMIT)
            .await
            .ok();
        (node, said.map(|(answer, member)| (answer, Some(member))))
    }

    /// True if the view of this epoch lists the proposer on its word: no view lists its life yet.
    pub(crate) fn takes_proposers_word(&self, epoch: Epoch) -> bool {
        let state = self.shared.me.state();
        state.newest().is_none() || state.votes_after_all_ended(epoch)
    }

    /// True if a call to the proposer's name reaches the proposer: another process may have that name.
    pub(crate) async fn is_reached_by_its_name(&self, proposer: &Member) -> bool {
        let answer = self
            .shared
            .peers
            .call_member(proposer, Question::Ping, ASK_LIMIT)
            .await;
        answer.is_ok()
    }

    pub(crate) async fn answer_promise(&self, epoch: Epoch, ballot: Ballot, start: Option<Start>) -> Answer {
        match self.instead_of_vote(epoch, start) {
            Some(answer) => answer,
            None => self.voted(self.shared.commit.promise(epoch, ballot).await),
        }
    }

    pub(crate) async fn answer_accept(
        &self,
        epoch: Epoch,
        ballot: Ballot,
        view: Arc<View>,
        start: Option<Start>,
    ) -> Answer {
        if view.epoch.number() != epoch.number() {
            return self.voted(Vote::NotVoting);
        }
        self.shared.me.accepted.note(Arc::clone(&view));
        match self.instead_of_vote(epoch, start) {
            Some(answer) => answer,
            None => self.voted(self.shared.commit.accept(epoch, ballot, view).await),
        }
    }

    /// The answer to a proposer for which this node does not vote: the proposer was started with other
    /// settings, or lacks a view that this node knows.
    fn instead_of_vote(&self, epoch: Epoch, start: Option<Start>) -> Option<Answer> {
        // Nodes that were started with another K or VIEW take no part in each other's first view.
        if start.is_some_and(|start| start != self.shared.start) {
            return Some(self.voted(Vote::NotVoting));
        }
        let knows_more = self
            .shared
            .me
            .state()
            .newest()
            .is_some_and(|view| view.epoch >= epoch);
        knows_more.then(|| self.meet_answer())
    }

    /// Who this node is, and what it knows.
    pub(crate) fn meet_answer(&self) -> Answer {
        Answer::Met {
            by: self.shared.me.member(),
            start: self.shared.start.clone(),
            known: self.known(),
            left: self.shared.me.state().left_behind(),
        }
    }

    pub(crate) fn voted(&self, vote: Vote) -> Answer {
        Answer::Voted {
            by: self.shared.me.member(),
            vote,
        }
    }

    /// The views of epochs that are not closed, in the form sent to peers.
    pub(crate) fn known(&self) -> Known {
        let state = self.shared.me.state();
        let views = state
            .views
            .values()
            .map(|view| SharedView(Arc::clone(view)))
            .collect();
        Known {
            views,
            lost: state
                .lost
                .values()
                .map(|lost| SharedView(Arc::clone(&lost.view)))
                .collect(),
            closed: state.closed.clone(),
            active: state.active,
        }
    }

    /// Takes note of views, durably.
    pub(crate) async fn learn(&self, known: Known) {
        if !self.may_follow(&known) {
            return;
        }
        log_unstored("what views there are", self.shared.commit.learn(known).await);
    }
}
