//! Drives a view change: decides which order to send next, and which nodes to wait for.
//!
//! Any node may drive: every step is idempotent, and follows from the nodes' own reports. The driver
//! passes over a silent node, which seals itself when it learns of the view and hands over late. It
//! passes over a dead node that is being removed at once, without waiting for its return.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::names::{Epoch, MemberId, NodeId};
use crate::protocol::placement::View;

/// A node that has been silent for this long before the seal is passed over.
pub const SILENCE_MS: u64 = 2000;

/// The same once members are sealed; shorter, because writes wait. Passing a member over is always safe:
/// it only hands over late.
pub const SEALED_SILENCE_MS: u64 = 400;

/// Once members are sealed, a node that answers but reports nothing new for this long is passed over
/// too: its disk may be stuck, and writes wait.
pub const STUCK_MS: u64 = 5000;

/// The steps of a change, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// New owners copy while the old view serves.
    Copy,
    /// Old members stop taking writes.
    Seal,
    /// New owners take the rest from every sealed member.
    HandOver,
    /// The new view serves.
    Activate,
    Done,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Copy => "copying what moves; the view before serves",
            Self::Seal => "sealing; writes wait for the new view",
            Self::HandOver => "handing over the last records",
            Self::Activate => "the new view begins to serve",
            Self::Done => "done",
        })
    }
}

/// A driver's order to every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub target: Epoch,
    pub phase: Phase,
    /// The sealed members to take from.
    pub givers: BTreeSet<MemberId>,
}

/// A node's answer to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The reporting member: a node that came back empty is not the member that must seal.
    pub by: MemberId,
    pub active: Epoch,
    pub sealed: Epoch,
    /// It knows the view of the change.
    pub knows: bool,
    /// Nothing is left to copy, or there is no member to copy from.
    pub copied: bool,
    /// Keys copied to it, and keys that it knows are still to come.
    pub keys_moved: u64,
    pub keys_to_go: u64,
    /// The givers whose hand-over it took, or found that it cannot take.
    pub through_with: BTreeSet<MemberId>,
}

#[derive(Debug)]
struct Participant {
    /// Its id in the old view, if it is a member there: it must seal.
    giver: Option<MemberId>,
    /// Its id in the new view, if it is a member there: it takes.
    taker: Option<MemberId>,
    heard_ms: u64,
    /// When it last reported something new.
    moved_ms: u64,
    /// Its address refuses connections, and it has not answered since.
    is_dead: bool,
    report: Option<Report>,
}

/// A view change as its driver sees it.
#[derive(Debug)]
pub struct Change {
    target: Epoch,
    phase: Phase,
    phase_began_ms: u64,
    participants: BTreeMap<NodeId, Participant>,
}

impl Change {
    /// The change from `before` to `after`. `silence_ms` says how long each node has been silent.
    pub fn new(
        before: Option<&View>,
        after: &View,
        now_ms: u64,
        silence_ms: impl Fn(&NodeId) -> u64,
    ) -> Self {
        let nodes: BTreeSet<&NodeId> = before
            .into_iter()
            .flat_map(View::nodes)
            .chain(after.nodes())
            .collect();
        let participant = |node: &NodeId| Participant {
            giver: before
                .and_then(|view| view.member(node))
                .map(|member| member.id()),
            taker: after.member(node).map(|member| member.id()),
            heard_ms: now_ms.saturating_sub(silence_ms(node)),
            moved_ms: now_ms,
            is_dead: false,
            report: None,
        };
        let is_member = |one: &Participant| one.giver.is_some() || one.taker.is_some();
        Self {
            target: after.epoch,
            phase: Phase::Copy,
            phase_began_ms: now_ms,
            participants: nodes
                .into_iter()
                .map(|node| (node.clone(), participant(node)))
                .filter(|(_, participant)| is_member(participant))
                .collect(),
        }
    }

    pub fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.participants.keys()
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The order for every node in the present phase.
    pub fn order(&self) -> Order {
        Order {
            target: self.target,
            phase: self.phase,
            givers: self.sealed_givers(),
        }
    }

    /// The nodes that the change waits for.
    pub fn waits_for(&self, now_ms: u64) -> Vec<NodeId> {
        let waiting = self
            .participants
            .iter()
            .filter(|(_, one)| !self.is_through(one, now_ms));
        waiting.map(|(node, _)| node.clone()).collect()
    }

