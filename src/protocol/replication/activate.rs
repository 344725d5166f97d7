//! Activates a view: works out what a member keeps, gains and loses.
//!
//! Each node activates for itself, and no step waits for another node: what an owner lacks afterwards
//! shows only in its readiness and its coverage, slot by slot.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::replica_state::{Kept, Region, owners_of};
use super::take::join_alike;
use super::{Incoming, ReplicaState};
use crate::names::{Dot, Epoch, Log, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::causality::VersionVector;
use crate::protocol::placement::{Removal, SlotSet, View};

/// What an activation did, for the log and for the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activated {
    /// Slots that this member owns now and did not before.
    pub gained: SlotSet,
    /// Slots that it owned before and does not now; their records stay until their new owners have
    /// confirmed them (I12).
    pub lost: SlotSet,
}

impl ReplicaState {
    /// Activates the view of epoch `target`, if it may. A member several views behind works out what it
    /// kept, gained and lost in each of them, and activates the last one only.
    pub fn activate(&mut self, target: Epoch) -> Activated {
        if !self.may_activate(target) {
            return Activated::default();
        }
        let before = self.owned_slots();
        let removed_before = self.view().map(|view| view.removed.clone());
        self.cover_sealed_logs();
        self.forget_sources(self.active, target);
        self.walk_until(target);
        let complete: VersionVector = self.own_sealed_logs(target).collect();
        for region in Arc::make_mut(&mut self.regions) {
            region.coverage.merge(&complete);
        }
        for kept in Arc::make_mut(&mut self.kept) {
            kept.coverage.merge(&complete);
        }
        self.sealed = self.sealed.max(target);
        self.active = target;
        self.vector = VersionVector::default();
        self.take_incoming(target);
        self.forget_sources(target, target);
        for region in Arc::make_mut(&mut self.regions) {
            region.heard.clear();
        }
        if let Some(view) = self.view().cloned() {
            let mut expired = std::mem::take(&mut self.expired);
            expired.retain(|id| self.is_waited_for(&view, *id));
            self.expired = expired;
            self.settled.retain(|id| view.removed.contains_key(id));
        }
        if let Some(removed_before) = removed_before {
            self.remember_closed(&removed_before);
        }
        self.forget_closed();
        self.settle();
        let after = self.owned_slots();
        Activated {
            gained: after.difference(&before),
            lost: before.difference(&after),
        }
    }

    /// Counts logs as complete that a new removal names though their epochs were closed here before it,
    /// with the member's consent. Nothing can be added to them, and all their writes are here, except
    /// those that a member removed earlier may return. The proposer of the removal had not counted that
    /// closing yet. (A node in its first view was told of closings, and cannot tell which was first.)
    fn remember_closed(&mut self, removed_before: &BTreeMap<MemberId, Removal>) {
        let Some(view) = self.view().filter(|view| self.closed.at < view.epoch).cloned() else {
            return;
        };
        let new = view
            .removed
            .iter()
            .filter(|(id, _)| !removed_before.contains_key(id));
        let earlier = || removed_before.iter().filter(|(id, _)| !self.settled.contains(id));
        let may_return = |log: &Log| {
            let mut waited_for = earlier().filter(|(_, removal)| !removal.given_up);
            waited_for.any(|(_, removal)| removal.logs.contains_key(log))
        };
        let logs = new.flat_map(|(_, removal)| removal.logs.keys());
        let logs = logs.filter(|log| !may_return(log));
        let complete: VersionVector = logs
            .filter(|log| log.epoch < self.closed.below)
            .map(|log| Dot {
                log: *log,
                number: self.closed.end_of(log.member),
            })
            .collect();
        let regions = Arc::make_mut(&mut self.regions).iter_mut();
        for region in regions.filter(|region| region.is_ready()) {
            region.coverage.merge(&complete);
        }
    }

    /// Epochs go up, and a closing that was learned may not be counted in an epoch below its own. A node
    /// in no view waits for a view that lists it. A member, or a node that a view had added, also
    /// activates a view that does not list it: it then owns nothing, and keeps what it had.
    fn may_activate(&self, target: Epoch) -> bool {
        let begins_elsewhere = |view: &Arc<View>| {
            self.active == Epoch::NONE && !view.is_member(&self.me) && !self.is_passed_by()
        };
        let known = self.views.get(&target);
        target > self.active
            && target >= self.closed.at
            && self.may_act()
            && known.is_some_and(|view| !begins_elsewhere(view))
    }

    /// Turns the vector of the epoch that ends into coverage.
    fn cover_sealed_logs(&mut self) {
        for region in Arc::make_mut(&mut self.regions) {
            region.coverage.merge(&self.vector);
        }
    }

    /// Applies what this member keeps, gains and loses in each view up to that of `target`.
    pub(super) fn walk_until(&mut self, target: Epoch) {
        let coming: Vec<Arc<View>> = self.views_of(self.active.next(), target).cloned().collect();
        for view in &coming {
            self.walk_to(view);
        }
    }

