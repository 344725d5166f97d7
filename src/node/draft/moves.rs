//! What a batch does with whole slots and whole views: slots that come are staged, slots that went are
//! dropped or returned, views are learned, activated, and left.

use super::{Draft, millis};
use crate::causality::Record;
use crate::names::{Epoch, Member};
use crate::node::jobs::{NotStored, Round};
use crate::node::walls::Time;
use crate::placement::SlotSet;
use crate::planted::{self, Fault};
use crate::replication::{Facts, Kept, NoReturn};
use crate::wire::peer::Known;

impl Draft<'_> {
    /// Records of slots that are on their way to us: not read, not given, until the hand-over that ends
    /// the copy.
    pub(super) fn stage(&mut self, round: Round, records: Vec<Record>) -> Result<(), NotStored> {
        let target = round.target;
        // After the seal nobody would vouch for more of a copy.
        if round != self.round || self.facts.active >= target || self.facts.sealed >= target {
            return Err(NotStored::Stopped);
        }
        for record in records {
            self.merge(record);
        }
        Ok(())
    }

    /// Drops records of slots that are neither owned nor kept, and were not handed over in the change to
    /// `target`: a copy that does not count. What was handed over for another view goes with its claim, so
    /// that no view begins with slots of which only the claim is left. Who comes late from an earlier round
    /// drops nothing: what is here now was copied in this one.
    pub(super) fn unstage(&mut self, round: Round, slots: &SlotSet) {
        if round != self.round || planted::is(Fault::CopiesNotVouchedFor) {
            return;
        }
        let target = round.target;
        let given_up = self.facts.give_up_incoming(target);
        self.standing_changed |= !given_up.is_empty();
        let counted = self.facts.owned_slots().union(&self.facts.kept_slots());
        let counted = counted.union(&self.facts.handed_over(target));
        self.forget_slots(&slots.union(&given_up).difference(&counted));
    }

    pub(super) fn forget_slots(&mut self, slots: &SlotSet) {
        let forgotten = &mut self.forgotten;
        self.resident.for_each_in(slots.iter(), |record| {
            forgotten.insert(record.key().into());
        });
        // What an earlier job of this batch stored is not in the map yet.
        self.winners.retain(|_, record| !slots.contains(record.slot()));
    }

    /// Takes what wins against what is here, each as a write of our own: the same value, time and
    /// dependencies under a new dot.
    pub(super) fn adopt(
        &mut self,
        from: &Member,
        records: &[Record],
        slots: &SlotSet,
        kept: &[Kept],
    ) -> Result<(), NoReturn> {
        self.may_adopt(from)?;
        // By an older view some of them may be another's, who would wait for them in vain.
        let owned = self.facts.owned_slots();
        let all_are_ours = slots.difference(&owned).is_empty();
        if !all_are_ours || !records.iter().all(|record| slots.contains(record.slot())) {
            return Err(NoReturn::NotNow);
        }
        for returned in records {
            let current = self.current(returned.key());
            if current.is_some_and(|current| current.timestamp() >= returned.timestamp()) {
                continue;
            }
            let dot = self.facts.next_dot();
            let record = returned.renumbered(dot);
            self.facts.vector.raise(dot);
            self.vector_changed = true;
            self.own.push(record.clone());
            self.merge(record);
        }
        for one in kept {
            let returned = one.slots.intersection(slots);
            self.standing_changed |= self.facts.has_returned(from.id(), &one.sources, &returned);
        }
        Ok(())
    }

    /// Is it early enough for what a node returns? It is taken when it is in time by the likely time and no
    /// tombstone was dropped here meanwhile, refused for good when it is late whatever the clocks show, and
    /// asked for again otherwise.
    fn may_adopt(&self, from: &Member) -> Result<(), NoReturn> {
        let forget_ms = millis(self.limits.forget_after);
        let limit_ms = forget_ms.saturating_sub(3 * millis(self.limits.clock_limit));
        let mut time = self.me.time();
        if planted::is(Fault::DoubtedClockRefuses) {
            time = Time::certain(self.me.wall_ms());
        }
        let by = |now_ms| self.facts.may_adopt(from, now_ms, limit_ms);
        match by(time.likely_ms) {
            Err(NoReturn::TooLate) if time.is_doubted || by(time.low_ms).is_ok() => Err(NoReturn::NotNow),
            judged => judged,
        }
    }

    /// Waits no longer for what came back too late, nor for what others had handed over to its sender.
    pub(super) fn give_up_on(&mut self, from: &Member, kept: &[Kept]) {
        let handed_over = kept.iter().flat_map(|one| &one.sources).copied();
        let late = handed_over.chain([from.id()]).collect();
        self.standing_changed |= self.facts.expire(&late);
    }

    /// Ends this life of the node: nothing of it is kept, or it does not end.
    pub(super) fn leave(&mut self, life: Member) -> Result<(), NotStored> {
        if !self.facts.is_leaving() || !self.facts.kept.is_empty() {
            return Err(NotStored::Stopped);
        }
        let newest = self.facts.newest().cloned();
        self.facts = Facts::new(life);
        self.facts.has_left = true;
        // Others that left may ask for it; and a node that is listed still, in the life that ends, asks to
        // be listed in the next.
        if let Some(view) = newest {
            self.facts.learn(&view);
        }
        self.acceptors.clear();
        self.forget_slots(&SlotSet::all());
        self.begins_anew = true;
        Ok(())
    }

    pub(super) fn learn(&mut self, known: &Known) {
        let views: Vec<_> = known.views.iter().map(|view| view.0.clone()).collect();
        let mut news = self.facts.learn_past(&views, known.closed);
        for view in &views {
            news |= self.facts.learn(view);
        }
        if self.facts.outranked {
            self.facts.keep_all();
        }
        if let Some(newest) = self.facts.newest().filter(|_| self.facts.is_passed_by()) {
            let target = newest.epoch;
            // What was copied for a view that was never served here is vouched for by nobody.
            self.forget_slots(&SlotSet::all());
            self.activate(target);
        }
        self.standing_changed |= news;
    }

    pub(super) fn activate(&mut self, target: Epoch) {
        let staged = self.staged(target);
        self.facts.activate(target);
        if self.facts.active != target {
            return;
        }
        // Copies that no hand-over vouches for do not count.
        if !planted::is(Fault::CopiesNotVouchedFor) {
            self.forget_slots(&staged);
        }
        if planted::is(Fault::DroppedAtActivation) {
            let lost = self.facts.kept_slots();
            self.facts.kept = Default::default();
            self.forget_slots(&lost);
        }
        self.acceptors.retain(|epoch, _| *epoch > target);
        self.standing_changed = true;
        self.vector_changed = true;
        self.acceptors_changed = true;
    }

    /// Slots that the view of `target` brings and of which nobody has handed anything over.
    fn staged(&self, target: Epoch) -> SlotSet {
        let Some(view) = self.facts.views.get(&target) else {
            return SlotSet::default();
        };
        let counted = self.facts.owned_slots().union(&self.facts.kept_slots());
        let coming = view.slots_of_member(&self.facts.me).difference(&counted);
        coming.difference(&self.facts.handed_over(target))
    }
}
