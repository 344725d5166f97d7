//! What a node does now and then: drop tombstones that nobody needs any more, and stop waiting for
//! removed members whose time is up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Node;
use super::jobs::Job;
use crate::causality::Record;
use crate::names::{MemberId, Slot};

/// How often tombstones are looked through, at the most.
const UPKEEP_PAUSE: Duration = Duration::from_secs(600);

/// How often removals are looked through.
const EXPIRE_PAUSE: Duration = Duration::from_secs(1);

impl Node {
    /// Drops old tombstones for as long as the node runs (I4).
    pub(super) async fn forget_tombstones(self: Arc<Self>) {
        let pause = UPKEEP_PAUSE
            .min(self.limits.forget_after / 4)
            .max(Duration::from_millis(100));
        loop {
            sleep(pause).await;
            let old = self.old_tombstones();
            if !old.is_empty() {
                tracing::debug!(count = old.len(), "dropping tombstones");
                self.enqueue(Job::Forget(old)).await;
            }
        }
    }

    /// Stops waiting for removed members that did not return in time, for as long as the node runs.
    pub(super) async fn expire_removals(self: Arc<Self>) {
        loop {
            sleep(EXPIRE_PAUSE).await;
            let facts = self.me.facts();
            let forget_ms = millis(self.limits.forget_after);
            let oldest_ms = self.me.wall_ms().saturating_sub(forget_ms);
            let removed = facts.view().into_iter().flat_map(|view| &view.removed);
            let late: BTreeSet<MemberId> = removed
                .filter(|(id, removal)| removal.at_ms < oldest_ms && !facts.expired.contains(id))
                .map(|(id, _)| *id)
                .collect();
            if !late.is_empty() {
                self.enqueue(Job::Expire(late)).await;
            }
        }
    }

    fn old_tombstones(&self) -> Vec<Record> {
        let facts = self.me.facts();
        let stable = self.acks.stable();
        let forget_ms = millis(self.limits.forget_after);
        let oldest_kept_ms = self.me.wall_ms().saturating_sub(forget_ms);
        let mut old = Vec::new();
        // A node that was removed returns what nobody has taken from it, and may not have heard of
        // deletions since.
        if facts
            .view()
            .is_none_or(|view| view.last_left_ms() >= oldest_kept_ms)
        {
            return old;
        }
        self.resident.for_each_in(Slot::all(), |record| {
            let is_old = record.is_tombstone() && record.timestamp().wall_ms() < oldest_kept_ms;
            if is_old && facts.may_forget(&stable, record) {
                old.push(record.clone());
            }
        });
        old
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
