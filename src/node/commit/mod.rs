//! The one place where a node's state changes: drain the queue, decide, store with one sync, publish,
//! push, wake each waiter.
//!
//! The order is the safety argument: nothing is sent, answered or shown before it is stored (I8), and a
//! reader never sees a vector whose records are not in the map yet, or not any more.

pub(super) mod draft;
pub(super) mod handle;
pub(super) mod health;
pub(super) mod job;
pub(super) mod pace;
pub(super) mod waiters;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use crate::names::{Epoch, MemberId, SLOTS};
use crate::node::Node;
use crate::node::commit::draft::{Decision, Draft};
use crate::node::commit::job::{After, Job, NotStored, OperationsStored, PushJob, batches};
use crate::node::commit::pace::rest_after;
use crate::node::limits::{HELD_LIMIT, LATE_PUSH_LIMIT, PARKED_LIMIT, PUSH_LIMIT, WRITE_LIMIT};
use crate::planted::{self, Fault};
use crate::protocol::causality::Record;
use crate::protocol::replication::{NotHere, ReplicaState, Unstable};
use crate::store::{Batch, Engine, StoreError};
use crate::wire::notes::Acceptors;
use crate::wire::peer::Answer;

/// Jobs that may wait: enough to fill a batch while the one before is being synced. A sender that
/// finds the queue full waits.
pub(crate) const QUEUE_JOBS: usize = 1024;

/// Jobs in one batch at the most, so that a burst does not make the first of it wait for the last.
const BATCH_JOBS: usize = 512;

/// Pushes that wait here at the most; records of those that do not fit come by an exchange.
const PARKED_MAX: usize = 256;

/// How long to wait before a batch of unknown fate is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Owns the state; runs until the node stops.
#[derive(Debug)]
pub struct Committer {
    node: Arc<Node>,
    engine: Arc<dyn Engine>,
    queue: mpsc::Receiver<Job>,
    acceptors: Acceptors,
    unstable: Unstable,
    /// Writes that wait for the next view.
    held: Vec<Job>,
    /// Pushes that wait for the number before them.
    parked: Vec<Job>,
    /// Jobs about whole slots. A batch takes one of them, so that no write waits behind several.
    bulky: VecDeque<Job>,
    /// When the next of them may be taken.
    bulky_after: Instant,
}

impl Committer {
    pub(crate) fn new(
        node: Arc<Node>,
        engine: Arc<dyn Engine>,
        queue: mpsc::Receiver<Job>,
        acceptors: Acceptors,
        unstable: Unstable,
    ) -> Self {
        Self {
            node,
            engine,
            queue,
            acceptors,
            unstable,
            held: Vec::new(),
            parked: Vec::new(),
            bulky: VecDeque::new(),
            bulky_after: Instant::now(),
        }
    }

    pub async fn run(mut self) {
        let mut jobs = Vec::with_capacity(BATCH_JOBS);
        while self.next_jobs(&mut jobs).await {
            self.refuse_held();
            let has_bulky = self.spread_bulky(&mut jobs);
            self.give(&mut jobs);
            let began = has_bulky.then(Instant::now);
            // What is parked or given up in time waits for no job: there is a batch, though an empty one.
            let mut batches = batches(std::mem::take(&mut jobs)).into_iter();
            self.commit(batches.next().unwrap_or_default()).await;
            for batch in batches {
                self.commit(batch).await;
            }
            if let Some(began) = began {
                self.bulky_after = Instant::now() + rest_after(began.elapsed());
            }
        }
    }

    /// Waits for work; false when the node stops.
    async fn next_jobs(&mut self, jobs: &mut Vec<Job>) -> bool {
        let node = Arc::clone(&self.node);
        let waiting = self.parked.iter().chain(&self.held);
        let until = waiting.filter_map(waits_until).min();
        tokio::select! {
            biased;
            () = node.tasks.stopping() => false,
            received = self.queue.recv_many(jobs, BATCH_JOBS) => received > 0,
            () = sleep_until(Some(self.bulky_after)), if !self.bulky.is_empty() => true,
            () = sleep_until(until) => true,
        }
    }

    /// Leaves one job about whole slots in the batch, the one that has waited longest; none while the disk has to
    /// recover from the last one. True if it leaves one.
    fn spread_bulky(&mut self, jobs: &mut Vec<Job>) -> bool {
        self.bulky.extend(jobs.extract_if(.., |job| job.is_bulky()));
        let next = self.bulky.pop_front_if(|_| self.bulky_after <= Instant::now());
        let takes_one = next.is_some();
        jobs.extend(next);
        takes_one
    }

    /// Writes that have waited long enough for the next view: nothing was done with them.
    fn refuse_held(&mut self) {
        let is_due = |job: &mut Job| waits_until(job).is_some_and(|until| until <= Instant::now());
        for job in self.held.extract_if(.., is_due) {
            job.refuse(NotStored::NotHere(NotHere::Sealed));
        }
    }

