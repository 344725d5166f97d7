//! Several operations of one client in one batch: judged all together first, so that all of them are done
//! here or none, then carried out one after the other, each depending on those before.

use std::collections::BTreeSet;

use super::{Decision, Draft};
use crate::node::commit::job::{After, Job, NotStored, OperationsJob, Stored};
use crate::protocol::causality::{Payload, Record, VersionVector};
use crate::protocol::replication::{NotHere, ReplicaState, answer, may_read, may_write};
use crate::wire::peer::{Effect, Operation, Outcome};

/// What the client depends on after the operations so far.
struct Client {
    payload: Payload,
    /// All of it is known to exist.
    vouched: bool,
    /// Bytes that the answer may still show of what is read.
    room: usize,
}

impl Client {
    fn shown(&mut self, outcome: Outcome) -> Outcome {
        self.room = self.room.saturating_sub(outcome.about_bytes());
        outcome
    }
}

impl Draft<'_> {
    pub(super) fn operations(&mut self, job: OperationsJob) -> Decision {
        match self.judge_operations(&job) {
            Err(NotHere::Sealed) => Decision::Later(Job::Operations(job)),
            Err(not_here) => {
                let _ = job.reply.send(Err(NotStored::NotHere(not_here)));
                Decision::Then(After::Nothing)
            }
            Ok(()) => {
                self.note_arrival(job.arrived);
                let mut client = Client {
                    payload: job.payload,
                    vouched: job.vouched,
                    room: job.room,
                };
                let mut last = None;
                let outcomes = job.operations.iter().map(|operation| {
                    let (outcome, stored) = self.carry_out(operation, &mut client, &job.known_stable);
                    last = stored.or(last.take());
                    outcome
                });
                let outcomes = outcomes.collect();
                Decision::Then(After::Operations(job.reply, outcomes, last))
            }
        }
    }

    /// Judges each read and deletion by the payload that the client has after the operations before it. A key
    /// that an earlier operation of the batch writes shows nothing new.
    fn judge_operations(&self, job: &OperationsJob) -> Result<(), NotHere> {
        let stable = &job.known_stable;
        may_do(&self.state, stable, &job.operations, &job.payload)?;
        let (mut payload, mut written) = (job.payload.clone(), BTreeSet::new());
        for operation in &job.operations {
            let key = operation.key().as_str();
            let looks = !matches!(operation, Operation::Put { .. });
            if looks && !written.contains(key) {
                may_read(&self.state, stable, operation.key().slot(), &payload)?;
                payload = answer(&self.state, stable, &payload, &self.current(key));
            }
            if !operation.is_read() {
                written.insert(key);
            }
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        operation: &Operation,
        client: &mut Client,
        stable: &VersionVector,
    ) -> (Outcome, Option<Stored>) {
        let value = match operation {
            Operation::Put { value, .. } => Some(value.as_slice()),
            Operation::Get { .. } if client.room == 0 => return (Outcome::NoRoom, None),
            Operation::Get { key } | Operation::Delete { key } => {
                let record = self.current(key.as_str());
                client.vouched &= record.as_ref().is_none_or(Record::is_vouched);
                let payload = &mut client.payload;
                *payload = answer(&self.state, stable, payload, &record);
                let shown = payload.clone();
                match record.filter(|record| !record.is_tombstone()) {
                    None => return (client.shown(Outcome::Missing { payload: shown }), None),
                    Some(record) if operation.is_read() => {
                        let payload = shown;
                        return (client.shown(Outcome::Found { record, payload }), None);
                    }
                    Some(_) => None,
                }
            }
        };
        let stored = self.write(operation.key(), value, &client.payload, client.vouched);
        let payload = &mut client.payload;
        payload.depend_on(stored.dot, stored.timestamp);
        let outcome = Outcome::Written(Effect {
            created: stored.created,
            payload: payload.clone(),
            timestamp: stored.timestamp,
            replicas: stored.replicas,
        });
        (outcome, Some(stored))
    }
}

/// Whether all of them may be carried out here.
pub(crate) fn may_do(
    state: &ReplicaState,
    stable: &VersionVector,
    operations: &[Operation],
    payload: &Payload,
) -> Result<(), NotHere> {
    for operation in operations {
        let slot = operation.key().slot();
        // A deletion must know whether the key exists.
        if !matches!(operation, Operation::Put { .. }) {
            may_read(state, stable, slot, payload)?;
        }
        if !operation.is_read() {
            may_write(state, slot, payload.epoch)?;
        }
    }
    Ok(())
}
