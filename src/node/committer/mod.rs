//! The one place where a node's state changes: drain the queue, decide, store with one sync, publish,
//! push, wake each waiter.
//!
//! The order is the safety argument: nothing is sent, answered or shown before it is stored (I8), and a
//! reader never sees a vector whose records are not in the map yet, or no longer.

mod decide;
mod to_store;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use crate::names::{Epoch, MemberId, SLOTS};
use crate::node::claims::Claims;
use crate::node::commit::job::{After, Job, NotStored, OperationsStored, PushJob, batches};
use crate::node::commit::pace::rest_after;
use crate::node::committer::decide::{Decider, Decision};
use crate::node::committer::to_store::to_store;
use crate::node::epochs::Epochs;
use crate::node::limits::{HELD_LIMIT, LATE_PUSH_LIMIT, PARKED_LIMIT, PUSH_LIMIT, WRITE_LIMIT};
use crate::node::replication::Replication;
use crate::node::shared::Shared;
use crate::node::view_change::ViewChanges;
use crate::planted::{self, Fault};
use crate::protocol::causality::Record;
use crate::protocol::replication::{Effects, NotHere, ReplicaState, Unstable};
use crate::protocol::view_change::Acceptors;
use crate::store::{Batch, Engine, StoreError};
use crate::wire::peer::Answer;

/// Queue capacity: enough to fill the next batch while the previous one syncs. Senders wait when it is full.
pub(crate) const QUEUE_JOBS: usize = 1024;

/// The most jobs in one batch, so that the first job of a burst does not wait for the last.
const BATCH_JOBS: usize = 512;

/// The most pushes that wait here. Records of further pushes come by an exchange.
const PARKED_MAX: usize = 256;

/// The pause before a batch is retried whose outcome is unknown.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Owns the state; runs until the node stops.
#[derive(Debug)]
pub struct Committer {
    shared: Arc<Shared>,
    claims: Arc<Claims>,
    replication: Arc<Replication>,
    view_changes: Arc<ViewChanges>,
    epochs: Arc<Epochs>,
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
    /// When a batch may take the next bulky job.
    bulky_after: Instant,
}

