//! One batch in the making: jobs are decided one after the other on a copy of the state, and nothing of
//! it is true until the batch is stored.

mod moves;
pub(in crate::node) mod operations;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tokio::time::Instant;

use super::job::{After, ChangeAttempt, Cleared, Job, NotStored, Stored};
use crate::config::Limits;
use crate::names::{Dot, Epoch, Key, Log, MemberId};
use crate::node::identity::Me;
use crate::planted::{self, Fault};
use crate::protocol::causality::{Payload, Record, Supersedes, VersionVector};
use crate::protocol::replication::{
    ExchangeRequest, ExchangeResponse, NoReturn, NotHere, ReplicaState, may_write,
};
use crate::protocol::view_change::Vote;
use crate::store::{Batch, Resident};
use crate::wire::notes::{
    Acceptors, Marks, acceptors_note, claims_note, marks_note, member_note, no_page_note, page_note,
    runs_notes, standing_notes, too_late_note, vector_note,
};
use crate::wire::peer::{Answer, Push};

/// The outcome of a job.
#[derive(Debug)]
pub(super) enum Decision {
    /// Decided; this is said when the batch is stored, or refused with it.
    Then(After),
    /// Cannot be decided yet: an earlier number is missing, or a view change is under way.
    Later(Job),
}

/// A batch in the making.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    me: &'a Me,
    resident: &'a Resident,
    limits: &'a Limits,
    pub state: ReplicaState,
    pub acceptors: Acceptors,
    /// Which change is followed.
    attempt: ChangeAttempt,
    /// The records that win, by key.
    pub winners: BTreeMap<Box<str>, Record>,
    pub forgotten: BTreeSet<Box<str>>,
    /// Our own writes, in the order of their numbers.
    pub own: Vec<Record>,
    /// When the first of their clients asked.
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
    /// The numbers of pages that are not needed any more.
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

    /// What is to be stored. The position rises with it.
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
        // Others could not have relied on how far they were seen.
        batch.notes.extend(self.marks.as_ref().map(marks_note));
        batch
    }

    pub(super) fn decide(&mut self, job: Job) -> Decision {
        match job {
            Job::Write(write) => match may_write(&self.state, write.key.slot(), write.payload.epoch) {
                Err(NotHere::Sealed) => Decision::Later(Job::Write(write)),
                Err(not_here) => {
                    let _ = write.reply.send(Err(NotStored::NotHere(not_here)));
                    Decision::Then(After::Nothing)
                }
                Ok(()) => {
                    self.note_arrival(write.arrived);
                    let stored =
                        self.write(&write.key, write.value.as_deref(), &write.payload, write.vouched);
                    Decision::Then(After::Written(write.reply, stored))
                }
            },
            Job::Operations(job) => self.operations(job),
            Job::Push(push) => self.push(push),
            Job::Take {
                ask,
                given,
                records,
                attempt,
                reply,
            } => {
                let taken = match attempt {
                    Some(attempt) if attempt != self.attempt => Err(NotStored::Stopped),
                    _ => self.take(&ask, &given, records),
                };
                Decision::Then(After::Done(reply, taken))
            }
            Job::Stage {
                attempt,
                records,
                reply,
            } => {
                let staged = self.stage(attempt, records);
                Decision::Then(After::Done(reply, staged))
            }
            Job::Unstage {
                attempt,
                slots,
                reply,
            } => {
                self.unstage(attempt, &slots);
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Drop { epoch, slots, reply } => {
                let dropped = self.state.drop_kept(epoch, &slots);
                self.standing_changed |= !dropped.is_empty();
                self.forget_slots(&dropped);
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Adopt { returned, reply } => match self.adopt(&returned) {
                Ok(()) => Decision::Then(After::Adopted(reply, Ok(()))),
                Err(NoReturn::TooLate) => {
                    self.give_up_on(&returned);
                    Decision::Then(After::Adopted(reply, Err(NoReturn::TooLate)))
                }
                Err(reason) => {
                    let _ = reply.send(Err(reason));
                    Decision::Then(After::Nothing)
                }
            },
            Job::Confirm { confirm, reply } => {
                let confirmed = self.state.confirms(&confirm);
                self.standing_changed |= self.state.note_confirmed(&confirm, &confirmed);
                Decision::Then(After::Answered(reply, Answer::Confirmed(confirmed)))
            }
            Job::Expire { removed, lost } => {
                self.standing_changed |= self.state.expire(&removed);
                self.standing_changed |= self.state.give_up_lost(lost);
                Decision::Then(After::Nothing)
            }
            Job::End { life, ending } => {
                if self.state.me == life && self.state.ended.is_none() {
                    self.state.end(ending);
                    self.standing_changed = true;
                }
                Decision::Then(After::Nothing)
            }
            Job::Proven => {
                self.state.is_unproven = false;
                Decision::Then(After::Nothing)
            }
            Job::LayAside { slots, reply } => {
                let laid_aside = self.lay_aside(&slots);
                Decision::Then(After::Done(reply, laid_aside))
            }
            Job::HandedOver { name, reply } => {
                self.forget_leftover(name);
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Marks { marks, reply } => {
                self.marks = Some(marks);
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Leave { life, name, reply } => {
                let left = self.leave(life, name);
                Decision::Then(After::Done(reply, left))
            }
            Job::Promise { epoch, ballot, reply } => {
                let vote = self.vote(epoch, |acceptor| acceptor.promise(&ballot));
                Decision::Then(After::Voted(reply, vote))
            }
            Job::Accept {
                epoch,
                ballot,
                view,
                reply,
            } => {
                let vote = self.vote(epoch, |acceptor| acceptor.accept(&ballot, &view));
                Decision::Then(After::Voted(reply, vote))
            }
            Job::Learn { known, reply } => {
                self.learn(&known);
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Seal { target, reply } => {
                if self.state.views.contains_key(&target) && self.state.seal(target) {
                    self.standing_changed = true;
                }
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Activate { target, reply } => {
                self.activate(target);
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Close(closed) => {
                self.standing_changed |= self.state.close(closed);
                Decision::Then(After::Nothing)
            }
            Job::Settle { removed, lost } => {
                self.standing_changed |= self.state.settle_removals(&removed);
                self.standing_changed |= self.state.give_up_lost(lost);
                Decision::Then(After::Nothing)
            }
            Job::Forget(tombstones) => {
                self.forget(&tombstones);
                Decision::Then(After::Nothing)
            }
            Job::Clear { records, reply } => {
                for Cleared { found, cleared } in records {
                    // Another write may have taken its place since it was found.
                    if self.current(found.key()).as_ref() == Some(&found) {
                        self.winners.insert(found.key().into(), cleared);
                    }
                }
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Give { .. } => unreachable!("given from published state, before the batch is begun"),
        }
    }

    /// The client that has waited longest decides how long its siblings may take.
    fn note_arrival(&mut self, arrived: Instant) {
        let oldest = self.oldest.get_or_insert(arrived);
        *oldest = arrived.min(*oldest);
    }

    /// Takes a write as coordinator: a timestamp above all that the client depends on, the next number
    /// of our log.
    fn write(&mut self, key: &Key, value: Option<&[u8]>, payload: &Payload, vouched: bool) -> Stored {
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

    fn push(&mut self, job: super::job::PushJob) -> Decision {
        let (from, push) = (job.from, &job.push);
        let is_sealed = self.state.is_sealed() && !planted::is(Fault::PushesAfterTheSeal);
        if push.epoch != self.state.active || is_sealed || !self.state.is_sibling(from) {
            return Decision::Then(After::Answered(job.reply, Answer::NotTaken));
        }
        let log = Log {
            epoch: push.epoch,
            member: from,
        };
        if push.after > self.state.vector.number(log) && !planted::is(Fault::GapsTaken) {
            return Decision::Later(Job::Push(job));
        }
        let answer = if self.take_push(from, push) {
            // Of two members, the one that pushes has it and the one that takes it has it: that is all.
            if self.state.siblings().len() == 1 {
                self.stable.raise(Dot {
                    log,
                    number: self.state.vector.number(log),
                });
            }
            Answer::Held {
                epoch: self.state.active,
                held: self.state.vector.clone(),
            }
        } else {
            Answer::NotTaken
        };
        if planted::is(Fault::AcknowledgedBeforeStored) {
            let _ = job.reply.send(answer);
            return Decision::Then(After::Nothing);
        }
        Decision::Then(After::Answered(job.reply, answer))
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

    fn take(
        &mut self,
        ask: &ExchangeRequest,
        given: &ExchangeResponse,
        records: Vec<Record>,
    ) -> Result<(), NotStored> {
        let (vector, regions) = (self.state.vector.clone(), self.state.regions.clone());
        if ask.is_steady() {
            self.state.take_steady(ask, given)?;
        } else {
            self.state.take_hand_over(ask, given)?;
            self.standing_changed = true;
        }
        self.vector_changed |= vector != self.state.vector;
        self.standing_changed |= regions != self.state.regions;
        self.too_late_changed |= self.state.inherits_too_late(given);
        self.claims_changed |= self.state.hears_claims(&given.claimed);
        for record in records {
            self.merge(record);
        }
        Ok(())
    }

    fn vote(
        &mut self,
        epoch: Epoch,
        decide: impl FnOnce(&mut crate::protocol::view_change::Acceptor) -> Vote,
    ) -> Vote {
        let state = &self.state;
        let is_new = state.active == Epoch::NONE && state.views.is_empty() && !state.has_left;
        let in_first = epoch == Epoch::FIRST && is_new;
        let in_next = state.active != Epoch::NONE && epoch == state.active.next() && state.is_member();
        if !(in_first || in_next && !state.is_between_views() || state.votes_after_all_ended(epoch)) {
            return Vote::NotVoting;
        }
        self.acceptors_changed = !planted::is(Fault::VotesNotStored);
        decide(self.acceptors.entry(epoch).or_default())
    }

    fn forget(&mut self, tombstones: &[Record]) {
        // A view may have been chosen since they were found.
        if !self.state.is_settled() {
            return;
        }
        for tombstone in tombstones {
            if self.current(tombstone.key()).as_ref() == Some(tombstone) {
                self.forgotten.insert(tombstone.key().into());
                self.too_late_changed |= self.state.drops_tombstones();
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