    /// Exchanges are answered between two batches: what is published is exactly what is stored.
    fn give(&mut self, jobs: &mut Vec<Job>) {
        let state = self.node.me.state();
        // Until a change is through, what became stable behind a copy is what its hand-over brings.
        if !state.is_between_views() {
            self.unstable.settle(&self.node.acks.stable(), state.closed.below);
        }
        for job in std::mem::take(jobs) {
            let Job::Give { ask, reply } = job else {
                jobs.push(job);
                continue;
            };
            let resident = &self.node.resident;
            let given = state.give(&ask, &self.unstable, |slots, is_wanted| {
                let mut records = Vec::new();
                resident.for_each_in(slots.iter(), |record| {
                    if is_wanted(record.dot()) {
                        records.push(record.clone());
                    }
                });
                records
            });
            if given.is_ok() && ask.is_steady() {
                self.node.acks.rejoins(ask.taker.id());
            }
            let _ = reply.send(given);
        }
    }

    async fn commit(&mut self, jobs: Vec<Job>) {
        let node = Arc::clone(&self.node);
        let before = node.me.state();
        let mut draft = Draft::new(
            &node.me,
            &node.resident,
            &node.limits,
            (*before).clone(),
            self.acceptors.clone(),
            node.following.attempt(),
        );
        let mut afters = Vec::with_capacity(jobs.len());
        let mut parked = std::mem::take(&mut self.parked);
        parked.sort_by_key(parked_number);
        for job in jobs.into_iter().chain(parked) {
            self.decide(&mut draft, job, &mut afters);
        }
        self.retry_parked(&mut draft, &mut afters);
        let batch = draft.batch();
        if let Some(first) = draft.own.first().filter(|_| planted::is(Fault::SentBeforeStored)) {
            let deadline = push_deadline(draft.oldest);
            let (first, after) = (first.dot().number, before.vector.number(before.own_log()));
            node.push(&draft.state, after, first, draft.own.clone(), deadline);
        }
        if let Err(reason) = self.store(&batch, &mut afters).await {
            for after in afters {
                after.refuse(&reason);
            }
            return;
        }
        self.acceptors = std::mem::take(&mut draft.acceptors);
        let Draft {
            state,
            own,
            oldest,
            forgotten,
            stable,
            begins_anew,
            pages,
            handed_over,
            ..
        } = draft;
        node.pages.change(pages, handed_over);
        self.publish(&before, state, batch.records, forgotten);
        self.node.acks.learn_stable(&stable);
        let after = before.vector.number(node.me.state().own_log());
        self.answer(own, after, push_deadline(oldest), afters);
        self.settle_epoch(&before);
        if begins_anew {
            self.node.begin_life();
        }
    }

    fn decide(&mut self, draft: &mut Draft<'_>, job: Job, afters: &mut Vec<After>) {
        match draft.decide(job) {
            Decision::Then(after) => afters.push(after),
            Decision::Later(Job::Push(push)) => self.park(push),
            Decision::Later(job) => self.held.push(job),
        }
    }

    /// A push that filled a gap makes room for those parked behind it.
    fn retry_parked(&mut self, draft: &mut Draft<'_>, afters: &mut Vec<After>) {
        loop {
            let mut parked = std::mem::take(&mut self.parked);
            let count = parked.len();
            parked.sort_by_key(parked_number);
            for job in parked {
                self.decide(draft, job, afters);
            }
            if self.parked.len() == count {
                return;
            }
        }
    }

    /// The number before it is missing: it may be on its way, so the push waits a little; the sibling
    /// is asked for what is missing at once.
    fn park(&mut self, push: PushJob) {
        let expired = push.arrived.elapsed() >= PARKED_LIMIT;
        if expired || self.parked.len() >= PARKED_MAX {
            let _ = push.reply.send(Answer::NotTaken);
            return;
        }
        let state = self.node.me.state();
        if let Some(member) = state.view().and_then(|view| view.member_by_id(push.from)) {
            self.node.me.ring(&member.node);
        }
        self.parked.push(Job::Push(push));
    }

    /// Stores a batch. While nobody can say whether it is stored, it is tried again and nothing else
    /// is; those who wait for it are told at once.
    async fn store(&mut self, batch: &Batch, afters: &mut Vec<After>) -> Result<(), NotStored> {
        if batch.is_empty() {
            return Ok(());
        }
        loop {
            let began = Instant::now();
            self.node.storage.begins();
            let stored = self.engine.commit(batch).await;
            self.node.storage.took(began.elapsed(), batch);
            self.node.pace.took(began.elapsed());
            match stored {
                Ok(()) => {
                    self.node.storage.well();
                    return Ok(());
                }
                Err(StoreError::Refused(reason) | StoreError::Unreadable(reason)) => {
                    self.node.storage.refused(&reason);
                    return Err(NotStored::Failed(reason));
                }
                Err(StoreError::Unknown(reason)) => {
                    self.node.storage.stuck(&reason);
                    for after in afters.drain(..) {
                        after.refuse(&NotStored::InDoubt);
                    }
                    let node = Arc::clone(&self.node);
                    tokio::select! {
                        biased;
                        () = node.tasks.stopping() => return Err(NotStored::Stopped),
                        () = sleep(RETRY_PAUSE) => {}
                    }
                }
            }
        }
    }

