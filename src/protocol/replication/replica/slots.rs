//! Changes whole slots in a batch: arriving slots are staged until a hand-over vouches for them, departed slots are
//! dropped or laid aside.

use super::{ChangeAttempt, NotDone, Replica};
use crate::names::{Epoch, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::causality::Record;
use crate::protocol::placement::SlotSet;
use crate::protocol::replication::{Leftover, Records, pages};

impl<R: Records> Replica<'_, R> {
    /// Stores records of slots that are being copied here. They are not read or given until the hand-over that ends the
    /// copy.
    pub fn stage(&mut self, attempt: ChangeAttempt, records: Vec<Record>) -> Result<(), NotDone> {
        let target = attempt.target;
        let is_to_come = self.state.active < target && self.state.views.contains_key(&target);
        // No hand-over vouches for records that arrive after the seal.
        if attempt != self.attempt || !is_to_come || self.state.sealed >= target {
            return Err(NotDone::MovedOn);
        }
        for record in records {
            self.merge(record);
        }
        Ok(())
    }

    /// Drops a copy that does not count: records of slots that are neither owned nor kept, and were not handed over in
    /// the change to `target`. Slots that were handed over for another view lose their claim too, so that no view begins
    /// with slots of which only the claim is left. A late copier of an earlier attempt drops nothing: the present records
    /// were copied in this attempt.
    pub fn unstage(&mut self, attempt: ChangeAttempt, slots: &SlotSet) {
        if attempt != self.attempt || planted::is(Fault::CopiesNotVouchedFor) {
            return;
        }
        let target = attempt.target;
        let given_up = self.state.give_up_incoming(target);
        self.effects.changed.standing |= !given_up.is_empty();
        let dropped = slots.union(&given_up);
        self.forget_slots(&dropped.intersection(&self.uncounted(target)));
    }

    /// Drops slots that moved away and that all owners confirmed in this epoch.
    pub fn drop_kept(&mut self, epoch: Epoch, slots: &SlotSet) {
        let dropped = self.state.drop_kept(epoch, slots);
        self.effects.changed.standing |= !dropped.is_empty();
        self.forget_slots(&dropped);
    }

    pub fn forget_slots(&mut self, slots: &SlotSet) {
        let forgotten = &mut self.effects.forgotten;
        self.records.for_each_in(slots, |record| {
            forgotten.insert(record.key().into());
        });
        // Records that an earlier job of this batch stored are not in the map yet.
        self.effects
            .winners
            .retain(|_, record| !slots.contains(record.slot()));
    }

    /// Lays the records of some slots aside: this life has ended, and the next one will hand them over. Records of an
    /// unfinished copy are dropped.
    pub fn lay_aside(&mut self, slots: &SlotSet) -> Result<(), NotDone> {
        if self.state.ended.is_none() {
            return Err(NotDone::MovedOn);
        }
        let mut records = Vec::new();
        self.records
            .for_each_in(&slots.intersection(&self.state.kept_slots()), |record| {
                records.push(record.clone());
            });
        for page in pages(records).into_iter().filter(|page| !page.is_empty()) {
            self.effects.pages.push((self.state.laid_aside.end, page));
            self.state.laid_aside.end += 1;
        }
        self.forget_slots(slots);
        self.effects.changed.standing = true;
        Ok(())
    }

    /// Drops what an earlier life left behind.
    pub fn forget_leftover(&mut self, name: MemberId) {
        let is_it = |leftover: &Leftover| leftover.left.name == name;
        if let Some(at) = self.state.leftovers.iter().position(is_it) {
            self.effects.handed_over = self.state.leftovers.remove(at).pages;
            self.effects.changed.standing = true;
        }
    }
}
