//! Decides commands one after the other on a copy of the state, as one batch. Nothing of it counts until the batch
//! is stored.
//!
//! A draft has one call for each command. It knows no channel, no disk and no clock but the node's own: what goes
//! in and what comes out is data, so that a test can hand it any command in any order.

pub(in crate::node) mod operations;
mod returns;
mod slots;
#[cfg(test)]
mod tests;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tokio::time::Instant;

use crate::config::Limits;
use crate::names::{Dot, Key, Log, MemberId};
use crate::node::commit::job::{ChangeAttempt, Cleared, NotStored, Stored, Write};
use crate::node::identity::Me;
use crate::planted::{self, Fault};
use crate::protocol::causality::{Payload, Record, Supersedes, VersionVector};
use crate::protocol::replication::{ExchangeRequest, ExchangeResponse, NotHere, ReplicaState, may_write};
use crate::store::{Batch, Resident};
use crate::wire::notes::{
    Acceptors, Marks, acceptors_note, claims_note, marks_note, member_note, no_page_note, page_note,
    runs_notes, standing_notes, too_late_note, vector_note,
};
use crate::wire::peer::{Answer, Push};

/// The outcome of a push.
#[derive(Debug)]
pub(super) enum Pushed {
    /// Its records are stored with the batch; then the sibling gets this answer.
    Taken(Answer),
    NotTaken,
    /// The number before it is missing.
    TooEarly,
}

