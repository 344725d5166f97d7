//! Tracks lines of views that were given up, and what clients that saw them depend on.
//!
//! A decision without a quorum forks the line of views. While the network is cut, both lines serve. When they
//! meet, the higher one counts, and the members of the other hand over what they wrote there as new writes. A
//! client that saw the lost line depends on those writes under dots that mean nothing any more. So it depends
//! on *everything* of the lost line up to the epoch that it saw. That entry of its own kind is covered where
//! each member that owned the slot on that line has handed over, or has nothing to hand over.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ReplicaState;
use super::replica_state::Region;
use super::serve::Scope;
use crate::names::{Dot, Epoch, Member, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::causality::Payload;
use crate::protocol::placement::{Removal, View};

/// A view of a line that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub view: Arc<View>,
    /// When this node learned of it; 0 until [`ReplicaState::date_lost`] sets it.
    pub noted_ms: u64,
    /// True if no member waits any more for what was written there.
    pub is_over: bool,
}

impl ReplicaState {
    /// True if the epoch is in the history of the active view, or is the active one.
    pub fn has(&self, epoch: Epoch) -> bool {
        epoch == self.active || self.view().is_some_and(|view| view.has(epoch))
    }

    /// True if an epoch is compared with ours by its number: it is of our line, or may be that of the
    /// next view.
    pub fn is_of_our_line(&self, epoch: Epoch) -> bool {
        epoch.line() == self.active.line() || epoch > self.active || self.has(epoch)
    }

    /// Takes note of a view that is not in the history of ours. True if that is news.
    pub(super) fn note_lost(&mut self, view: &Arc<View>) -> bool {
        if self.lost.contains_key(&view.epoch) {
            return false;
        }
        let lost = Lost {
            view: Arc::clone(view),
            noted_ms: 0,
            is_over: false,
        };
        self.lost.insert(view.epoch, lost);
        true
    }

    /// Dates the views of lost lines that were noted since the last call.
    pub fn date_lost(&mut self, now_ms: u64) {
        let undated = self.lost.values_mut().filter(|lost| lost.noted_ms == 0);
        undated.for_each(|lost| lost.noted_ms = now_ms);
    }

    /// Stops waiting for what was written in these epochs of lost lines. True if that is news.
    pub fn give_up_lost(&mut self, epochs: impl IntoIterator<Item = Epoch>) -> bool {
        epochs.into_iter().fold(false, |news, epoch| {
            let lost = self.lost.get_mut(&epoch);
            news | lost.is_some_and(|lost| !std::mem::replace(&mut lost.is_over, true))
        })
    }

    /// The members that served a lost line that is not over: readers may wait for what they wrote there.
    pub fn owners_of_lost(&self) -> impl Iterator<Item = Member> {
        let open = self.lost.values().filter(|lost| !lost.is_over);
        open.flat_map(|lost| lost.view.members())
    }

    /// The epochs of lost lines from which this member waits for nothing, in any of its slots.
    pub fn does_not_await_lost(&self) -> impl Iterator<Item = Epoch> {
        let is_through = |epoch: &Epoch| {
            let mut regions = self.regions.iter();
            regions.all(|region| self.is_through_with(region, *epoch, Scope::Slots(&region.slots)))
        };
        self.lost.keys().copied().filter(is_through)
    }

    /// Replaces what a payload depends on in other lines by *everything* of the last epoch that it saw
    /// there. Epochs of two lines are not compared, so none may be left to stand for both.
    pub(super) fn name_lost(&self, payload: &mut Payload) {
        let is_ours = |epoch: Epoch| self.is_of_our_line(epoch);
        if is_ours(payload.epoch) && payload.entries.iter().all(|dot| is_ours(dot.log.epoch)) {
            return;
        }
        if planted::is(Fault::LostLinesCompared) {
            return;
        }
        if !is_ours(payload.epoch) {
            payload.entries.raise(Dot::everything_of(payload.epoch));
            payload.epoch = self.active;
        }
        let lost_epoch = |dot: Dot| {
            let lost = self
                .lost_with(dot.log.epoch)
                .filter(|_| !is_ours(dot.log.epoch))?;
            Some(lost.view.epoch)
        };
        let lost: BTreeSet<Epoch> = payload.entries.iter().filter_map(lost_epoch).collect();
        payload.entries.retain(|dot| lost_epoch(dot).is_none());
        for epoch in &lost {
            // Later views of a line have the earlier ones in their history.
            let is_last = !lost
                .iter()
                .any(|other| other.line() == epoch.line() && other > epoch);
            if is_last {
                payload.entries.raise(Dot::everything_of(*epoch));
            }
        }
    }

    /// The known view of a lost epoch, or the first later one of its line: a node that is added to a
    /// view never learns of those before.
    pub(super) fn lost_with(&self, epoch: Epoch) -> Option<&Lost> {
        let later = || self.lost.values().find(|lost| lost.view.has(epoch));
        self.lost.get(&epoch).or_else(later)
    }

    /// True if an entry stands for everything of an epoch that is in our history after all, or of a lost line
    /// that is over.
    pub(super) fn is_past(&self, dot: Dot) -> bool {
        let epoch = dot.log.epoch;
        dot.is_everything() && (self.has(epoch) || self.lost_with(epoch).is_some_and(|lost| lost.is_over))
    }

    /// True if no more writes can come from a lost line up to this epoch, as far as they concern the
    /// read. False if the epoch is not known here.
    pub(super) fn is_through_with(&self, region: &Region, epoch: Epoch, scope: Scope<'_>) -> bool {
        let Some(lost) = self.lost_with(epoch) else {
            return false;
        };
        let of_line = self.lost.values().filter(|other| lost.view.has(other.view.epoch));
        let mut owners = of_line.flat_map(|other| scope.owners_in(&other.view));
        lost.is_over || !owners.any(|owner| self.awaits_of_lost(region, &owner))
    }

    /// True if a member that served a lost line may still hand over what it wrote there.
    fn awaits_of_lost(&self, region: &Region, owner: &Member) -> bool {
        let (id, Some(view)) = (owner.id(), self.view()) else {
            return true;
        };
        if *owner == self.me || region.sources.contains(&id) {
            return false;
        }
        // A member that our view lists in that very life never served the other line. What it wrote
        // before is here once it was heard, or once every earlier epoch is closed, which clears `heard`.
        if view.is_member(owner) {
            return self.closed.below != self.active && !region.heard.contains(&id);
        }
        // A removal by force gave up what the member took on our line only: it knew nothing of the other one.
        let speaks = |(_, removal): &(MemberId, &Removal)| {
            removal.speaks_of_lost_lines() || planted::is(Fault::GivenUpOnEveryLine)
        };
        let mut noted = self.removals_of(id).filter(speaks).peekable();
        if noted.peek().is_some() {
            return noted.any(|(name, removal)| self.awaits(region, name, removal));
        }
        // It lost its disk, left nothing behind, or has not announced yet what it left behind.
        let is_gone = view.member(&owner.node).is_some() || self.expired.contains(&id);
        !(is_gone && self.has_heard_all(region))
    }
}