    /// Makes a stored batch visible: records before the state that speaks of them, and a state that speaks of
    /// records no longer before these go. A reader that misses a record then sees the state that says why.
    pub(crate) fn publish(
        &mut self,
        before: &ReplicaState,
        state: ReplicaState,
        records: Vec<Record>,
        mut forgotten: BTreeSet<Box<str>>,
    ) {
        for record in records {
            forgotten.remove(record.key());
            self.node.claims.note(&record);
            if let Some(superseded) = self.node.resident.put(record.clone()) {
                self.unstable.remove(superseded.dot());
            }
            if record.dot().log.epoch >= state.closed.below {
                self.unstable.insert(record);
            }
        }
        if state.gone.len() > before.gone.len() {
            let slots = state.gone.len() - before.gone.len();
            tracing::error!(
                slots,
                of = SLOTS,
                "keys may be lost: the only holder of some slots lost its disk"
            );
        }
        self.node.me.publish(state);
        for key in forgotten {
            if let Some(record) = self.node.resident.remove(&key) {
                self.unstable.remove(record.dot());
            }
        }
    }

    /// When a new epoch is active: acknowledgements begin anew, and what waited for it goes on.
    fn settle_epoch(&mut self, before: &ReplicaState) {
        let state = self.node.me.state();
        if state.closed != before.closed {
            self.node.acks.forget_below(state.closed.below);
        }
        if before.is_run_new && !state.is_run_new {
            self.node.greet_anew();
        }
        if state.lost.len() > before.lost.len() {
            self.node.hear_owners_of_lost(before, &state);
        }
        let place = |state: &ReplicaState| (state.active, state.is_leaving(), state.ended, state.is_unproven);
        if place(&state) == place(before) {
            if state.is_sealed() && !before.is_sealed() {
                self.node.acks.seal();
            }
            return;
        }
        self.node.begin_epoch(&state);
        // A disk that was in doubt may have kept this from going on for longer than they may wait.
        self.refuse_held();
        let held = std::mem::take(&mut self.held);
        let node = Arc::clone(&self.node);
        self.node.tasks.spawn(async move {
            for job in held {
                node.commit.enqueue(job).await;
            }
        });
    }

    fn answer(&mut self, own: Vec<Record>, after: u64, push_deadline: Instant, afters: Vec<After>) {
        let state = self.node.me.state();
        let number = state.vector.number(state.own_log());
        let mut writers = Vec::new();
        let mut others = Vec::new();
        for after in afters {
            match after {
                After::Written(reply, stored) => writers.push((stored.dot.number, (reply, stored))),
                After::Operations(reply, outcomes, last) => {
                    let settled = last.map(|stored| {
                        let (settled, waiting) = oneshot::channel();
                        writers.push((stored.dot.number, (settled, stored)));
                        waiting
                    });
                    let _ = reply.send(Ok(OperationsStored { outcomes, settled }));
                }
                other => others.push(other),
            }
        }
        let first = own.first().map(|record| record.dot().number);
        self.node.acks.stored(number, writers);
        if let Some(first) = first {
            self.node.push(&state, after, first, own, push_deadline);
        }
        for other in others {
            match other {
                After::Nothing | After::Written(..) | After::Operations(..) => {}
                After::Answered(reply, answer) => drop(reply.send(answer)),
                After::Done(reply, done) => drop(reply.send(done)),
                After::Voted(reply, vote) => drop(reply.send(vote)),
                After::Adopted(reply, adopted) => drop(reply.send(adopted)),
            }
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Until when siblings may acknowledge a batch of which the oldest write has waited since then.
fn push_deadline(oldest: Option<Instant>) -> Instant {
    let now = Instant::now();
    let patience_ends = oldest.unwrap_or(now) + WRITE_LIMIT;
    patience_ends.clamp(now + LATE_PUSH_LIMIT, now + PUSH_LIMIT)
}

fn waits_until(job: &Job) -> Option<Instant> {
    match job {
        Job::Push(push) => Some(push.arrived + PARKED_LIMIT),
        Job::Write(write) => Some(write.arrived + HELD_LIMIT),
        Job::Operations(job) => Some(job.arrived + HELD_LIMIT),
        _ => None,
    }
}

fn parked_number(job: &Job) -> (Epoch, MemberId, u64) {
    let Job::Push(push) = job else {
        return (Epoch::NONE, MemberId(0), 0);
    };
    (push.push.epoch, push.from, push.push.first)
}
