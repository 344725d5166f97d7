//! Tells which removed members and ended lives may still return writes that exist nowhere else, and
//! which slots wait for those.
//!
//! Apart from `replica_state`, because the views say only which members were removed and what they had;
//! each owner must know itself what came back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ReplicaState;
use super::replica_state::Region;
use super::runs::{is_end, run_of};
use crate::names::{Dot, Epoch, Log, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::placement::{Removal, SlotSet, View};

impl ReplicaState {
    /// True if a removed member may return writes of this log that no owner has: then its entries
    /// outlive the closing of their epoch.
    pub(super) fn may_return(&self, log: Log) -> bool {
        self.holders_of(log).next().is_some() && !planted::is(Fault::RemovedForgottenAtClosing)
    }

    /// The removed members that may return what they hold of a log, with the slots that it concerns.
    pub(super) fn holders_of(&self, log: Log) -> impl Iterator<Item = (MemberId, &SlotSet)> {
        let holders = self.view().into_iter().flat_map(move |view| view.holders_of(log));
        holders.filter(|(id, _)| !self.settled.contains(id))
    }

    /// The removed members that this one does not wait for: it owns nothing that they kept, or has it
    /// already.
    pub fn does_not_await(&self) -> BTreeSet<MemberId> {
        let removed = self.view().into_iter().flat_map(|view| &view.removed);
        let may_bring = |region: &Region, removal: &Removal| {
            let mut kept = removal.logs.values();
            kept.any(|slots| !slots.intersection(&region.slots).is_empty())
        };
        let is_done = |id: MemberId, removal: &Removal| {
            let mut concerned = self.regions.iter().filter(|region| may_bring(region, removal));
            !concerned.any(|region| self.awaits(region, id, removal))
        };
        let done = removed.filter(|(id, removal)| is_done(**id, removal));
        done.map(|(id, _)| *id).collect()
    }

    /// True if something that a removed member kept may still arrive. If the member is given up, other
    /// owners may have taken something before.
    pub(super) fn awaits(&self, region: &Region, id: MemberId, removal: &Removal) -> bool {
        if removal.given_up {
            !self.has_heard_all(region)
        } else {
            self.is_awaited(region, id)
        }
    }

    /// True if an entry of a closed epoch is of a later run than the closing names, written on a disk
    /// that went back in time. It counts until that life has ended, and what it left behind has come or
    /// is given up.
    pub(super) fn is_of_later_run(&self, dot: Dot) -> bool {
        let life = dot.log.member;
        let runs = self.closed.runs.get(&life);
        if runs.is_none_or(|run| run_of(dot.number) <= *run) || planted::is(Fault::RunsNotNamed) {
            return false;
        }
        let mut removals = self.removals_of(life);
        self.lists(life) || removals.any(|(name, _)| !self.settled.contains(&name))
    }

    /// The same, as far as it concerns the region: no member knows any more what a listed life owned in
    /// that epoch.
    pub(super) fn awaits_later_run(&self, region: &Region, dot: Dot) -> bool {
        let life = dot.log.member;
        let mut removals = self.removals_of(life);
        self.lists(life) || removals.any(|(name, removal)| self.awaits(region, name, removal))
    }

    /// True if the active view lists this life.
    pub(super) fn lists(&self, life: MemberId) -> bool {
        self.view().is_some_and(|view| view.member_by_id(life).is_some())
    }

    /// True if payloads may still have this entry: its epoch is not closed, or the entry is of a later run.
    pub fn is_still_named(&self, dot: Dot) -> bool {
        !self.is_closed(dot.log.epoch) || self.is_of_later_run(dot)
    }

    /// The removals under which a life is awaited: its own, and those of what it left behind for later
    /// lives of its node.
    pub(super) fn removals_of(&self, life: MemberId) -> impl Iterator<Item = (MemberId, &Removal)> {
        let removed = self.view().into_iter().flat_map(|view| &view.removed);
        let is_of_it =
            move |(name, removal): &(&MemberId, &Removal)| **name == life || removal.left_by == Some(life);
        removed.filter(is_of_it).map(|(name, removal)| (*name, removal))
    }

    /// True if the members wait for what an unlisted life had of these slots: it returns that when it is
    /// back, unless it is given up.
    pub(super) fn awaits_life(&self, region: &Region, life: MemberId) -> bool {
        let mut removals = self.removals_of(life).filter(|(_, removal)| !removal.given_up);
        removals.any(|(name, _)| self.is_awaited(region, name))
    }

    /// True if an unlisted life has handed over what it had of these slots, before its removal or since.
    pub(super) fn is_back(&self, region: &Region, life: MemberId) -> bool {
        let mut removals = self.removals_of(life);
        region.sources.contains(&life) || removals.any(|(name, _)| region.sources.contains(&name))
    }

    /// Takes note that no owner waits for these removed members any more. True if that is news.
    pub fn settle_removals(&mut self, removed: &BTreeSet<MemberId>) -> bool {
        let news = !removed.is_subset(&self.settled);
        self.settled.extend(removed);
        if news {
            self.forget_closed();
        }
        news
    }

    /// True if the node of a removed member is listed again, with an empty disk. The removal of what an
    /// earlier life left behind does not count.
    fn is_replaced(&self, removed: MemberId) -> bool {
        let is_listed = |view: &Arc<View>| {
            let removal = view
                .removed
                .get(&removed)
                .filter(|removal| removal.left_by.is_none());
            removal.is_some_and(|removal| view.lists(&removal.node))
        };
        self.view().is_some_and(is_listed)
    }

    /// True if a removed member handed these slots over after it was sealed for the view that took them
    /// away, to this member or to others that passed them on: for each slot, the last log in which the
    /// removed member owned it is complete here.
    fn was_handed_over(&self, region: &Region, removed: MemberId) -> bool {
        let removal = self.view().and_then(|view| view.removed.get(&removed));
        // A life that ended while its node ran was never sealed for a view that took its slots away.
        let Some(removal) = removal.filter(|removal| removal.left_by.is_none()) else {
            return false;
        };
        let mut rest = region.slots.clone();
        let own_logs = removal.logs.iter().filter(|(log, _)| log.member == removed);
        for (log, owned) in own_logs.rev() {
            if !rest.intersection(owned).is_empty() && !is_end(region.coverage.number(*log)) {
                return false;
            }
            rest = rest.difference(owned);
        }
        true
    }

    /// True if what a removed member keeps of these slots may still come. When its time is up, or another
    /// life of its node is listed, siblings may have taken it just before, so they must be heard once more.
    pub(super) fn is_awaited(&self, region: &Region, removed: MemberId) -> bool {
        let was_handed_over = self.was_handed_over(region, removed);
        let is_gone = self.expired.contains(&removed) || self.is_replaced(removed);
        let is_over = is_gone && self.has_heard_all(region);
        !(region.sources.contains(&removed) || was_handed_over || is_over)
    }

    /// Selects the coverage entries that count: those of epochs that are not closed, and those of logs
    /// that a removed member may return more of by any known view. A view that is not active yet counts
    /// for what is handed over for it.
    pub(super) fn counts(&self) -> impl Fn(Dot) -> bool + use<> {
        let (closed, views) = (self.closed_epochs(), self.views.clone());
        let settled = self.settled.clone();
        move |dot| {
            let may_return = |view: &Arc<View>| {
                let mut holders = view.holders_of(dot.log);
                holders.any(|(id, _)| !settled.contains(&id))
            };
            !closed(dot.log.epoch) || views.values().any(may_return)
        }
    }

    /// Drops the entries of closed epochs, and the views that nothing refers to any more.
    pub(super) fn forget_closed(&mut self) {
        let (below, counts) = (self.closed.below, self.counts());
        for region in Arc::make_mut(&mut self.regions) {
            region.coverage.retain(&counts);
        }
        for kept in Arc::make_mut(&mut self.kept) {
            kept.coverage.retain(&counts);
        }
        let mut claimed = std::mem::take(&mut self.claimed);
        claimed.retain(|dot| self.is_still_named(dot));
        self.claimed = claimed;
        let active = self.active;
        self.views.retain(|epoch, _| *epoch >= below || *epoch >= active);
    }

    /// True for an epoch that is closed. A lower epoch of another line was never closed.
    fn closed_epochs(&self) -> impl Fn(Epoch) -> bool + use<> {
        let (below, view) = (self.closed.below, self.view().cloned());
        move |epoch| epoch < below && view.as_ref().is_some_and(|view| view.has(epoch))
    }
}
