//! One register for each epoch, written once with its view: single-decree Paxos (Lamport, Paxos Made
//! Simple, 2001; Lamport, Malkhi, Zhou, Vertical Paxos, PODC 2009).
//!
//! The register of epoch *t* belongs to the members of the previous view, and holds the view of epoch
//! *t*. There is no leader: any node may propose a change, with its own ballot. A promise or an
//! acceptance must be durable before it is answered (I10); the caller stores it between [`Acceptor`]'s
//! decision and the reply.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::names::{Epoch, NodeId};
use crate::planted::{self, Fault};
use crate::protocol::placement::{View, is_quorum_of};

/// The number of an attempt, never used for two values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    pub round: u64,
    pub proposer: NodeId,
    /// Drawn for each attempt: a proposer that restarts and forgets its proposal must not propose
    /// another value under the same number.
    pub attempt: u64,
}

/// What a member has promised and accepted in the register of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acceptor {
    pub promised: Option<Ballot>,
    pub accepted: Option<(Ballot, Arc<View>)>,
}

/// What a member has promised and accepted, by epoch.
pub type Acceptors = BTreeMap<Epoch, Acceptor>;

/// A member's answer to a proposer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vote {
    /// Will take no lower ballot; `accepted` is what it has accepted before.
    Promised {
        accepted: Option<(Ballot, Arc<View>)>,
    },
    Accepted,
    /// Has promised a higher ballot.
    Outbid {
        promised: Ballot,
    },
    /// Does not vote in this register: it is not one of its members, or the previous epoch is not its
    /// active one.
    NotVoting,
}

impl Acceptor {
    /// Phase one. The promise must be durable before it is answered.
    pub fn promise(&mut self, ballot: &Ballot) -> Vote {
        if let Some(promised) = self.promised.as_ref().filter(|promised| *promised > ballot) {
            return Vote::Outbid {
                promised: promised.clone(),
            };
        }
        if !planted::is(Fault::PromisesForgotten) {
            self.promised = Some(ballot.clone());
        }
        Vote::Promised {
            accepted: self.accepted.clone(),
        }
    }

    /// Phase two. The acceptance must be durable before it is answered.
    pub fn accept(&mut self, ballot: &Ballot, view: &Arc<View>) -> Vote {
        if let Some(promised) = self.promised.as_ref().filter(|promised| *promised > ballot) {
            return Vote::Outbid {
                promised: promised.clone(),
            };
        }
        self.promised = Some(ballot.clone());
        self.accepted = Some((ballot.clone(), Arc::clone(view)));
        Vote::Accepted
    }
}

/// The nodes that may vote in a register, and how many votes decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Electorate {
    /// Every node that the previous view lists.
    pub nodes: BTreeSet<NodeId>,
    /// The nodes that are members, and so can vote at all.
    pub voters: BTreeSet<NodeId>,
    /// Every life that the previous view lists has ended: later lives of all these nodes vote, and only
    /// all of them together can decide.
    pub of_later_lives: bool,
}

impl Electorate {
    /// The members of `view`, for the register of the epoch after it.
    pub fn of(view: &View) -> Self {
        Self {
            nodes: view.nodes().cloned().collect(),
            voters: view.members().map(|member| member.node).collect(),
            of_later_lives: false,
        }
    }

    /// The nodes of the members of `view`, whose listed lives have all ended.
    pub fn of_later_lives(view: &View) -> Self {
        Self {
            of_later_lives: true,
            ..Self::of(view)
        }
    }

    /// The nodes of `VIEW`, for the first view: there is no view yet that could list incarnations.
    pub fn of_first_view(nodes: &BTreeSet<NodeId>) -> Self {
        Self {
            nodes: nodes.clone(),
            voters: nodes.clone(),
            of_later_lives: false,
        }
    }

    /// True if `agreeing` can decide: a majority of the nodes, or half of them with the smallest. Where
    /// lost disks make that impossible, all other voters together decide.
    pub fn decides(&self, agreeing: &BTreeSet<NodeId>, lost: &BTreeSet<NodeId>) -> bool {
        if self.of_later_lives {
            return self.voters.is_subset(agreeing);
        }
        is_quorum_of(agreeing, &self.nodes) || self.decides_without(agreeing, lost)
    }