/// A batch that is being decided.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    me: &'a Me,
    resident: &'a Resident,
    limits: &'a Limits,
    pub state: ReplicaState,
    pub acceptors: Acceptors,
    /// The view change that this node follows.
    attempt: ChangeAttempt,
    /// The records that win, by key.
    pub winners: BTreeMap<Box<str>, Record>,
    pub forgotten: BTreeSet<Box<str>>,
    /// Our own writes, in the order of their numbers.
    pub own: Vec<Record>,
    /// When the client that has waited longest asked.
    pub oldest: Option<Instant>,
    /// Numbers of a sibling's log that are stable once this batch is stored.
    pub stable: VersionVector,
    vector_changed: bool,
    standing_changed: bool,
    acceptors_changed: bool,
    too_late_changed: bool,
    claims_changed: bool,
    /// The node was removed and keeps nothing, or its life has ended: another life of it begins.
    pub begins_anew: bool,
    /// Pages that are laid aside, by number.
    pub pages: Vec<(u64, Vec<Record>)>,
    /// The numbers of pages that other members have by now.
    pub handed_over: Range<u64>,
    marks: Option<Marks>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        me: &'a Me,
        resident: &'a Resident,
        limits: &'a Limits,
        state: ReplicaState,
        acceptors: Acceptors,
        attempt: ChangeAttempt,
    ) -> Self {
        Self {
            me,
            resident,
            limits,
            state,
            acceptors,
            attempt,
            winners: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            own: Vec::new(),
            oldest: None,
            stable: VersionVector::default(),
            vector_changed: false,
            standing_changed: false,
            acceptors_changed: false,
            too_late_changed: false,
            claims_changed: false,
            begins_anew: false,
            pages: Vec::new(),
            handed_over: 0..0,
            marks: None,
        }
    }

    /// The batch to store. The position rises with it.
    pub(super) fn batch(&mut self) -> Batch {
        let mut batch = Batch {
            records: self.winners.values().cloned().collect(),
            forgotten: self.forgotten.iter().map(|key| key_of(key)).collect(),
            notes: Vec::new(),
        };
        batch
            .notes
            .extend(self.pages.iter().map(|(number, page)| page_note(*number, page)));
        batch.notes.extend(self.handed_over.clone().map(no_page_note));
        if self.begins_anew {
            batch.notes.push(member_note(&self.state.me));
            batch.notes.extend(runs_notes(&self.state));
        }
        if self.standing_changed || self.begins_anew {
            batch.notes.extend(standing_notes(&self.state));
        }
        if self.acceptors_changed || self.begins_anew {
            batch.notes.push(acceptors_note(&self.acceptors));
        }
        if self.claims_changed || self.begins_anew {
            batch.notes.push(claims_note(&self.state));
        }
        if self.too_late_changed || self.begins_anew {
            batch.notes.push(too_late_note(&self.state));
        }
        let is_stored = !batch.is_empty() && !planted::is(Fault::NumberNotStored);
        if self.vector_changed || is_stored {
            self.state.position += 1;
            batch.notes.push(vector_note(&self.state));
            if std::mem::take(&mut self.state.is_run_new) {
                batch.notes.extend(runs_notes(&self.state));
            }
        }
        // Alone they do not raise the position: no other member relies on them.
        batch.notes.extend(self.marks.as_ref().map(marks_note));
        batch
    }

    /// Notes when a client asked: the one that has waited longest decides how long the siblings may take.
    fn note_arrival(&mut self, arrived: Instant) {
        let oldest = self.oldest.get_or_insert(arrived);
        *oldest = arrived.min(*oldest);
    }

    /// Takes a write as coordinator, if this member may.
    pub(super) fn write(&mut self, write: &Write) -> Result<Stored, NotHere> {
        may_write(&self.state, write.key.slot(), write.payload.epoch)?;
        self.note_arrival(write.arrived);
        let value = write.value.as_deref();
        Ok(self.draw_write(&write.key, value, &write.payload, write.vouched))
    }

    /// Writes with a timestamp above all that the client depends on, and the next number of our log.
    fn draw_write(&mut self, key: &Key, value: Option<&[u8]>, payload: &Payload, vouched: bool) -> Stored {
        if !planted::is(Fault::ClockNotRaised) {
            self.me.clock.observe(payload.timestamp);
        }
        let timestamp = self.me.draw();
        let dot = self.state.next_dot();
        let created = self
            .current(key.as_str())
            .is_none_or(|record| record.is_tombstone());
        let mut record = Record::new(key, value, dot, timestamp, &payload.entries);
        if vouched && !payload.entries.is_empty() {
            record = record.vouched();
        }
        self.state.vector.raise(dot);
        self.vector_changed |= !planted::is(Fault::NumberNotStored);
        self.own.push(record.clone());
        self.merge(record);
        Stored {
            dot,
            timestamp,
            created,
            replicas: 1,
        }
    }

    /// Takes records that a sibling pushes.
    pub(super) fn push(&mut self, from: MemberId, push: &Push) -> Pushed {
        let is_sealed = self.state.is_sealed() && !planted::is(Fault::PushesAfterTheSeal);
        if push.epoch != self.state.active || is_sealed || !self.state.is_sibling(from) {
            return Pushed::NotTaken;
        }
        let log = Log {
            epoch: push.epoch,
            member: from,
        };
        if push.after > self.state.vector.number(log) && !planted::is(Fault::GapsTaken) {
            return Pushed::TooEarly;
        }
        if !self.take_push(from, push) {
            return Pushed::NotTaken;
        }
        // In a partition of two, both have the records now, so they are stable.
        if self.state.siblings().len() == 1 {
            self.stable.raise(Dot {
                log,
                number: self.state.vector.number(log),
            });
        }
        Pushed::Taken(Answer::Held {
            epoch: self.state.active,
            held: self.state.vector.clone(),
        })
    }

    /// Number *n* is taken only after *n-1* (I9).
    fn take_push(&mut self, from: MemberId, push: &Push) -> bool {
        let log = Log {
            epoch: push.epoch,
            member: from,
        };
        for (number, record) in (push.first..).zip(&push.records) {
            let dot = record.dot();
            if dot.log != log || dot.number != number {
                return false;
            }
            if number > self.state.vector.number(log) {
                self.state.vector.raise(dot);
                self.vector_changed = true;
                self.merge(record.clone());
            }
        }
        true
    }

    /// Applies what an exchange brought. A hand-over counts only in the attempt that asked for it.
    pub(super) fn take(
        &mut self,
        ask: &ExchangeRequest,
        given: &ExchangeResponse,
        records: Vec<Record>,
        attempt: Option<ChangeAttempt>,
    ) -> Result<(), NotStored> {
        if attempt.is_some_and(|attempt| attempt != self.attempt) {
            return Err(NotStored::Stopped);
        }
        let (vector, regions) = (self.state.vector.clone(), self.state.regions.clone());
        if ask.is_steady() {
            self.state.take_steady(ask, given)?;
        } else {
            self.state.take_hand_over(ask, given)?;
            self.standing_changed = true;
        }
        self.vector_changed |= vector != self.state.vector;
        self.standing_changed |= regions != self.state.regions;
        self.too_late_changed |= self.state.inherit_too_late(given);
        self.claims_changed |= self.state.learn_claims(&given.claimed);
        for record in records {
            self.merge(record);
        }
        Ok(())
    }

    /// Stores how far this node has seen other members' logs.
    pub(super) fn remember(&mut self, marks: Marks) {
        self.marks = Some(marks);
    }

    /// Drops tombstones, unless a view was chosen since they were found.
    pub(super) fn forget(&mut self, tombstones: &[Record]) {
        if !self.state.is_settled() {
            return;
        }
        for tombstone in tombstones {
            if self.current(tombstone.key()).as_ref() == Some(tombstone) {
                self.forgotten.insert(tombstone.key().into());
                self.too_late_changed |= self.state.note_dropped_tombstones();
            }
        }
    }

    /// Replaces records that claim false dependencies, unless a newer write replaced them meanwhile.
    pub(super) fn clear(&mut self, records: Vec<Cleared>) {
        for Cleared { found, cleared } in records {
            if self.current(found.key()).as_ref() == Some(&found) {
                self.winners.insert(found.key().into(), cleared);
            }
        }
    }

    fn merge(&mut self, record: Record) {
        self.me.clock.observe(record.timestamp());
        let wins = self
            .current(record.key())
            .is_none_or(|current| record.supersedes(&current) == Supersedes::Yes);
        if wins || planted::is(Fault::ArrivalOrderWins) {
            self.claims_changed |= self.state.note_claims(&record);
            self.winners.insert(record.key().into(), record);
        }
    }

    fn current(&self, key: &str) -> Option<Record> {
        if let Some(winner) = self.winners.get(key) {
            return Some(winner.clone());
        }
        let is_here = !self.forgotten.contains(key);
        self.resident.get(key).filter(|_| is_here)
    }
}

fn key_of(key: &str) -> Key {
    Key::new(key).expect("a record has a key")
}