    /// Forgets the owners in these views as sources. Since an owner handed slots over, it may have taken
    /// records that exist nowhere else any more, so it must hand over again.
    pub(super) fn forget_sources(&mut self, from: Epoch, to: Epoch) {
        let views: Vec<Arc<View>> = self.views_of(from, to).cloned().collect();
        for view in &views {
            for region in Arc::make_mut(&mut self.regions) {
                for owner in owners_of(view, &region.slots) {
                    region.sources.remove(&owner.id());
                }
            }
        }
    }

    fn walk_to(&mut self, view: &View) {
        let coming = if view.is_member(&self.me) {
            view.slots_of_node(&self.me.node)
        } else {
            SlotSet::default()
        };
        let mut gained = coming.difference(&self.owned_slots());
        let before = view.epoch_at(view.epoch.number() - 1);
        let kept = Arc::make_mut(&mut self.kept);
        let regions = Arc::make_mut(&mut self.regions);
        for region in regions.iter_mut() {
            let lost = region.slots.difference(&coming);
            if !lost.is_empty() {
                kept.push(Kept {
                    slots: lost,
                    last_owned: before,
                    lacks: region.lacks,
                    coverage: region.coverage.clone(),
                    sources: region.sources.clone(),
                });
            }
            region.slots = region.slots.intersection(&coming);
        }
        regions.retain(|region| !region.slots.is_empty());
        // The first view's owners lack nothing: nothing was before it.
        let lacks = if view.epoch.number() == Epoch::FIRST.number() {
            Epoch::NONE
        } else {
            view.epoch
        };
        // Slots that come from different partitions can become ready one without the other.
        let past = self
            .views
            .range(..view.epoch)
            .next_back()
            .map(|(_, past)| Arc::clone(past));
        for region in self.regain(&gained, lacks) {
            gained = gained.difference(&region.slots);
            Arc::make_mut(&mut self.regions).push(region);
        }
        if let Some(past) = past {
            for partition in past.partitions_of_slots(&gained) {
                let slots = gained.intersection(&past.slots_of_partition(partition));
                gained = gained.difference(&slots);
                Arc::make_mut(&mut self.regions).push(Region::gained(slots, lacks));
            }
        }
        if !gained.is_empty() {
            Arc::make_mut(&mut self.regions).push(Region::gained(gained, lacks));
        }
    }

    /// Turns kept slots that come back into regions: the hand-over begins from what they hold.
    fn regain(&mut self, gained: &SlotSet, lacks: Epoch) -> Vec<Region> {
        let mut regions = Vec::new();
        for kept in Arc::make_mut(&mut self.kept) {
            let slots = kept.slots.intersection(gained);
            if !slots.is_empty() {
                kept.slots = kept.slots.difference(&slots);
                let mut region = Region::gained(slots, lacks);
                region.coverage = kept.coverage.clone();
                region.sources = kept.sources.clone();
                regions.push(region);
            }
        }
        Arc::make_mut(&mut self.kept).retain(|kept| !kept.slots.is_empty());
        regions
    }

    /// Merges what was handed over before the activation into the regions.
    fn take_incoming(&mut self, target: Epoch) {
        let Some(Incoming {
            regions: incoming, ..
        }) = self.incoming.take().filter(|incoming| incoming.target == target)
        else {
            return;
        };
        let mut taken = Vec::new();
        for mut rest in std::mem::take(Arc::make_mut(&mut self.regions)) {
            for brought in &incoming {
                let slots = rest.slots.intersection(&brought.slots);
                if slots.is_empty() {
                    continue;
                }
                rest.slots = rest.slots.difference(&slots);
                let mut region = Region {
                    slots,
                    ..rest.clone()
                };
                region.coverage.merge(&brought.coverage);
                region.sources.extend(&brought.sources);
                region.lacks = region.lacks.min(brought.lacks);
                taken.push(region);
            }
            if !rest.slots.is_empty() {
                taken.push(rest);
            }
        }
        self.regions = Arc::new(join_alike(taken));
    }

    /// Joins the ready regions once every earlier epoch is closed: which member brought what does not
    /// matter then, except for removed members, which may still ask for it to be confirmed.
    fn forget_history(&mut self) {
        let Some(active) = self.view().filter(|_| self.closed.below == self.active).cloned() else {
            return;
        };
        let mut regions = std::mem::take(Arc::make_mut(&mut self.regions));
        for region in regions.iter_mut().filter(|region| region.is_ready()) {
            region.sources.retain(|id| active.removed.contains_key(id));
            region.heard.clear();
        }
        self.regions = Arc::new(join_alike(regions));
    }

    /// Counts a closing that was announced, if it may be counted here yet. True if it is news. A closing
    /// concerns the members only: a removed one was not asked what it keeps, and that may be nowhere else.
    pub fn close(&mut self, closed: super::Closed) -> bool {
        let is_behind = self.active < closed.at && !planted::is(Fault::ClosedByNodeBehind);
        // A closing of another line says nothing of ours.
        let is_of_ours =
            self.has(closed.below) && (self.has(closed.at) || planted::is(Fault::ClosedByNodeBehind));
        if !self.is_member() || closed.below <= self.closed.below || is_behind || !is_of_ours {
            return false;
        }
        self.closed = closed;
        self.forget_closed();
        self.forget_history();
        true
    }
}
