//! A replica as a pure machine: commands and the time go in, effects come out as data.
//!
//! A replica decides commands one after the other on a copy of its state, as one batch. Nothing of it counts until
//! its effects are stored. There is one call for each command, and each returns the answer that its sender gets once
//! the batch is stored. The replica knows no channel, no disk and no network: `node::commit` carries out the effects
//! in their order (store, publish, push, answer), and a test can give the replica any commands in any order.

mod commands;
mod effects;
mod operations;
mod returns;
mod slots;
mod views;

pub use commands::{
    ChangeAttempt, Cleared, Effect, NotDone, Operation, Operations, Outcome, Push, Pushed, Return,
    ReturnTime, Stored, Write,
};
pub use effects::{Changed, Effects};
pub use operations::may_do;

use super::{ExchangeRequest, ExchangeResponse, Marks, NotHere, Records, ReplicaState, may_write};
use crate::names::{Dot, Key, Log, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::causality::{Clock, Payload, Record, Supersedes};
use crate::protocol::view_change::Acceptors;

/// A replica that decides a batch of commands.
#[derive(Debug)]
pub struct Replica<'a, R> {
    state: ReplicaState,
    acceptors: Acceptors,
    /// The view change that this node follows.
    attempt: ChangeAttempt,
    records: &'a R,
    clock: &'a Clock,
    /// The present wall time, as far as it may be mixed into timestamps.
    wall_ms: u64,
    effects: Effects,
}

impl<'a, R: Records> Replica<'a, R> {
    /// A replica with this state and these records. It stamps its writes with `clock` at `wall_ms`.
    pub fn new(
        state: ReplicaState,
        acceptors: Acceptors,
        attempt: ChangeAttempt,
        records: &'a R,
        clock: &'a Clock,
        wall_ms: u64,
    ) -> Self {
        Self {
            state,
            acceptors,
            attempt,
            records,
            clock,
            wall_ms,
            effects: Effects::default(),
        }
    }

    /// Ends the batch: the state after it, and what else it changes. The position rises with everything that is
    /// stored, except the marks: no other member relies on them.
    pub fn finish(mut self) -> (ReplicaState, Acceptors, Effects) {
        let is_stored = !self.effects.is_empty() && !planted::is(Fault::NumberNotStored);
        let changed = &mut self.effects.changed;
        changed.standing |= changed.life;
        changed.acceptors |= changed.life;
        changed.claims |= changed.life;
        changed.too_late |= changed.life;
        changed.vector |= is_stored;
        if changed.vector {
            self.state.position += 1;
            changed.run = std::mem::take(&mut self.state.is_run_new);
        }
        (self.state, self.acceptors, self.effects)
    }

    /// Takes a write as coordinator, if this member may.
    pub fn write(&mut self, write: &Write) -> Result<Stored, NotHere> {
        may_write(&self.state, write.key.slot(), write.payload.epoch)?;
        let value = write.value.as_deref();
        Ok(self.draw_write(&write.key, value, &write.payload, write.vouched))
    }

    /// Writes with a timestamp above all that the client depends on, and the next number of our log.
    fn draw_write(&mut self, key: &Key, value: Option<&[u8]>, payload: &Payload, vouched: bool) -> Stored {
        if !planted::is(Fault::ClockNotRaised) {
            self.clock.observe(payload.timestamp);
        }
        let timestamp = self.clock.tick(self.wall_ms);
        let dot = self.state.next_dot();
        let created = self
            .current(key.as_str())
            .is_none_or(|record| record.is_tombstone());
        let mut record = Record::new(key, value, dot, timestamp, &payload.entries);
        if vouched && !payload.entries.is_empty() {
            record = record.vouched();
        }
        self.state.vector.raise(dot);
        self.effects.changed.vector |= !planted::is(Fault::NumberNotStored);
        self.effects.own.push(record.clone());
        self.merge(record);
        Stored {
            dot,
            timestamp,
            created,
            replicas: 1,
        }
    }

    /// Takes records that a sibling pushes.
    pub fn push(&mut self, from: MemberId, push: &Push) -> Pushed {
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
            self.effects.stable.raise(Dot {
                log,
                number: self.state.vector.number(log),
            });
        }
        Pushed::Taken {
            epoch: self.state.active,
            held: self.state.vector.clone(),
        }
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
                self.effects.changed.vector = true;
                self.merge(record.clone());
            }
        }
        true
    }

    /// Applies what an exchange brought. A hand-over counts only in the attempt that asked for it.
    pub fn take(
        &mut self,
        ask: &ExchangeRequest,
        given: &ExchangeResponse,
        records: Vec<Record>,
        attempt: Option<ChangeAttempt>,
    ) -> Result<(), NotDone> {
        if attempt.is_some_and(|attempt| attempt != self.attempt) {
            return Err(NotDone::MovedOn);
        }
        let (vector, regions) = (self.state.vector.clone(), self.state.regions.clone());
        if ask.is_steady() {
            self.state.take_steady(ask, given)?;
        } else {
            self.state.take_hand_over(ask, given)?;
            self.effects.changed.standing = true;
        }
        self.effects.changed.vector |= vector != self.state.vector;
        self.effects.changed.standing |= regions != self.state.regions;
        self.effects.changed.too_late |= self.state.inherit_too_late(given);
        self.effects.changed.claims |= self.state.learn_claims(&given.claimed);
        for record in records {
            self.merge(record);
        }
        Ok(())
    }

    /// Stores how far this node has seen other members' logs.
    pub fn remember(&mut self, marks: Marks) {
        self.effects.marks = Some(marks);
    }

    /// Drops tombstones, unless a view was chosen since they were found.
    pub fn forget(&mut self, tombstones: &[Record]) {
        if !self.state.is_settled() {
            return;
        }
        for tombstone in tombstones {
            if self.current(tombstone.key()).as_ref() == Some(tombstone) {
                self.effects.forgotten.insert(tombstone.key().into());
                self.effects.changed.too_late |= self.state.note_dropped_tombstones();
            }
        }
    }

    /// Replaces records that claim false dependencies, unless a newer write replaced them meanwhile.
    pub fn clear(&mut self, records: Vec<Cleared>) {
        for Cleared { found, cleared } in records {
            if self.current(found.key()).as_ref() == Some(&found) {
                self.effects.winners.insert(found.key().into(), cleared);
            }
        }
    }

    fn merge(&mut self, record: Record) {
        self.clock.observe(record.timestamp());
        let wins = self
            .current(record.key())
            .is_none_or(|current| record.supersedes(&current) == Supersedes::Yes);
        if wins || planted::is(Fault::ArrivalOrderWins) {
            self.effects.changed.claims |= self.state.note_claims(&record);
            self.effects.winners.insert(record.key().into(), record);
        }
    }

    fn current(&self, key: &str) -> Option<Record> {
        if let Some(winner) = self.effects.winners.get(key) {
            return Some(winner.clone());
        }
        let is_here = !self.effects.forgotten.contains(key);
        self.records.get(key).filter(|_| is_here)
    }
}