    fn decides_without(&self, agreeing: &BTreeSet<NodeId>, lost: &BTreeSet<NodeId>) -> bool {
        let others: BTreeSet<_> = self.voters.difference(lost).cloned().collect();
        !others.is_empty() && !is_quorum_of(&others, &self.nodes) && others.is_subset(agreeing)
    }

    /// True if a decision is possible only because disks were lost. It needs a higher generation, to
    /// outrank any decision of the lost voters.
    pub fn needs_generation(&self, lost: &BTreeSet<NodeId>) -> bool {
        if self.of_later_lives {
            return true;
        }
        let others: BTreeSet<_> = self.voters.difference(lost).cloned().collect();
        !is_quorum_of(&others, &self.nodes)
    }
}

/// One attempt to have a view chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    pub epoch: Epoch,
    pub ballot: Ballot,
    electorate: Electorate,
    phase: Phase,
    agreeing: BTreeSet<NodeId>,
    lost: BTreeSet<NodeId>,
    earlier: BTreeMap<Ballot, Arc<View>>,
    outbid_by: Option<u64>,
    /// True if the view in phase two carries a raised generation: less than a quorum may choose only
    /// such a view.
    is_raised: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Preparing,
    Accepting(Arc<View>),
    Chosen(Arc<View>),
}

/// The proposer's next step after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// More answers are needed.
    Wait,
    /// Enough voters have promised: ask all to accept `earlier`, which may have been chosen. `None`: the
    /// proposer's own view, with the generation raised if `raise_generation`.
    Propose {
        earlier: Option<Arc<View>>,
        raise_generation: bool,
    },
    /// The view is chosen, for ever.
    Chosen(Arc<View>),
}

impl Proposal {
    pub fn new(epoch: Epoch, ballot: Ballot, electorate: Electorate) -> Self {
        Self {
            epoch,
            ballot,
            electorate,
            phase: Phase::Preparing,
            agreeing: BTreeSet::new(),
            lost: BTreeSet::new(),
            earlier: BTreeMap::new(),
            outbid_by: None,
            is_raised: false,
        }
    }

    pub fn electorate(&self) -> &Electorate {
        &self.electorate
    }

    /// The round that outbid this attempt, if one did.
    pub fn outbid_by(&self) -> Option<u64> {
        self.outbid_by
    }

    /// Notes that the node answered this proposer with an incarnation that the view does not list: its
    /// disk is lost, and its promises with it. Hearsay does not count.
    pub fn lost_its_disk(&mut self, node: NodeId) -> Next {
        self.lost.insert(node);
        self.next()
    }

    /// Takes a vote; votes of an earlier phase are ignored.
    pub fn voted(&mut self, node: NodeId, vote: Vote) -> Next {
        if !self.electorate.voters.contains(&node) {
            return Next::Wait;
        }
        match (&self.phase, vote) {
            (Phase::Preparing, Vote::Promised { accepted }) => {
                self.earlier.extend(accepted);
                self.agreeing.insert(node);
                self.next()
            }
            (Phase::Accepting(_), Vote::Accepted) => {
                self.agreeing.insert(node);
                self.next()
            }
            (_, Vote::Outbid { promised }) => {
                self.outbid_by = self.outbid_by.max(Some(promised.round));
                Next::Wait
            }
            _ => Next::Wait,
        }
    }

    /// Begins phase two with `view`: the earlier one if there was any, else the proposer's own.
    pub fn begin_accepting(&mut self, view: Arc<View>) {
        self.agreeing.clear();
        self.phase = Phase::Accepting(view);
    }

    fn next(&mut self) -> Next {
        if !self.may_go_on() {
            return Next::Wait;
        }
        match &self.phase {
            Phase::Preparing => {
                self.is_raised = self.electorate.needs_generation(&self.lost);
                Next::Propose {
                    earlier: self.earlier.last_key_value().map(|(_, view)| Arc::clone(view)),
                    raise_generation: self.is_raised,
                }
            }
            Phase::Accepting(view) => {
                let view = Arc::clone(view);
                self.phase = Phase::Chosen(Arc::clone(&view));
                Next::Chosen(view)
            }
            Phase::Chosen(view) => Next::Chosen(Arc::clone(view)),
        }
    }

    fn may_go_on(&self) -> bool {
        if self.phase == Phase::Preparing || self.is_raised {
            self.electorate.decides(&self.agreeing, &self.lost)
        } else {
            // If disks are lost in phase two, another attempt must raise the generation first.
            is_quorum_of(&self.agreeing, &self.electorate.nodes)
        }
    }
}
