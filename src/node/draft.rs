//! One batch in the making: jobs are decided one after the other on a copy of the facts, and nothing of
//! it is true until the batch is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::acks::Stored;
use super::jobs::{After, Job, NotStored};
use super::me::Me;
use crate::causality::{Payload, Record, Supersedes, VersionVector};
use crate::config::Limits;
use crate::names::{Dot, Epoch, Key, Log, Member, MemberId};
use crate::placement::SlotSet;
use crate::planted::{self, Fault};
use crate::replication::{Ask, Facts, Given, NoReturn, may_write};
use crate::store::{Batch, Resident};
use crate::view_change::Vote;
use crate::wire::notes::{Acceptors, acceptors_note, member_note, standing_note, vector_note};
use crate::wire::peer::{Answer, Known, Push};

/// What becomes of a job.
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
    pub facts: Facts,
    pub acceptors: Acceptors,
    /// The records that win, by key.
    pub winners: BTreeMap<Box<str>, Record>,
    pub forgotten: BTreeSet<Box<str>>,
    /// Our own writes, in the order of their numbers.
    pub own: Vec<Record>,
    /// Numbers of a sibling's log that are stable once this batch is stored.
    pub stable: VersionVector,
    vector_changed: bool,
    standing_changed: bool,
    acceptors_changed: bool,
    /// The node was removed and keeps nothing: another life of it begins.
    pub begins_anew: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        me: &'a Me,
        resident: &'a Resident,
        limits: &'a Limits,
        facts: Facts,
        acceptors: Acceptors,
    ) -> Self {
        Self {
            me,
            resident,
            limits,
            facts,
            acceptors,
            winners: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            own: Vec::new(),
            stable: VersionVector::default(),
            vector_changed: false,
            standing_changed: false,
            acceptors_changed: false,
            begins_anew: false,
        }
    }

    /// What is to be stored.
    pub(super) fn batch(&self) -> Batch {
        let mut batch = Batch {
            records: self.winners.values().cloned().collect(),
            forgotten: self.forgotten.iter().map(|key| key_of(key)).collect(),
            notes: Vec::new(),
        };
        if self.vector_changed || self.begins_anew {
            batch.notes.push(vector_note(&self.facts));
        }
        if self.begins_anew {
            batch.notes.push(member_note(&self.facts.me));
        }
        if self.standing_changed || self.begins_anew {
            batch.notes.push(standing_note(&self.facts));
        }
        if self.acceptors_changed || self.begins_anew {
            batch.notes.push(acceptors_note(&self.acceptors));
        }
        batch
    }

    pub(super) fn decide(&mut self, job: Job) -> Decision {
        match job {
            Job::Write(write) => match may_write(&self.facts, write.key.slot(), write.payload.epoch) {
                Err(crate::replication::NotHere::Sealed) => Decision::Later(Job::Write(write)),
                Err(not_here) => {
                    let _ = write.reply.send(Err(NotStored::NotHere(not_here)));
                    Decision::Then(After::Nothing)
                }
                Ok(()) => {
                    let stored = self.write(&write.key, write.value.as_deref(), &write.payload);
                    Decision::Then(After::Written(write.reply, stored))
                }
            },
            Job::Push(push) => self.push(push),
            Job::Take {
                ask,
                given,
                records,
                reply,
            } => {
                let taken = self.take(&ask, &given, records);
                Decision::Then(After::Done(reply, taken))
            }
            Job::Stage {
                target,
                records,
                reply,
            } => {
                let staged = self.stage(target, records);
                Decision::Then(After::Done(reply, staged))
            }
            Job::Unstage { slots, reply } => {
                self.unstage(&slots);
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Drop { epoch, slots, reply } => {
                let dropped = self.facts.drop_kept(epoch, &slots);
                self.standing_changed |= !dropped.is_empty();
                self.forget_slots(&dropped);
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Adopt {
                from,
                records,
                slots,
                is_last,
                reply,
            } => match self.adopt(&from, &records, &slots, is_last) {
                Ok(()) => Decision::Then(After::Adopted(reply, Ok(()))),
                Err(NoReturn::TooLate) => {
                    self.standing_changed |= self.facts.gives_up_on(from.id(), &slots);
                    Decision::Then(After::Adopted(reply, Err(NoReturn::TooLate)))
                }
                Err(reason) => {
                    let _ = reply.send(Err(reason));
                    Decision::Then(After::Nothing)
                }
            },
            Job::Leave { life, reply } => {
                let left = self.leave(life);
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
                if self.facts.views.contains_key(&target) && self.facts.seal(target) {
                    self.standing_changed = true;
                }
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Activate { target, reply } => {
                self.activate(target);
                Decision::Then(After::Done(reply, Ok(())))
            }
            Job::Close(closed) => {
                self.standing_changed |= self.facts.close(closed);
                Decision::Then(After::Nothing)
            }
            Job::Forget(tombstones) => {
                self.forget(&tombstones);
                Decision::Then(After::Nothing)
            }
            Job::Give { .. } => unreachable!("given from published facts, before the batch is begun"),
        }
    }

    /// Takes a write as coordinator: a timestamp above all that the client depends on, the next number
    /// of our log.
    fn write(&mut self, key: &Key, value: Option<&[u8]>, payload: &Payload) -> Stored {
        if !planted::is(Fault::ClockNotRaised) {
            self.me.clock.observe(payload.timestamp);
        }
        let timestamp = self.me.clock.tick(self.me.wall_ms());
        let dot = self.facts.next_dot();
        let created = self
            .current(key.as_str())
            .is_none_or(|record| record.is_tombstone());
        let record = Record::new(key, value, dot, timestamp, &payload.entries);
        self.facts.vector.raise(dot);
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

    fn push(&mut self, job: super::jobs::PushJob) -> Decision {
        let (from, push) = (job.from, &job.push);
        let is_sealed = self.facts.is_sealed() && !planted::is(Fault::PushesAfterTheSeal);
        if push.epoch != self.facts.active || is_sealed || !self.facts.is_sibling(from) {
            return Decision::Then(After::Answered(job.reply, Answer::NotTaken));
        }
        let log = Log {
            epoch: push.epoch,
            member: from,
        };
        if push.first > self.facts.vector.number(log) + 1 && !planted::is(Fault::GapsTaken) {
            return Decision::Later(Job::Push(job));
        }
        let answer = if self.take_push(from, push) {
            // Of two members, the one that pushes has it and the one that takes it has it: that is all.
            if self.facts.siblings().len() == 1 {
                self.stable.raise(Dot {
                    log,
                    number: self.facts.vector.number(log),
                });
            }
            Answer::Held {
                epoch: self.facts.active,
                held: self.facts.vector.clone(),
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
            if number > self.facts.vector.number(log) {
                self.facts.vector.raise(dot);
                self.vector_changed = true;
                self.merge(record.clone());
            }
        }
        true
    }

    fn take(&mut self, ask: &Ask, given: &Given, records: Vec<Record>) -> Result<(), NotStored> {
        let (vector, regions) = (self.facts.vector.clone(), self.facts.regions.clone());
        if ask.target == ask.active {
            self.facts.take_steady(ask, given)?;
        } else {
            self.facts.take_hand_over(ask, given)?;
            self.standing_changed = true;
        }
        self.vector_changed |= vector != self.facts.vector;
        self.standing_changed |= regions != self.facts.regions;
        for record in records {
            self.merge(record);
        }
        Ok(())
    }

    /// Records of slots that are on their way to us: not read, not given, until the hand-over that ends
    /// the copy.
    fn stage(&mut self, target: Epoch, records: Vec<Record>) -> Result<(), NotStored> {
        // After the seal nobody would vouch for more of a copy.
        if self.facts.active >= target || self.facts.sealed >= target {
            return Err(NotStored::Stopped);
        }
        for record in records {
            self.merge(record);
        }
        Ok(())
    }

    /// Records of slots that are neither owned nor kept, and were not handed over: a copy that does not
    /// count.
    fn unstage(&mut self, slots: &SlotSet) {
        if planted::is(Fault::CopiesNotVouchedFor) {
            return;
        }
        let counted = self.facts.owned_slots().union(&self.facts.kept_slots());
        let target = self.facts.newest().map_or(Epoch::NONE, |view| view.epoch);
        let counted = counted.union(&self.facts.handed_over(target));
        self.forget_slots(&slots.difference(&counted));
    }

    fn forget_slots(&mut self, slots: &SlotSet) {
        let forgotten = &mut self.forgotten;
        self.resident.for_each_in(slots.iter(), |record| {
            forgotten.insert(record.key().into());
        });
        // What an earlier job of this batch stored is not in the map yet.
        self.winners.retain(|_, record| !slots.contains(record.slot()));
    }

    /// Takes what wins against what is here, each as a write of our own: the same value, time and
    /// dependencies under a new dot.
    fn adopt(
        &mut self,
        from: &Member,
        records: &[Record],
        slots: &SlotSet,
        is_last: bool,
    ) -> Result<(), NoReturn> {
        let forget_ms = millis(self.limits.forget_after);
        let limit_ms = forget_ms.saturating_sub(3 * millis(self.limits.clock_limit));
        self.facts.may_adopt(from, self.me.wall_ms(), limit_ms)?;
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
        if is_last {
            self.standing_changed |= self.facts.has_returned(from.id(), slots);
        }
        Ok(())
    }

    /// Ends this life of the node: nothing of it is kept, or it does not end.
    fn leave(&mut self, life: Member) -> Result<(), NotStored> {
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

    fn vote(&mut self, epoch: Epoch, decide: impl FnOnce(&mut crate::view_change::Acceptor) -> Vote) -> Vote {
        let facts = &self.facts;
        let in_first = epoch == Epoch::FIRST && facts.active == Epoch::NONE && facts.views.is_empty();
        let in_next = facts.active != Epoch::NONE && epoch == facts.active.next() && facts.is_member();
        if !(in_first || in_next) || facts.views.contains_key(&epoch) {
            return Vote::NotVoting;
        }
        self.acceptors_changed = !planted::is(Fault::VotesNotStored);
        decide(self.acceptors.entry(epoch).or_default())
    }

    fn learn(&mut self, known: &Known) {
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

    fn activate(&mut self, target: Epoch) {
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

    fn forget(&mut self, tombstones: &[Record]) {
        // A view may have been chosen since they were found.
        for tombstone in tombstones.iter().filter(|_| self.facts.is_settled()) {
            if self.current(tombstone.key()).as_ref() == Some(tombstone) {
                self.forgotten.insert(tombstone.key().into());
            }
        }
    }

    fn merge(&mut self, record: Record) {
        self.me.clock.observe(record.timestamp());
        let wins = self
            .current(record.key())
            .is_none_or(|current| record.supersedes(&current) == Supersedes::Yes);
        if wins || planted::is(Fault::ArrivalOrderWins) {
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn key_of(key: &str) -> Key {
    Key::new(key).expect("a record has a key")
}
