//! Decides about records that a removed member returns, or that an earlier life of a node left behind: they are taken
//! as new writes, refused as too late, or asked for again.

use std::collections::BTreeSet;

use super::{Replica, Return, ReturnTime};
use crate::names::{Epoch, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::causality::{Record, Timestamp};
use crate::protocol::placement::{LeftBehind, SlotSet};
use crate::protocol::replication::{Confirm, NoReturn, Records};

impl<R: Records> Replica<'_, R> {
    /// Takes returned records. Readers stop waiting for records that come too late.
    pub fn adopt(&mut self, returned: &Return, time: &ReturnTime) -> Result<(), NoReturn> {
        let adopted = self.take_back(returned, time);
        if adopted == Err(NoReturn::TooLate) {
            self.give_up_on(returned);
        }
        adopted
    }

    /// Confirms what a removed member keeps. Readers stop waiting for that member.
    pub fn confirm(&mut self, confirm: &Confirm) -> SlotSet {
        let confirmed = self.state.confirms(confirm);
        self.effects.changed.standing |= self.state.note_confirmed(confirm, &confirmed);
        confirmed
    }

    /// Gives up what these removed members keep, and the writes of these epochs of lost lines: their time is up.
    pub fn expire(&mut self, removed: &BTreeSet<MemberId>, lost: BTreeSet<Epoch>) {
        self.effects.changed.standing |= self.state.expire(removed);
        self.effects.changed.standing |= self.state.give_up_lost(lost);
    }

    /// Notes that no owner waits for these removed members any more, nor for these epochs of lost lines.
    pub fn settle(&mut self, removed: &BTreeSet<MemberId>, lost: BTreeSet<Epoch>) {
        self.effects.changed.standing |= self.state.settle_removals(removed);
        self.effects.changed.standing |= self.state.give_up_lost(lost);
    }

    /// Takes the records that win against the present ones, each as a write of our own: the same value, time and
    /// dependencies under a new dot.
    fn take_back(&mut self, returned: &Return, time: &ReturnTime) -> Result<(), NoReturn> {
        let Return {
            left,
            records,
            slots,
            kept,
            claimed,
            ..
        } = returned;
        // Even if no record is taken: honest sessions carry the claims that they were shown.
        self.effects.changed.claims |= self.state.learn_claims(claimed);
        self.may_adopt(returned, time)?;
        // In an older view another member may own some of them, and would wait for ever.
        let owned = self.state.owned_slots();
        let all_are_ours = slots.difference(&owned).is_empty();
        if !all_are_ours || !records.iter().all(|record| slots.contains(record.slot())) {
            return Err(NoReturn::NotNow);
        }
        let depends_on = match left {
            Some(left) => self.state.readers_depend_on(left)?,
            None => None,
        };
        let latest = latest_forgotten(left.as_ref(), time);
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
            self.effects.changed.vector = true;
            self.effects.own.push(record.clone());
            self.merge(record);
        }
        let by = left.as_ref().map(|left| left.by.id());
        let names: BTreeSet<MemberId> = by.into_iter().chain([returned.name()]).collect();
        for one in kept {
            let slots = one.slots.intersection(slots);
            let sources = one.sources.union(&names).copied().collect();
            self.effects.changed.standing |= self.state.note_returned(returned.name(), &sources, &slots);
        }
        Ok(())
    }

    /// Judges whether returned records come early enough. They are taken if they are in time by the likely time and no
    /// tombstone was dropped here meanwhile, refused for good if they are late whatever the clocks show, and asked for
    /// again otherwise.
    fn may_adopt(&self, returned: &Return, time: &ReturnTime) -> Result<(), NoReturn> {
        // A node announces a left-behind life before it hands it over, unless it is too late for that.
        let is_announced = |left: &LeftBehind| self.state.awaits_return_of(left.name);
        if returned.left.as_ref().is_some_and(|left| !is_announced(left)) {
            return Err(if time.missed_too_much {
                NoReturn::TooLate
            } else {
                NoReturn::NotNow
            });
        }
        let name = returned.name();
        let by = |now_ms| self.state.may_adopt(name, now_ms, time.limit_ms);
        // The removal may have been noted by a clock that was years off. But no tombstone is dropped until this owner
        // is active in the view that notes the removal, so the time since then decides, if it is known.
        if let Some(now_ms) = self.time_by_noting_clock(name, time) {
            return by(now_ms);
        }
        match by(time.likely_ms) {
            Err(NoReturn::TooLate) if time.is_doubted || by(time.low_ms).is_ok() => Err(NoReturn::NotNow),
            judged => judged,
        }
    }

    /// The present time by the clock that noted a removal, if the age of the removal is known.
    fn time_by_noting_clock(&self, name: MemberId, time: &ReturnTime) -> Option<u64> {
        let noted_ms = self.state.view()?.left_ms(name)?;
        Some(noted_ms.saturating_add(time.counted_ms?))
    }

    /// True if a record from a disk that went back in time may have been deleted since, and the deletion forgotten. If no
    /// owner has its slot from another node, no node can have deleted it.
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

    /// Gives up records that came back too late, and those that other members had handed over to their sender.
    fn give_up_on(&mut self, returned: &Return) {
        let handed_over = returned.kept.iter().flat_map(|one| &one.sources).copied();
        let late = handed_over.chain([returned.name()]).collect();
        self.effects.changed.standing |= self.state.expire(&late);
    }
}

/// Deletions of records that were written up to here may be forgotten. None for a node that left at a known time: it
/// missed no deletion before that.
fn latest_forgotten(left: Option<&LeftBehind>, time: &ReturnTime) -> Option<Timestamp> {
    left.filter(|left| left.since_ms.is_none())?;
    Some(Timestamp::from_wall_ms(
        time.likely_ms.saturating_sub(time.limit_ms),
    ))
}
