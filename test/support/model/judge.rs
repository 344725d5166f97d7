//! What must hold in every state: no write is lost, and no reader gets an answer that is too old.

use causeway::protocol::causality::{Payload, Record, Timestamp, VersionVector};
use causeway::protocol::replication::may_read;

use super::Steps;
use super::node::Node;
use super::world::World;

impl World {
    /// Notes which writes are stable according to any replica.
    pub(super) fn note_stable(&mut self) {
        for record in &self.written {
            let is_stable = |one: &Node| one.progress.stable().includes(record.dot());
            if self.nodes.iter().any(is_stable) {
                self.stable = self.stable.max(record.timestamp());
            }
        }
    }

    /// True if no replica holds the last write validly.
    pub(crate) fn is_lost(&self) -> bool {
        let last = self.written.iter().map(Record::timestamp).max();
        let holds = |one: &Node| one.valid().map(Record::timestamp) >= last;
        !self.nodes.iter().any(holds)
    }

    /// True if a reader may get too old a record: it depends on a later write, or a later one is stable.
    pub(crate) fn may_read_stale(&self, steps: &Steps) -> bool {
        self.nodes.iter().any(|replica| {
            let told = replica.record().map_or(Timestamp::ZERO, Record::timestamp);
            let may_answer = |payload: &Payload| {
                let stable = replica.progress.stable();
                may_read(&replica.state, stable, steps.key.slot(), payload).is_ok()
            };
            let owed = if may_answer(&self.payload) && !self.is_given_up(replica) {
                self.seen
            } else {
                Timestamp::ZERO
            };
            told < owed || told < self.stable && self.is_behind_stable(replica, steps)
        })
    }

    /// True if no listed node has what the client depends on. A member that was removed with it returns
    /// it late, and readers do not wait for that.
    fn is_given_up(&self, replica: &Node) -> bool {
        let Some(view) = replica.state.view() else {
            return false;
        };
        let mut seen = self
            .written
            .iter()
            .filter(|record| record.timestamp() == self.seen);
        let original = seen.next().map(Record::dot);
        let depends_on_what_returned = seen.any(|record| self.payload.entries.includes(record.dot()));
        let has = |one: &Node| {
            let record = one.record();
            record.is_some_and(|record| Some(record.dot()) == original || record.timestamp() > self.seen)
        };
        let mut listed = self.nodes.iter().filter(|one| view.is_member(&one.state.me));
        !depends_on_what_returned && !listed.any(has)
    }

    /// True if a ready owner lacks a write that became stable in its epoch or before.
    fn is_behind_stable(&self, replica: &Node, steps: &Steps) -> bool {
        let stable = self
            .written
            .iter()
            .filter(|record| record.timestamp() == self.stable);
        let first = stable.map(|record| record.dot().log.epoch).min();
        let may_answer = may_read(
            &replica.state,
            &VersionVector::default(),
            steps.key.slot(),
            &Payload::default(),
        );
        may_answer.is_ok() && first.is_some_and(|epoch| epoch <= replica.state.active)
    }
}
