//! What a batch does with whole slots and whole views: slots that come are staged, slots that went are
//! dropped or returned, views are learned, activated, and left.

use std::collections::BTreeSet;

use super::Draft;
use crate::config::millis;
use crate::names::{Epoch, Member, MemberId};
use crate::node::commit::job::{ChangeAttempt, NotStored, Return};
use crate::node::paging::pages;
use crate::node::time::walls::Time;
use crate::planted::{self, Fault};
use crate::protocol::causality::{Record, Timestamp};
use crate::protocol::placement::{LeftBehind, SlotSet};
use crate::protocol::replication::{Leftover, NoReturn};
use crate::wire::peer::Known;

impl Draft<'_> {
    /// Records of slots that are on their way to us: not read, not given, until the hand-over that ends
    /// the copy.
    pub(super) fn stage(&mut self, attempt: ChangeAttempt, records: Vec<Record>) -> Result<(), NotStored> {
        let target = attempt.target;
        let is_to_come = self.state.active < target && self.state.views.contains_key(&target);
        // After the seal nobody would vouch for more of a copy.
        if attempt != self.attempt || !is_to_come || self.state.sealed >= target {
            return Err(NotStored::Stopped);
        }
        for record in records {
            self.merge(record);
        }
        Ok(())
    }

    /// Drops records of slots that are neither owned nor kept, and were not handed over in the change to
    /// `target`: a copy that does not count. Slots that were handed over for another view go with their claim, so
    /// that no view begins with slots of which only the claim is left. A copier that comes late from an earlier
    /// attempt drops nothing: what is here now was copied in this one.
    pub(super) fn unstage(&mut self, attempt: ChangeAttempt, slots: &SlotSet) {
        if attempt != self.attempt || planted::is(Fault::CopiesNotVouchedFor) {
            return;
        }
        let target = attempt.target;
        let given_up = self.state.give_up_incoming(target);
        self.standing_changed |= !given_up.is_empty();
        let dropped = slots.union(&given_up);
        self.forget_slots(&dropped.intersection(&self.uncounted(target)));
    }

    pub(super) fn forget_slots(&mut self, slots: &SlotSet) {
        let forgotten = &mut self.forgotten;
        self.resident.for_each_in(slots.iter(), |record| {
            forgotten.insert(record.key().into());
        });
        // Records that an earlier job of this batch stored are not in the map yet.
        self.winners.retain(|_, record| !slots.contains(record.slot()));
    }

    /// Takes what wins against what is here, each as a write of our own: the same value, time and
    /// dependencies under a new dot.
    pub(super) fn adopt(&mut self, returned: &Return) -> Result<(), NoReturn> {
        let Return {
            left,
            records,
            slots,
            kept,
            claimed,
            ..
        } = returned;
        // Also where nothing is taken any more: honest sessions carry what they were shown.
        self.claims_changed |= self.state.hears_claims(claimed);
        self.may_adopt(returned)?;
        // By an older view some of them may be another's, who would wait for them in vain.
        let owned = self.state.owned_slots();
        let all_are_ours = slots.difference(&owned).is_empty();
        if !all_are_ours || !records.iter().all(|record| slots.contains(record.slot())) {
            return Err(NoReturn::NotNow);
        }
        let depends_on = match left {
            Some(left) => self.state.readers_depend_on(left)?,
            None => None,
        };
        let latest = self.latest_forgotten(left.as_ref());
        for record in records {
            if self.is_too_old(record, latest)? {
                continue;
            }
            let current = self.current(record.key());
            if current.is_some_and(|current| current.timestamp() >= record.timestamp()) {
                continue;
            }
            let dot = self.state.next_dot();
            let record = match depends_on {
                Some(everything) => record.depending_on(everything, |dot| self.state.has(dot.log.epoch)),
                None => record.clone(),
            };
            let record = record.renumbered(dot);
            self.state.vector.raise(dot);
            self.vector_changed = true;
            self.own.push(record.clone());
            self.merge(record);
        }
        let by = left.as_ref().map(|left| left.by.id());
        let names: BTreeSet<MemberId> = by.into_iter().chain([returned.name()]).collect();
        for one in kept {
            let slots = one.slots.intersection(slots);
            let sources = one.sources.union(&names).copied().collect();
            self.standing_changed |= self.state.note_returned(returned.name(), &sources, &slots);
        }
        Ok(())
    }

    /// Is it early enough for what a node returns? It is taken when it is in time by the likely time and no
    /// tombstone was dropped here meanwhile, refused for good when it is late whatever the clocks show, and
    /// asked for again otherwise.
    fn may_adopt(&self, returned: &Return) -> Result<(), NoReturn> {
        let limit_ms = self.return_limit_ms();
        let time = self.time_of_returns();
        // A node announces what it left behind before it hands it over, unless it is too late for that.
        let is_announced = |left: &LeftBehind| self.state.awaits_return_of(left.name);
        if let Some(left) = returned.left.as_ref().filter(|left| !is_announced(left)) {
            let ages = self.me.ages.lock();
            return Err(if ages.missed_too_much(left, time, self.limits.forget_after) {
                NoReturn::TooLate
            } else {
                NoReturn::NotNow
            });
        }
        let name = returned.name();
        let by = |now_ms| self.state.may_adopt(name, now_ms, limit_ms);
        // The removal may have been noted by a clock that was years off. But no tombstone goes anywhere until
        // this owner is active in the view that notes it, so the time since then decides, if it is known.
        let since_seen = self.time_since_seen(name);
        if let Some(now_ms) = since_seen.filter(|_| !planted::is(Fault::DoubtedClockRefuses)) {
            return by(now_ms);
        }
        // A member may still tell for how long it has counted the removal.
        let is_doubted = time.is_doubted || !self.me.ages.lock().all_told;
        match by(time.likely_ms) {
            Err(NoReturn::TooLate) if is_doubted || by(time.low_ms).is_ok() => Err(NoReturn::NotNow),
            judged => judged,
        }
    }

    /// What the clock that noted a removal would show by now, if it is known how long the removal has counted.
    fn time_since_seen(&self, name: MemberId) -> Option<u64> {
        let age = self.me.ages.lock().of_removal(name)?;
        let noted_ms = self.state.view()?.left_ms(name)?;
        Some(noted_ms.saturating_add(millis(age)))
    }

    /// How long after its sender left, what comes back is taken.
    fn return_limit_ms(&self) -> u64 {
        let forget_ms = millis(self.limits.forget_after);
        forget_ms.saturating_sub(3 * millis(self.limits.clock_limit))
    }

    fn time_of_returns(&self) -> Time {
        if planted::is(Fault::DoubtedClockRefuses) {
            Time::certain(self.me.wall_ms())
        } else {
            self.me.time()
        }
    }

    /// Deletions may be forgotten of records that were written up to here. None where the time of the whole
    /// says how late it is: who left at a known time missed nothing before.
    fn latest_forgotten(&self, left: Option<&LeftBehind>) -> Option<Timestamp> {
        left.filter(|left| left.since_ms.is_none())?;
        let now_ms = self.time_of_returns().likely_ms;
        Some(Timestamp::from_wall_ms(
            now_ms.saturating_sub(self.return_limit_ms()),
        ))
    }

    /// True if a record from a disk that went back in time may have been deleted since, and the deletion be
    /// forgotten. Where no owner has its slot from elsewhere, nobody can have deleted it.
    fn is_too_old(&self, record: &Record, latest: Option<Timestamp>) -> Result<bool, NoReturn> {
        let Some(latest) = latest.filter(|_| !planted::is(Fault::OldCopiesReturn)) else {
            return Ok(false);
        };
        let is_held_elsewhere = self
            .state
            .is_held_elsewhere(record.slot())
            .ok_or(NoReturn::NotNow)?;
        Ok(is_held_elsewhere && record.timestamp() <= latest)
    }

    /// Waits no longer for what came back too late, nor for what others had handed over to its sender.
    pub(super) fn give_up_on(&mut self, returned: &Return) {
        let handed_over = returned.kept.iter().flat_map(|one| &one.sources).copied();
        let late = handed_over.chain([returned.name()]).collect();
        self.standing_changed |= self.state.expire(&late);
    }

    /// Lays the records of some slots aside: this life has ended, and another one will hand them over. What
    /// came in a copy counts for nothing.
    pub(super) fn lay_aside(&mut self, slots: &SlotSet) -> Result<(), NotStored> {
        if self.state.ended.is_none() {
            return Err(NotStored::Stopped);
        }
        let mut records = Vec::new();
        self.resident
            .for_each_in(slots.intersection(&self.state.kept_slots()).iter(), |record| {
                records.push(record.clone());
            });
        for page in pages(records).into_iter().filter(|page| !page.is_empty()) {
            self.pages.push((self.state.laid_aside.end, page));
            self.state.laid_aside.end += 1;
        }
        self.forget_slots(slots);
        self.standing_changed = true;
        Ok(())
    }

    /// Drops what an earlier life left behind.
    pub(super) fn forget_leftover(&mut self, name: MemberId) {
        let is_it = |leftover: &Leftover| leftover.left.name == name;
        if let Some(at) = self.state.leftovers.iter().position(is_it) {
            self.handed_over = self.state.leftovers.remove(at).pages;
            self.standing_changed = true;
        }
    }

    /// Ends this life of the node: nothing of it is kept but what is laid aside, or it does not end.
    pub(super) fn leave(&mut self, life: Member, name: MemberId) -> Result<(), NotStored> {
        let is_laid_aside = self.state.ended.is_some() && self.resident.is_empty() && self.winners.is_empty();
        let keeps_nothing = self.state.is_leaving() && self.state.kept.is_empty();
        if !(is_laid_aside || keeps_nothing) {
            return Err(NotStored::Stopped);
        }
        self.state = self.state.next_life(life, name);
        self.acceptors.clear();
        self.forget_slots(&SlotSet::all());
        self.begins_anew = true;
        Ok(())
    }

    pub(super) fn learn(&mut self, known: &Known) {
        let views: Vec<_> = known.views.iter().map(|view| view.0.clone()).collect();
        let mut news = self.state.learn_past(&views, &known.closed);
        for view in views.iter().chain(known.lost.iter().map(|lost| &lost.0)) {
            news |= self.state.learn(view);
        }
        self.state.date_lost(self.me.time().likely_ms);
        if self.state.is_out() {
            // Nobody vouches for slots that were copied for a view that is not served here.
            self.forget_slots(&SlotSet::all());
            news |= self.state.incoming.take().is_some();
        }
        if let Some(newest) = self.state.newest().filter(|_| self.state.is_passed_by()) {
            let target = newest.epoch;
            self.activate(target);
        }
        self.standing_changed |= news;
    }

    pub(super) fn activate(&mut self, target: Epoch) {
        let uncounted = self.uncounted(target);
        self.state.activate(target);
        if self.state.active != target {
            return;
        }
        if !planted::is(Fault::CopiesNotVouchedFor) {
            self.forget_slots(&uncounted);
        }
        if planted::is(Fault::DroppedAtActivation) {
            let lost = self.state.kept_slots();
            self.state.kept = Default::default();
            self.forget_slots(&lost);
        }
        self.acceptors.retain(|epoch, _| *epoch > target);
        self.standing_changed = true;
        self.vector_changed = true;
        self.acceptors_changed = true;
    }

    /// Slots of which there is nothing here but copies that no hand-over for `target` vouches for: they were made
    /// for it, or for a view that was given up. Copies for a later view are still to be vouched for.
    fn uncounted(&self, target: Epoch) -> SlotSet {
        let later = self.state.views.get(&self.attempt.target);
        let later = later.filter(|view| view.epoch > target);
        let coming = later.map(|view| view.slots_of_member(&self.state.me));
        let counted = self.state.owned_slots().union(&self.state.kept_slots());
        let counted = counted.union(&self.state.handed_over(target));
        SlotSet::all().difference(&counted.union(&coming.unwrap_or_default()))
    }
}