    /// Keys that have moved, and keys that are known to be still to come.
    pub fn keys(&self) -> (u64, u64) {
        let reports = self.participants.values().filter_map(|one| one.report.as_ref());
        reports.fold((0, 0), |(moved, to_go), report| {
            (moved + report.keys_moved, to_go + report.keys_to_go)
        })
    }

    pub fn heard(&mut self, node: &NodeId, report: Report, now_ms: u64) {
        if let Some(participant) = self.participants.get_mut(node) {
            participant.heard_ms = now_ms;
            participant.is_dead = false;
            if participant.report.as_ref() != Some(&report) {
                participant.moved_ms = now_ms;
            }
            participant.report = Some(report);
        }
    }

    /// The node's address refuses connections.
    pub fn refused(&mut self, node: &NodeId) {
        if let Some(participant) = self.participants.get_mut(node) {
            participant.is_dead = true;
        }
    }

    /// Goes on to the next phase if every participant is through with this one or passed over. True if
    /// the phase changed.
    pub fn step(&mut self, now_ms: u64) -> bool {
        let all_through = self.participants.values().all(|one| self.is_through(one, now_ms));
        if self.phase == Phase::Done || !all_through {
            return false;
        }
        self.phase = match self.phase {
            Phase::Copy => Phase::Seal,
            Phase::Seal => Phase::HandOver,
            Phase::HandOver => Phase::Activate,
            Phase::Activate | Phase::Done => Phase::Done,
        };
        self.phase_began_ms = now_ms;
        true
    }

    fn is_through(&self, one: &Participant, now_ms: u64) -> bool {
        if self.is_silent(one, now_ms) || self.is_stuck(one, now_ms) {
            return true;
        }
        let Some(report) = &one.report else { return false };
        let (gives, takes) = (gives(one, report), one.taker == Some(report.by));
        // A node that came back empty is neither the giver nor the taker that it was.
        if report.active >= self.target || !(gives || takes) {
            return true;
        }
        match self.phase {
            Phase::Copy => report.copied,
            Phase::Seal => !gives || report.sealed >= self.target,
            Phase::HandOver => !takes || self.sealed_givers().is_subset(&report.through_with),
            // A member that the new view does not list stops serving when it activates.
            Phase::Activate => false,
            Phase::Done => true,
        }
    }

    /// Once members are sealed, silence counts from the beginning of the phase: a node that answered
    /// just before it still has its time.
    fn is_silent(&self, one: &Participant, now_ms: u64) -> bool {
        // A dead member that stays may be restarting, and takes part if it is back in time.
        if one.is_dead && one.taker.is_none() {
            return true;
        }
        let silence_ms = now_ms.saturating_sub(one.heard_ms);
        match self.phase {
            Phase::Copy => silence_ms >= SILENCE_MS,
            _ => {
                silence_ms >= SEALED_SILENCE_MS
                    && now_ms.saturating_sub(self.phase_began_ms) >= SEALED_SILENCE_MS
                    || silence_ms >= SILENCE_MS
            }
        }
    }

    /// While members are sealed, writes wait, and no node may keep them waiting for ever. (A copy may
    /// take long: the old view serves meanwhile.)
    fn is_stuck(&self, one: &Participant, now_ms: u64) -> bool {
        let since_ms = one.moved_ms.max(self.phase_began_ms);
        self.phase != Phase::Copy && now_ms.saturating_sub(since_ms) >= STUCK_MS
    }

    /// The members that can hand over: sealed, not replaced by a new incarnation, and not yet active in
    /// the new view.
    fn sealed_givers(&self) -> BTreeSet<MemberId> {
        let of_sealed = |one: &Participant| {
            let report = one.report.as_ref()?;
            let is_sealed = report.sealed >= self.target && report.active < self.target;
            one.giver.filter(|_| is_sealed && gives(one, report))
        };
        self.participants.values().filter_map(of_sealed).collect()
    }
}

/// True if this is the member that the old view lists, and it has served a view. A member that is
/// removed before it served one has nothing to hand over and takes no part.
fn gives(one: &Participant, report: &Report) -> bool {
    one.giver == Some(report.by) && report.active != Epoch::NONE
}
