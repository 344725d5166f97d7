//! Batches: several operations of one client in one request.
//!
//! Operations on keys of one partition go to one owner together. They are carried out in their order, and
//! stored with one sync or not at all. Partitions come one after the other, in the order in which the
//! operations first name them, and each gets the payload of those before. So an operation depends on all
//! earlier ones of its own partition and on all of the partitions before it. It does not depend on an
//! earlier operation of a partition that is first named later.
//!
//! An answer has limited room for what is read (`room`). A read that does not fit is refused, and its
//! client asks again; a write keeps its result.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::names::PartitionId;
use crate::node::claims::vouch::Vetted;
use crate::node::commit::job::{Job, NotStored};
use crate::node::limits::{PATIENCE, STORE_LIMIT};
use crate::node::outcome::{Done, Found, NotTaken, Refusal, Written};
use crate::node::requests::Requests;
use crate::node::requests::forward::Forwarded;
use crate::node::requests::room::{Budget, Room};
use crate::protocol::causality::Payload;
use crate::protocol::replication::{NotHere, Operation, Operations, Outcome, may_do, trimmed};
use crate::wire::peer::{Answer, Question};

/// The writes per second that even a slow disk stores when a great many batches come at once.
const OPERATIONS_A_SECOND: f64 = 5000.0;

/// The result of each operation, in order, and what the client depends on after all of them.
#[derive(Debug)]
pub struct AllDone {
    pub results: Vec<Result<Done, Refusal>>,
    pub payload: Payload,
    /// The room that the values in the results take.
    pub room: Room,
}

/// Why operations on one partition have no results.
enum Undone {
    Refused(Refusal),
    /// The view has changed, and their keys are in different partitions.
    Scattered,
}

impl Requests {
    /// Carries out operations on any keys for a client that depends on `payload`.
    pub async fn batch(&self, operations: Vec<Operation>, payload: Payload) -> AllDone {
        self.replication.proven().await;
        let (mut payload, mut budget) = (payload, Budget::new(self.room()));
        let mut results: Vec<Option<Result<Done, Refusal>>> = operations.iter().map(|_| None).collect();
        let mut began = Instant::now();
        while let Some(first) = results.iter().position(Option::is_none) {
            let partition = self.partition_of(operations[first].key());
            let of_it = |index: &usize| self.partition_of(operations[*index].key()) == partition;
            let open = (first..operations.len()).filter(|index| results[*index].is_none());
            let indices: Vec<usize> = open.filter(of_it).collect();
            let group: Vec<Operation> = indices.iter().map(|index| operations[*index].clone()).collect();
            let done = match self.group(&group, &payload, partition, &mut budget, began).await {
                Ok(done) => done,
                Err(Undone::Refused(refusal)) => vec![Err(refusal); group.len()],
                // `began` stays: no client waits longer because the view changed.
                Err(Undone::Scattered) => continue,
            };
            began = Instant::now();
            for (index, result) in indices.into_iter().zip(done) {
                if let Some(seen) = seen(&result) {
                    payload.join(seen);
                }
                results[index] = Some(result);
            }
        }
        let payload = trimmed(&self.shared.me.state(), &self.shared.acks.stable(), &payload);
        let results = results.into_iter().flatten().collect();
        AllDone {
            results,
            payload,
            room: budget.into_room(),
        }
    }

    async fn group(
        &self,
        operations: &[Operation],
        payload: &Payload,
        partition: PartitionId,
        budget: &mut Budget,
        began: Instant,
    ) -> Result<Vec<Result<Done, Refusal>>, Undone> {
        let only_reads = operations.iter().all(Operation::is_read);
        let (asked, wait) = (Instant::now(), self.shared.limits.causal_wait);
        if only_reads && self.owns(operations[0].key()) {
            return Ok(self.reads(operations, payload.clone(), budget, wait).await);
        }
        let together = self.batch_of_partition(operations, payload, budget.left(), began);
        let outcomes = match together.await {
            // Reads that no single owner can answer together may succeed one by one at several owners.
            Err(Undone::Refused(refusal)) if only_reads && !refusal.is_of_all_owners() => {
                let rest = wait.saturating_sub(asked.elapsed());
                return Ok(self.reads(operations, payload.clone(), budget, rest).await);
            }
            outcomes => outcomes?,
        };
        let outcomes = operations.iter().zip(outcomes);
        let done = outcomes.map(|(operation, outcome)| match outcome {
            Outcome::NoRoom => Err(budget.refusal()),
            outcome if operation.is_read() => {
                let room = budget.take(outcome.about_bytes());
                room.and_then(|()| done(outcome, partition))
            }
            outcome => done(outcome, partition),
        });
        Ok(done.collect())
    }