impl Committer {
    pub(crate) fn new(
        epochs: Arc<Epochs>,
        engine: Arc<dyn Engine>,
        queue: mpsc::Receiver<Job>,
        acceptors: Acceptors,
        unstable: Unstable,
    ) -> Self {
        Self {
            shared: Arc::clone(&epochs.shared),
            claims: Arc::clone(&epochs.claims),
            replication: Arc::clone(&epochs.replication),
            view_changes: Arc::clone(&epochs.view_changes),
            epochs,
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
            // Parked pushes are retried and expired even if no job came: then the batch begins empty.
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

    /// Waits for work. False when the node stops.
    async fn next_jobs(&mut self, jobs: &mut Vec<Job>) -> bool {
        let shared = Arc::clone(&self.shared);
        let waiting = self.parked.iter().chain(&self.held);
        let until = waiting.filter_map(waits_until).min();
        tokio::select! {
            biased;
            () = shared.tasks.stopping() => false,
            received = self.queue.recv_many(jobs, BATCH_JOBS) => received > 0,
            () = sleep_until(Some(self.bulky_after)), if !self.bulky.is_empty() => true,
            () = sleep_until(until) => true,
        }
    }

    /// Leaves one bulky job in the batch, the one that has waited longest; none while the disk recovers from the
    /// last one. True if it leaves one.
    fn spread_bulky(&mut self, jobs: &mut Vec<Job>) -> bool {
        self.bulky.extend(jobs.extract_if(.., |job| job.is_bulky()));
        let next = self.bulky.pop_front_if(|_| self.bulky_after <= Instant::now());
        let takes_one = next.is_some();
        jobs.extend(next);
        takes_one
    }

    /// Refuses writes that have waited long enough for the next view. Nothing of them was done.
    fn refuse_held(&mut self) {
        let is_due = |job: &mut Job| waits_until(job).is_some_and(|until| until <= Instant::now());
        for job in self.held.extract_if(.., is_due) {
            job.refuse(NotStored::NotHere(NotHere::Sealed));
        }
    }

    /// Answers exchanges between two batches: then the published state is exactly the stored one.
    fn give(&mut self, jobs: &mut Vec<Job>) {
        let state = self.shared.me.state();
        // Until a view change is complete, the hand-over brings what became stable behind a copy.
        if !state.is_between_views() {
            self.unstable
                .settle(&self.shared.acks.stable(), state.closed.below);
        }
        for job in std::mem::take(jobs) {
            let Job::Give { ask, reply } = job else {
                jobs.push(job);
                continue;
            };
            let given = state.give(&ask, &self.unstable, &self.shared.resident);
            if given.is_ok() && ask.is_steady() {
                self.shared.acks.rejoins(ask.taker.id());
            }
            let _ = reply.send(given);
        }
    }

    async fn commit(&mut self, jobs: Vec<Job>) {
        let shared = Arc::clone(&self.shared);
        let before = shared.me.state();
        let mut decider = Decider::new(
            &shared.me,
            &shared.resident,
            &shared.limits,
            (*before).clone(),
            self.acceptors.clone(),
            self.view_changes.followed_attempt(),
        );
        let mut afters = Vec::with_capacity(jobs.len());
        let mut parked = std::mem::take(&mut self.parked);
        parked.sort_by_key(parked_number);
        for job in jobs.into_iter().chain(parked) {
            self.decide(&mut decider, job, &mut afters);
        }
        self.retry_parked(&mut decider, &mut afters);
        let oldest = decider.oldest;
        let (state, acceptors, mut effects) = decider.replica.finish();
        let batch = to_store(&state, &acceptors, &mut effects);
        if let Some(first) = effects
            .own
            .first()
            .filter(|_| planted::is(Fault::SentBeforeStored))
        {
            let deadline = push_deadline(oldest);
            let (first, after) = (first.dot().number, before.vector.number(before.own_log()));
            self.replication
                .push(&state, after, first, effects.own.clone(), deadline);
        }
        if let Err(reason) = self.store(&batch, &mut afters).await {
            for after in afters {
                after.refuse(&reason);
            }
            return;
        }
        self.acceptors = acceptors;
        let Effects {
            forgotten,
            own,
            stable,
            pages,
            handed_over,
            changed,
            ..
        } = effects;
        self.view_changes.pages.change(pages, handed_over);
        self.publish(&before, state, batch.records, forgotten);
        self.shared.acks.learn_stable(&stable);
        let after = before.vector.number(shared.me.state().own_log());
        self.answer(own, after, push_deadline(oldest), afters);
        self.settle_epoch(&before);
        if changed.life {
            self.epochs.begin_life();
        }
    }

    fn decide(&mut self, decider: &mut Decider<'_>, job: Job, afters: &mut Vec<After>) {
        match decider.decide(job) {
            Decision::Then(after) => afters.push(after),
            Decision::Later(Job::Push(push)) => self.park(push),
            Decision::Later(job) => self.held.push(job),
        }
    }

    /// Retries parked pushes: a push that filled a gap lets those behind it follow.
    fn retry_parked(&mut self, decider: &mut Decider<'_>, afters: &mut Vec<After>) {
        loop {
            let mut parked = std::mem::take(&mut self.parked);
            let count = parked.len();
            parked.sort_by_key(parked_number);
            for job in parked {
                self.decide(decider, job, afters);
            }
            if self.parked.len() == count {
                return;
            }
        }
    }

    /// Parks a push whose previous number is missing. That number may be on its way, so the push waits a little; an
    /// exchange with the sibling starts at once.
    fn park(&mut self, push: PushJob) {
        let expired = push.arrived.elapsed() >= PARKED_LIMIT;
        if expired || self.parked.len() >= PARKED_MAX {
            let _ = push.reply.send(Answer::NotTaken);
            return;
        }
        let state = self.shared.me.state();
        if let Some(member) = state.view().and_then(|view| view.member_by_id(push.from)) {
            self.shared.me.ring(&member.node);
        }
        self.parked.push(Job::Push(push));
    }

    /// Stores a batch. While it is unknown whether the batch is stored, it is retried and no other batch is tried;
    /// its senders are answered at once.
    async fn store(&mut self, batch: &Batch, afters: &mut Vec<After>) -> Result<(), NotStored> {
        if batch.is_empty() {
            return Ok(());
        }
        loop {
            let began = Instant::now();
            self.shared.storage.begins();
            let stored = self.engine.commit(batch).await;
            self.shared.storage.took(began.elapsed(), batch);
            self.shared.pace.took(began.elapsed());
            match stored {
                Ok(()) => {
                    self.shared.storage.well();
                    return Ok(());
                }
                Err(StoreError::Refused(reason) | StoreError::Unreadable(reason)) => {
                    self.shared.storage.refused(&reason);
                    return Err(NotStored::Failed(reason));
                }
                Err(StoreError::Unknown(reason)) => {
                    self.shared.storage.stuck(&reason);
                    for after in afters.drain(..) {
                        after.refuse(&NotStored::InDoubt);
                    }
                    let shared = Arc::clone(&self.shared);
                    tokio::select! {
                        biased;
                        () = shared.tasks.stopping() => return Err(NotStored::Stopped),
                        () = sleep(RETRY_PAUSE) => {}
                    }
                }
            }
        }
    }

    /// Makes a stored batch visible: new records before the state that counts them, and dropped records after the
    /// state that no longer counts them. A reader that misses a record then sees the state that says why.
    pub(crate) fn publish(
        &mut self,
        before: &ReplicaState,
        state: ReplicaState,
        records: Vec<Record>,
        mut forgotten: BTreeSet<Box<str>>,
    ) {
        for record in records {
            forgotten.remove(record.key());
            self.claims.ledger.note(&record);
            if let Some(superseded) = self.shared.resident.put(record.clone()) {
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
        self.shared.me.publish(state);
        for key in forgotten {
            if let Some(record) = self.shared.resident.remove(&key) {
                self.unstable.remove(record.dot());
            }
        }
    }

    /// Begins a new epoch, if one became active: restarts acknowledgements, and resumes the writes that waited.
    fn settle_epoch(&mut self, before: &ReplicaState) {
        let state = self.shared.me.state();
        if state.closed != before.closed {
            self.shared.acks.forget_below(state.closed.below);
        }
        if before.is_run_new && !state.is_run_new {
            self.epochs.greet_anew();
        }
        if state.lost.len() > before.lost.len() {
            self.epochs.hear_owners_of_lost(before, &state);
        }
        let place = |state: &ReplicaState| (state.active, state.is_leaving(), state.ended, state.is_unproven);
        if place(&state) == place(before) {
            if state.is_sealed() && !before.is_sealed() {
                self.shared.acks.seal();
            }
            return;
        }
        self.epochs.begin_epoch(&state);
        // A disk in doubt may have held them up for longer than they may wait.
        self.refuse_held();
        let held = std::mem::take(&mut self.held);
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            for job in held {
                shared.commit.enqueue(job).await;
            }
        });
    }

    fn answer(&mut self, own: Vec<Record>, after: u64, push_deadline: Instant, afters: Vec<After>) {
        let state = self.shared.me.state();
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
        self.shared.acks.stored(number, writers);
        if let Some(first) = first {
            self.replication.push(&state, after, first, own, push_deadline);
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

/// Deadline for sibling acknowledgements, given when the batch's oldest write arrived.
fn push_deadline(oldest: Option<Instant>) -> Instant {
    let now = Instant::now();
    let patience_ends = oldest.unwrap_or(now) + WRITE_LIMIT;
    patience_ends.clamp(now + LATE_PUSH_LIMIT, now + PUSH_LIMIT)
}

fn waits_until(job: &Job) -> Option<Instant> {
    match job {
        Job::Push(push) => Some(push.arrived + PARKED_LIMIT),
        Job::Write { arrived, .. } | Job::Operations { arrived, .. } => Some(*arrived + HELD_LIMIT),
        _ => None,
    }
}

fn parked_number(job: &Job) -> (Epoch, MemberId, u64) {
    let Job::Push(push) = job else {
        return (Epoch::NONE, MemberId(0), 0);
    };
    (push.push.epoch, push.from, push.push.first)
}
