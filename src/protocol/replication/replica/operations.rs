//! Carries out several operations of one client in one batch. All are judged first, so that either all are done here
//! or none; then each depends on those before it.

use std::collections::BTreeSet;

use super::{Effect, Operation, Operations, Outcome, Replica, Stored};
use crate::protocol::causality::{Payload, Record, VersionVector};
use crate::protocol::replication::{NotHere, Records, ReplicaState, answer, may_read, may_write};

/// The client's dependencies after the operations so far.
struct Client {
    payload: Payload,
    /// Every entry of the payload is known to exist.
    vouched: bool,
    /// Bytes of values that the answer may still show.
    room: usize,
}

impl Client {
    fn shown(&mut self, outcome: Outcome) -> Outcome {
        self.room = self.room.saturating_sub(outcome.about_bytes());
        outcome
    }
}

impl<R: Records> Replica<'_, R> {
    /// Carries out all of them, or none. Also gives the last write among them, if there is one.
    pub fn operations(&mut self, asked: &Operations) -> Result<(Vec<Outcome>, Option<Stored>), NotHere> {
        self.judge_operations(asked)?;
        let mut client = Client {
            payload: asked.payload.clone(),
            vouched: asked.vouched,
            room: asked.room,
        };
        let mut last = None;
        let outcomes = asked.operations.iter().map(|operation| {
            let (outcome, stored) = self.carry_out(operation, &mut client, &asked.known_stable);
            last = stored.or(last.take());
            outcome
        });
        let outcomes = outcomes.collect();
        Ok((outcomes, last))
    }

    /// Judges each read and deletion by the payload that the client has after the operations before it. A key
    /// that an earlier operation of the batch writes shows nothing new.
    fn judge_operations(&self, asked: &Operations) -> Result<(), NotHere> {
        let stable = &asked.known_stable;
        may_do(&self.state, stable, &asked.operations, &asked.payload)?;
        let (mut payload, mut written) = (asked.payload.clone(), BTreeSet::new());
        for operation in &asked.operations {
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
        let stored = self.draw_write(operation.key(), value, &client.payload, client.vouched);
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

/// Checks whether all operations may be carried out here.
pub fn may_do(
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