    /// Reads keys of one partition, each with the payload of those before: if this replica cannot answer,
    /// any other may, and not always the same one. A read waits for at most `wait`. After a refused read,
    /// the next one would be refused too.
    async fn reads(
        &self,
        operations: &[Operation],
        mut payload: Payload,
        budget: &mut Budget,
        wait: Duration,
    ) -> Vec<Result<Done, Refusal>> {
        let mut results: Vec<Result<Done, Refusal>> = Vec::with_capacity(operations.len());
        for read in operations {
            let refused = results.last().filter(|last| seen(last).is_none());
            let result = match refused {
                Some(refused) => refused.clone(),
                None if budget.left() == 0 => Err(budget.refusal()),
                None => {
                    let read = self.get_within(read.key(), payload.clone(), wait).await;
                    budget.take(about_bytes(&read)).and(read.map(Done::Found))
                }
            };
            if let Some(seen) = seen(&result) {
                payload.join(seen);
            }
            results.push(result);
        }
        results
    }

    async fn batch_of_partition(
        &self,
        operations: &[Operation],
        payload: &Payload,
        room: usize,
        began: Instant,
    ) -> Result<Vec<Outcome>, Undone> {
        self.view_changes.route().map_err(Undone::Refused)?;
        let key = operations[0].key();
        let payload = &self
            .claims
            .vetted_entries(payload)
            .await
            .map_err(Undone::Refused)?
            .payload;
        self.claims.vet_epoch(payload).await.map_err(Undone::Refused)?;
        loop {
            let done_here = self.batch_here_patiently(operations, payload, room, began);
            let is_behind = match done_here.await {
                Ok(outcomes) => return Ok(outcomes),
                Err(NotTaken::Refused(refusal)) => return Err(Undone::Refused(refusal)),
                // The operations have waited for the next view for as long as a client should.
                Err(NotTaken::NotHere(NotHere::Sealed)) => {
                    return Err(Undone::Refused(self.refusal(key, &[])));
                }
                Err(NotTaken::NotHere(not_here)) => {
                    matches!(not_here, NotHere::Missing(_) | NotHere::EpochAhead(_))
                }
            };
            let awaited = self.rooms.await_one();
            let question = |id| Question::Batch {
                id,
                operations: operations.to_vec(),
                payload: payload.clone(),
                room: awaited.share_of(room),
            };
            let outcomes = |answer| match answer {
                Answer::Done(outcomes) if outcomes.len() == operations.len() => Some(outcomes),
                _ => None,
            };
            let refusal = match self.forward(key, question, outcomes, began).await {
                Forwarded::Answered(Ok(outcomes)) => return Ok(outcomes),
                Forwarded::Answered(Err(refusal)) if is_behind => refusal.into_behind(),
                Forwarded::Answered(Err(refusal)) => refusal,
                Forwarded::OursNow => continue,
            };
            let partition = self.partition_of(key);
            let elsewhere = |operation: &Operation| self.partition_of(operation.key()) != partition;
            // An operation that may have been done is not done again.
            let is_undone = matches!(refusal, Refusal::Behind { .. } | Refusal::Unavailable { .. });
            if is_undone && operations.iter().any(elsewhere) {
                return Err(Undone::Scattered);
            }
            if !self.may_catch_up(&refusal, began).await {
                return Err(Undone::Refused(refusal));
            }
        }
    }

