//! Clears stored records of dependencies that no node has written. Such records were stored while the
//! member that could deny the dependencies was unreachable, or unchecked by an earlier version.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::names::{Dot, Slot};
use crate::node::claims::Claims;
use crate::node::claims::ledger::{Doubts, Told};
use crate::node::limits::VOUCH_LIMIT;
use crate::planted::{self, Fault};
use crate::protocol::causality::{Record, VersionVector};
use crate::protocol::replication::{Cleared, ReplicaState};

/// How often members are asked about claims in stored records.
const CLEAR_PAUSE: Duration = Duration::from_secs(1);

impl Claims {
    /// Asks about claims in stored records until each is confirmed or cleared, for as long as the node runs.
    pub(crate) async fn clear_claims(self: Arc<Self>) {
        loop {
            self.ledger.arrived.notified().await;
            while self.ledger.has_open() {
                self.settle_claims().await;
                sleep(CLEAR_PAUSE).await;
            }
        }
    }

    async fn settle_claims(&self) {
        let state = self.shared.me.state();
        let (open, noted) = self.ledger.open(&state, &self.shared.acks.stable());
        if open.is_empty() {
            return;
        }
        let told = self.ask_about(&state, &open).await;
        self.ledger.confirm(&told.exist);
        let denied: VersionVector = open.iter().filter(|dot| is_false(&state, &told, *dot)).collect();
        let is_kept = planted::is(Fault::ClaimsNotCleared) || planted::is(Fault::ForgedShown);
        if denied.is_empty() || is_kept {
            return;
        }
        let suspects = self.records_that_claim(|dot| is_false(&state, &told, dot));
        // Ask again: the log may have grown, or the view changed, before the last of these was taken.
        let told = self.ask_about(&state, &denied).await;
        let state = self.shared.me.state();
        let clear = |found: Record| {
            let cleared = found.with_dependencies(|dot| true_part(&state, &told, dot));
            Cleared { found, cleared }
        };
        let records: Vec<Cleared> = suspects.into_iter().map(clear).collect();
        let (count, noted) = (records.len(), noted + unvouched(&records));
        if self.shared.commit.clear(records).await.is_ok() {
            if count > 0 {
                tracing::warn!(count, "cleared records of dependencies that no node has written");
            }
            let cleared = denied
                .iter()
                .filter(|dot| is_false(&state, &told, *dot))
                .collect();
            self.ledger.cleared(&cleared, noted);
        }
    }

    /// The stored records with an unvouched dependency that is false.
    fn records_that_claim(&self, is_false: impl Fn(Dot) -> bool) -> Vec<Record> {
        let mut records = Vec::new();
        self.shared.resident.for_each_in(Slot::all(), |record| {
            if !record.is_vouched() && record.dependencies().any(&is_false) {
                records.push(record.clone());
            }
        });
        records
    }

    async fn ask_about(&self, state: &ReplicaState, entries: &VersionVector) -> Told {
        let doubts = Doubts {
            entries: entries.clone(),
            epochs: BTreeSet::new(),
        };
        self.ask_members(state, &doubts, Instant::now() + VOUCH_LIMIT)
            .await
    }
}

/// The part of a claimed dependency that exists. Replicas that clear a record at different moments may keep
/// different numbers; each of them covers everything that existed when the record was written.
fn true_part(state: &ReplicaState, told: &Told, dot: Dot) -> Option<Dot> {
    let epoch = dot.log.epoch;
    let is_ahead = epoch > state.active && !state.knows_epoch(epoch);
    if state.is_no_dot(dot) || is_ahead {
        return None;
    }
    told.true_part_of(dot)
}

/// True if no node has written this dependency of a stored record.
fn is_false(state: &ReplicaState, told: &Told, dot: Dot) -> bool {
    true_part(state, told, dot) != Some(dot)
}

/// How many of these are noted again once they are stored.
fn unvouched(records: &[Cleared]) -> u64 {
    records
        .iter()
        .map(|one| u64::from(!one.cleared.is_vouched()))
        .sum()
}
