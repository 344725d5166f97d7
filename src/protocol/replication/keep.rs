//! Keeps slots that moved away until their owners have them, and returns what no owner took (hinted handoff).
//!
//! An old owner keeps moved slots until every owner of the active view has confirmed that it has them
//! (I12): until then a new owner's disk may fail. A node that was removed while it was cut off keeps
//! what no owner took, and returns it as new writes. Its logs were given up meanwhile, so under their
//! old dots the records would be at one owner only.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::replica_state::{Kept, Region};
use super::{ExchangeResponse, ReplicaState};
use crate::names::{Dot, Epoch, Member, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::causality::VersionVector;
use crate::protocol::placement::SlotSet;

/// What a keeper asks the owners before it drops anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    pub keeper: Member,
    /// The epoch that the owners must be active in.
    pub epoch: Epoch,
    /// The keeper's coverage has no entries below this epoch.
    pub closed_below: Epoch,
    pub kept: Vec<Kept>,
}

/// Why an owner does not take what a removed node returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoReturn {
    #[error("it was removed too long ago; deletions of that time may be forgotten already")]
    TooLate,
    #[error("the node that was asked does not serve these keys at the moment")]
    NotNow,
}

impl ReplicaState {
    /// The keeper's slots that are owned here and of which this member durably has all that the keeper has.
    pub fn confirms(&self, confirm: &Confirm) -> SlotSet {
        let mut confirmed = SlotSet::default();
        if self.active != confirm.epoch || !self.is_member() {
            return confirmed;
        }
        for kept in &confirm.kept {
            for region in self.regions.iter().filter(|region| region.is_ready()) {
                let slots = region.slots.intersection(&kept.slots);
                if !slots.is_empty() && self.has_all_of(region, &slots, kept, confirm) {
                    confirmed = confirmed.union(&slots);
                }
            }
        }
        confirmed
    }

    fn has_all_of(&self, region: &Region, slots: &SlotSet, kept: &Kept, confirm: &Confirm) -> bool {
        let is_listed = self.view().is_some_and(|view| view.is_member(&confirm.keeper));
        // A removed member was sealed when it handed over, so it gave everything. If it did not hand
        // over and its epochs were closed without it, this member cannot tell.
        if !is_listed && region.sources.contains(&confirm.keeper.id()) {
            return true;
        }
        if !is_listed && self.closed.below > confirm.closed_below {
            return false;
        }
        let mut needed = kept.coverage.clone();
        needed.retain(|dot| dot.log.epoch >= self.closed.below && self.concerns(dot, slots));
        region.coverage.covers(&needed)
    }

    /// True if the log of `dot` may have writes to any of these slots.
    fn concerns(&self, dot: Dot, slots: &SlotSet) -> bool {
        let Some(then) = self.views.get(&dot.log.epoch) else {
            return true;
        };
        let writer = then.member_by_id(dot.log.member);
        writer.is_none_or(|writer| !then.slots_of_node(&writer.node).intersection(slots).is_empty())
    }

    /// Slots that this node may not drop though others have them: a coming view gives them back, and
    /// since the seal the hand-over may have begun from what is here.
    fn coming_back(&self) -> SlotSet {
        if !self.is_sealed() {
            return SlotSet::default();
        }
        let coming = self.views.range(self.active.next()..);
        coming.fold(SlotSet::default(), |all, (_, view)| {
            all.union(&view.slots_of_member(&self.me))
        })
    }

    /// Drops kept slots that all owners confirmed in `epoch`; returns those that it dropped.
    pub fn drop_kept(&mut self, epoch: Epoch, slots: &SlotSet) -> SlotSet {
        let owners_epoch = if self.is_member() {
            self.active
        } else {
            self.newest().map_or(Epoch::NONE, |view| view.epoch)
        };
        if epoch != owners_epoch {
            return SlotSet::default();
        }
        let dropped = slots
            .intersection(&self.kept_slots())
            .difference(&self.coming_back());
        let kept = Arc::make_mut(&mut self.kept);
        for one in kept.iter_mut() {
            one.slots = one.slots.difference(&dropped);
        }
        kept.retain(|one| !one.slots.is_empty());
        dropped
    }

    /// What this node asks the owners of the view of `epoch` to confirm.
    pub fn ask_to_confirm(&self, epoch: Epoch) -> Confirm {
        Confirm {
            keeper: self.me.clone(),
            epoch,
            closed_below: self.closed.below,
            kept: self.kept.to_vec(),
        }
    }

    /// Keeps all owned slots: a life that ends owns nothing in the view that counts.
    pub(super) fn keep_all(&mut self) {
        let (active, vector) = (self.active, self.vector.clone());
        let newest = self.newest().map_or(active, |view| view.epoch);
        self.forget_sources(active, newest);
        let complete: VersionVector = [self.complete_own_log(active)].into_iter().collect();
        let kept = Arc::make_mut(&mut self.kept);
        for region in std::mem::take(Arc::make_mut(&mut self.regions)) {
            let mut coverage = region.coverage;
            coverage.merge(&vector);
            coverage.merge(&complete);
            kept.push(Kept {
                slots: region.slots,
                last_owned: active,
                lacks: region.lacks,
                coverage,
                sources: region.sources,
            });
        }
    }

    /// Notes that this node drops tombstones: members removed so far may return what was deleted. True
    /// if that is news.
    pub fn note_dropped_tombstones(&mut self) -> bool {
        let removed = self.view().map(|view| view.removed.keys().copied().collect());
        let removed: BTreeSet<MemberId> = removed.unwrap_or_default();
        let is_news = removed != *self.too_late;
        self.too_late = Arc::new(removed);
        is_news
    }

    /// Notes for which removed members the giver has dropped tombstones of its slots. True if that is news.
    pub fn inherit_too_late(&mut self, given: &ExchangeResponse) -> bool {
        let is_news = !given.too_late.is_subset(&self.too_late);
        if is_news {
            Arc::make_mut(&mut self.too_late).extend(&given.too_late);
        }
        is_news
    }

    /// True if this node was a member and is not any more: it keeps what it had until others have it.
    pub fn is_leaving(&self) -> bool {
        self.active != Epoch::NONE && !self.is_listed()
    }

    /// Judges whether what a removed node returns may be taken. From `limit_ms` after its removal,
    /// deletions that it missed may be forgotten.
    pub fn may_adopt(&self, from: MemberId, now_ms: u64, limit_ms: u64) -> Result<(), NoReturn> {
        let view = self.view().filter(|_| self.is_member() && !self.is_sealed());
        let left_ms = view.ok_or(NoReturn::NotNow)?.left_ms(from);
        let in_time = left_ms.is_some_and(|left_ms| now_ms.saturating_sub(left_ms) <= limit_ms);
        let in_time = in_time && !self.too_late.contains(&from);
        if in_time || planted::is(Fault::ReturnsForEver) {
            Ok(())
        } else {
            Err(NoReturn::TooLate)
        }
    }
}