    /// The same by this replica, which fetches what it lacks for up to `PATIENCE` first.
    async fn batch_here_patiently(
        &self,
        operations: &[Operation],
        payload: &Payload,
        room: usize,
        began: Instant,
    ) -> Result<Vec<Outcome>, NotTaken> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let published = self.shared.me.published.count();
            let not_here = match may_do(
                &self.shared.me.state(),
                &self.shared.acks.stable(),
                operations,
                payload,
            ) {
                Ok(()) | Err(NotHere::NotOwner | NotHere::Sealed) => {
                    match self.batch_here(operations, payload, room, began).await {
                        // A record that an earlier operation shows may depend on a write that is not here.
                        // No retry on news: the attempt itself has the committer publish.
                        Err(NotTaken::NotHere(missing @ NotHere::Missing(_))) => {
                            self.fetch_what_is_missing(&missing);
                            return Err(NotTaken::NotHere(missing));
                        }
                        done => return done,
                    }
                }
                Err(not_here) => not_here,
            };
            self.fetch_what_is_missing(&not_here);
            let news = self.shared.me.published.beyond(published);
            if timeout_at(deadline, news).await.is_err() {
                return Err(NotTaken::NotHere(not_here));
            }
        }
    }

    /// Carries out operations on keys that are all owned here, and waits for the siblings as any write
    /// does.
    pub(crate) async fn batch_here(
        &self,
        operations: &[Operation],
        payload: &Payload,
        room: usize,
        began: Instant,
    ) -> Result<Vec<Outcome>, NotTaken> {
        let state = self.shared.me.state();
        let partition = state.partition().ok_or(NotTaken::NotHere(NotHere::NotOwner))?;
        let has_writes = operations.iter().any(|operation| !operation.is_read());
        if let Some(reason) = self.shared.storage.stuck_reason().filter(|_| has_writes) {
            return Err(NotTaken::Refused(Refusal::StorageFailed(reason)));
        }
        let known_stable = self.shared.acks.stable();
        let Vetted { payload, vouched, .. } = self.claims.vetted_for_storing(payload).await?;
        let (reply, stored) = oneshot::channel();
        let asked = Operations {
            operations: operations.to_vec(),
            payload,
            vouched,
            room,
            known_stable,
        };
        let all_stored = async {
            let arrived = began;
            self.shared
                .commit
                .enqueue(Job::Operations {
                    asked,
                    arrived,
                    reply,
                })
                .await;
            let stored = stored.await.unwrap_or(Err(NotStored::Stopped))?;
            let replicas = match stored.settled {
                Some(settled) => settled.await.unwrap_or(Err(NotStored::Stopped))?.replicas,
                None => 0,
            };
            Ok((stored.outcomes, replicas))
        };
        match timeout(store_limit(operations.len()), all_stored).await {
            Ok(Ok((outcomes, replicas))) => Ok(self.settled(outcomes, replicas)),
            Ok(Err(reason)) => Err(self.not_taken(reason, partition)),
            Err(_) => Err(NotTaken::Refused(Refusal::UnknownOutcome { partition })),
        }
    }

    /// Notes how many replicas hold the writes, and trims what every sibling holds from the payloads.
    fn settled(&self, mut outcomes: Vec<Outcome>, held_by: u32) -> Vec<Outcome> {
        let (state, stable) = (self.shared.me.state(), self.shared.acks.stable());
        for outcome in &mut outcomes {
            let payload = match outcome {
                Outcome::Found { payload, .. } | Outcome::Missing { payload } => payload,
                Outcome::Written(effect) => {
                    effect.replicas = held_by;
                    &mut effect.payload
                }
                Outcome::NoRoom => continue,
            };
            *payload = trimmed(&state, &stable, payload);
        }
        outcomes
    }
}

/// How long a client waits for this node's own disk: longer, the more there is to store.
fn store_limit(operations: usize) -> Duration {
    STORE_LIMIT + Duration::from_secs(1).mul_f64(operations as f64 / OPERATIONS_A_SECOND)
}

fn done(outcome: Outcome, partition: PartitionId) -> Result<Done, Refusal> {
    match outcome {
        Outcome::Found { record, payload } => Ok(Done::Found(Found {
            record,
            partition,
            payload,
        })),
        Outcome::Missing { payload } => Err(Refusal::KeyNotFound { partition, payload }),
        Outcome::Written(effect) => Ok(Done::Written(Written::new(partition, effect))),
        Outcome::NoRoom => Err(Refusal::AnswerTooLarge),
    }
}

/// About how many bytes the answer to a read takes.
fn about_bytes(read: &Result<Found, Refusal>) -> usize {
    match read {
        Ok(found) => found.record.as_block().len() + found.payload.about_bytes(),
        Err(Refusal::KeyNotFound { payload, .. }) => payload.about_bytes(),
        Err(_) => 0,
    }
}

/// What the client depends on after this result.
fn seen(result: &Result<Done, Refusal>) -> Option<&Payload> {
    match result {
        Ok(Done::Found(found)) => Some(&found.payload),
        Ok(Done::Written(written)) => Some(&written.payload),
        Err(Refusal::KeyNotFound { payload, .. }) => Some(payload),
        Err(_) => None,
    }
}
