//! A model of the register and two rival proposers. Messages are lost, repeated and overtaken; proposers
//! restart and forget their proposals; acceptors restart with what is on their disks.

use std::hash::{Hash, Hasher};

use stateright::{Model, Property};

use super::*;
use crate::names::Epoch;
use crate::protocol::view_change::{Acceptor, Ballot, Electorate, Next, Proposal, Vote};

/// The rule that is switched off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Planted {
    Nothing,
    /// An acceptor that restarts has not kept what it promised.
    PromisesForgotten,
    /// An acceptor that restarts has not kept what it accepted.
    AcceptancesForgotten,
    /// One rival believes that any half decides.
    HalfIsAQuorum,
    /// A proposer that restarts draws the same attempt.
    BallotsReused,
    /// A proposer insists on its own view.
    EarlierIgnored,
}

/// A view of the model, by the node that it leaves out.
pub(super) type ViewKey = u64;

#[derive(Debug, Clone)]
pub(super) struct Register {
    nodes: Vec<NodeId>,
    electorates: [Electorate; 2],
    views: BTreeMap<ViewKey, Arc<View>>,
    planted: Planted,
    /// How many restarts all proposers have together.
    restarts: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    acceptors: BTreeMap<NodeId, Acceptor>,
    attempts: [Attempt; 2],
    /// Every question that was asked, and every vote that was given. Delivery removes nothing: an
    /// undelivered message is lost, one delivered later is overtaken, one delivered twice is repeated.
    asked: BTreeSet<Question>,
    votes: BTreeSet<GivenVote>,
    chosen: BTreeSet<ViewKey>,
    restarts: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempt {
    proposal: Proposal,
    accepting: Option<ViewKey>,
}

/// Phase one without a view, phase two with one.
pub(super) type Question = (Ballot, Option<ViewKey>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct GivenVote {
    to: Question,
    by: NodeId,
    accepted: Option<(Ballot, ViewKey)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// A question reaches an acceptor.
    Ask(NodeId, Question),
    /// Exactly these votes reach a proposer, and are enough for it to go on. (When each of them arrives
    /// before that makes no difference to the other nodes.)
    GoOn(usize, Vec<GivenVote>),
    /// A proposer restarts and forgets its attempt.
    Propose(usize),
    /// An acceptor restarts and forgets something: impossible with durable votes.
    Forget(NodeId),
}

impl Attempt {
    /// The question whose votes it waits for.
    fn question(&self) -> Question {
        (self.proposal.ballot.clone(), self.accepting)
    }
}

impl Register {
    pub(super) fn new(count: u64, restarts: u64, planted: Planted) -> Self {
        let view = first(count, 0);
        let mut electorates = [Electorate::of(&view), Electorate::of(&view)];
        if planted == Planted::HalfIsAQuorum {
            // As if another node were the smallest.
            electorates[1].nodes = nodes([2, 3, 8, 9]);
        }
        Self {
            nodes: view.nodes().cloned().collect(),
            electorates,
            views: [1, 2].map(|left_out| (left_out, minus(&view, left_out))).into(),
            planted,
            restarts,
        }
    }

    fn attempt(&self, rival: usize, number: u64) -> Attempt {
        let reused = self.planted == Planted::BallotsReused;
        let ballot = Ballot {
            round: 1,
            proposer: node(rival as u64),
            attempt: if reused { 0 } else { number },
        };
        let electorate = self.electorates[rival].clone();
        Attempt {
            proposal: Proposal::new(Epoch(2), ballot, electorate),
            accepting: None,
        }
    }

    /// The rivals want different views, and each restart swaps them.
    fn wanted(rival: usize, restarts: u64) -> ViewKey {
        1 + (rival as u64 + restarts) % 2
    }

    fn ask(&self, state: &mut State, node: NodeId, question: Question) {
        let acceptor = state.acceptors.get_mut(&node).expect("is asked");
        let vote = match &question {
            (ballot, None) => acceptor.promise(ballot),
            (ballot, Some(view)) => acceptor.accept(ballot, &self.views[view]),
        };
        let accepted = match vote {
            Vote::Promised { accepted } => accepted.map(|(ballot, view)| (ballot, key(&view))),
            Vote::Accepted => None,
            Vote::Outbid { .. } | Vote::NotVoting => return,
        };
        state.votes.insert(GivenVote {
            to: question,
            by: node,
            accepted,
        });
    }

    /// The proposer's step when exactly these votes reach it; none unless it needs all of them.
    fn heard(&self, attempt: &Attempt, votes: &[GivenVote]) -> Option<(Proposal, Next)> {
        let mut proposal = attempt.proposal.clone();
        let mut next = Next::Wait;
        for vote in votes {
            if next != Next::Wait {
                return None;
            }
            let accepted = vote.accepted.clone();
            let said = match vote.to.1 {
                Some(_) => Vote::Accepted,
                None => Vote::Promised {
                    accepted: accepted.map(|(ballot, view)| (ballot, Arc::clone(&self.views[&view]))),
                },
            };
            next = proposal.voted(vote.by.clone(), said);
        }
        (next != Next::Wait).then_some((proposal, next))
    }

    fn go_on(&self, state: &mut State, rival: usize, votes: &[GivenVote]) {
        let Some((mut proposal, next)) = self.heard(&state.attempts[rival], votes) else {
            return;
        };
        match next {
            Next::Wait => {}
            Next::Propose { earlier, .. } => {
                let earlier = earlier.filter(|_| self.planted != Planted::EarlierIgnored);
                let view = earlier.map_or_else(|| Self::wanted(rival, state.restarts), |view| key(&view));
                proposal.begin_accepting(Arc::clone(&self.views[&view]));
                state.asked.insert((proposal.ballot.clone(), Some(view)));
                state.attempts[rival] = Attempt {
                    proposal,
                    accepting: Some(view),
                };
            }
            Next::Chosen(view) => {
                state.chosen.insert(key(&view));
            }
        }
    }

    /// Every choice of at most one vote of each node, among the votes on this proposer's question.
    fn choices(state: &State, attempt: &Attempt) -> Vec<Vec<GivenVote>> {
        let question = attempt.question();
        let mut choices: Vec<Vec<GivenVote>> = vec![Vec::new()];
        for node in state.acceptors.keys() {
            let shorter = choices.clone();
            let is_its = |vote: &&GivenVote| vote.by == *node && vote.to == question;
            for vote in state.votes.iter().filter(is_its) {
                let with_it =
                    |choice: &Vec<GivenVote>| [choice.as_slice(), std::slice::from_ref(vote)].concat();
                choices.extend(shorter.iter().map(with_it));
            }
        }
        choices
    }
}

fn key(view: &View) -> ViewKey {
    if view.lists(&node(1)) { 2 } else { 1 }
}

impl Model for Register {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let attempts = [0, 1].map(|rival| self.attempt(rival, 0));
        let asked = attempts
            .iter()
            .map(|attempt| (attempt.proposal.ballot.clone(), None));
        let acceptors = self.nodes.iter().map(|node| (node.clone(), Acceptor::default()));
        vec![State {
            acceptors: acceptors.collect(),
            asked: asked.collect(),
            attempts,
            votes: BTreeSet::new(),
            chosen: BTreeSet::new(),
            restarts: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for question in &state.asked {
            let asked = self.nodes.iter();
            actions.extend(asked.map(|node| Action::Ask(node.clone(), question.clone())));
        }
        for (rival, attempt) in state.attempts.iter().enumerate() {
            let choices = Self::choices(state, attempt).into_iter();
            let enough = choices.filter(|votes| self.heard(attempt, votes).is_some());
            actions.extend(enough.map(|votes| Action::GoOn(rival, votes)));
        }
        if state.restarts < self.restarts {
            actions.extend([0, 1].map(Action::Propose));
        }
        if let Planted::PromisesForgotten | Planted::AcceptancesForgotten = self.planted {
            actions.extend(self.nodes.iter().cloned().map(Action::Forget));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Ask(node, question) => self.ask(&mut state, node, question),
            Action::GoOn(rival, votes) => self.go_on(&mut state, rival, &votes),
            Action::Propose(rival) => {
                state.restarts += 1;
                state.attempts[rival] = self.attempt(rival, state.restarts);
                let ballot = state.attempts[rival].proposal.ballot.clone();
                state.asked.insert((ballot, None));
            }
            Action::Forget(node) => {
                let acceptor = state.acceptors.get_mut(&node).expect("is one");
                acceptor.promised = None;
                if self.planted == Planted::AcceptancesForgotten {
                    acceptor.accepted = None;
                }
            }
        }
        // Votes that no proposer waits for are never read again.
        let [one, other] = state.attempts.each_ref().map(Attempt::question);
        state.votes.retain(|vote| vote.to == one || vote.to == other);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one view", |_, state: &State| state.chosen.len() <= 1),
            Property::sometimes("the first", |_, state: &State| state.chosen.contains(&1)),
            Property::sometimes("the second", |_, state: &State| state.chosen.contains(&2)),
        ]
    }
}

/// Leaves out what a proposal heard in phase one: it decides nothing in phase two.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for acceptor in self.acceptors.values() {
            let accepted = acceptor.accepted.as_ref();
            let accepted = accepted.map(|(ballot, view)| (ballot, key(view)));
            (&acceptor.promised, accepted).hash(hasher);
        }
        for attempt in &self.attempts {
            (&attempt.proposal.ballot, attempt.accepting).hash(hasher);
        }
        (&self.asked, &self.votes, &self.chosen, self.restarts).hash(hasher);
    }
}
