//! Periodic upkeep: drops tombstones that are not needed, and stops waiting for removed members whose time
//! is over.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::millis;
use crate::names::{Epoch, MemberId, Slot};
use crate::node::commit::job::Job;
use crate::node::replication::Replication;
use crate::node::time::walls::Time;
use crate::planted::{self, Fault};
use crate::protocol::causality::{Record, Timestamp};
use crate::protocol::placement::View;
use crate::protocol::replication::ReplicaState;

/// The longest pause between two passes over the tombstones.
const UPKEEP_PAUSE: Duration = Duration::from_secs(600);

/// How often the ages of removals are checked.
const EXPIRE_PAUSE: Duration = Duration::from_secs(1);
/// The hybrid clock at earlier passes. After a clock was set back, a timestamp ahead of the wall clock
/// does not show its age. But it is at least as old as the first pass that saw the hybrid clock above it.
#[derive(Debug, Default)]
struct Ages(VecDeque<(Instant, Timestamp)>);

impl Ages {
    /// Takes note of the clock. Returns its value from `ago` earlier, or zero.
    fn pass(&mut self, now: Instant, clock: Timestamp, ago: Duration) -> Timestamp {
        self.0.push_back((now, clock));
        let is_old = |at: Instant| now.duration_since(at) >= ago;
        while self.0.get(1).is_some_and(|(at, _)| is_old(*at)) {
            self.0.pop_front();
        }
        let first = self.0.front().filter(|(at, _)| is_old(*at));
        first.map_or(Timestamp::ZERO, |(_, clock)| *clock)
    }
}

impl Replication {
    /// Drops old tombstones for as long as the node runs (I4).
    pub(crate) async fn forget_tombstones(self: Arc<Self>) {
        let pause = UPKEEP_PAUSE
            .min(self.shared.limits.forget_after / 4)
            .max(Duration::from_millis(100));
        let mut ages = Ages::default();
        loop {
            sleep(pause).await;
            let old_clock = ages.pass(
                Instant::now(),
                self.shared.me.now(),
                self.shared.limits.forget_after,
            );
            let old = self.old_tombstones(old_clock);
            if !old.is_empty() {
                tracing::debug!(count = old.len(), "dropping tombstones");
                self.shared.commit.enqueue(Job::Forget(old)).await;
            }
        }
    }

    /// Stops waiting for removed members that did not return in time, for as long as the node runs.
    pub(crate) async fn expire_removals(self: Arc<Self>) {
        loop {
            sleep(EXPIRE_PAUSE).await;
            let state = self.shared.me.state();
            self.shared
                .me
                .ages
                .lock()
                .settle(&state, |member| self.shared.peers.is_away(&member.node));
            let (mut removed, mut lost) = self.over(&state);
            removed.retain(|id| !state.expired.contains(id));
            lost.retain(|epoch| !state.lost[epoch].is_over);
            if !removed.is_empty() || !lost.is_empty() {
                self.shared.commit.enqueue(Job::Expire { removed, lost }).await;
            }
        }
    }

    /// The removed members and the lost epochs whose time is over.
    fn over(&self, state: &ReplicaState) -> (BTreeSet<MemberId>, BTreeSet<Epoch>) {
        let (time, limit) = (self.shared.me.time(), self.shared.limits.forget_after);
        let ages = self.shared.me.ages.lock();
        let removed = state.view().into_iter().flat_map(|view| &view.removed);
        let removed = removed.filter(|(id, removal)| ages.is_removal_over(**id, removal.at_ms, time, limit));
        let lost = state.lost.iter();
        let lost = lost.filter(|(epoch, lost)| ages.is_lost_over(**epoch, lost.noted_ms, time, limit));
        (
            removed.map(|(id, _)| *id).collect(),
            lost.map(|(epoch, _)| *epoch).collect(),
        )
    }

    /// True if a removed member or a lost line may still return writes, and may have missed deletions.
    fn awaits_returns(&self, state: &ReplicaState) -> bool {
        let (removed, lost) = self.over(state);
        let noted = state.view().map_or(0, |view| view.removed.len());
        removed.len() < noted || lost.len() < state.lost.len()
    }

    /// `old_clock` is the hybrid clock of `forget_after` ago: tombstones of that time need not be kept.
    fn old_tombstones(&self, old_clock: Timestamp) -> Vec<Record> {
        let state = self.shared.me.state();
        let stable = self.shared.acks.stable();
        let (mut time, mut awaits_returns) = (self.shared.me.time(), self.awaits_returns(&state));
        if planted::is(Fault::DoubtedClockForgets) {
            (time, awaits_returns) = (Time::certain(self.shared.me.wall_ms()), false);
        }
        let forget_ms = millis(self.shared.limits.forget_after);
        let oldest_kept_ms = time.low_ms.saturating_sub(forget_ms);
        let mut old = Vec::new();
        let has_just_lost = |view: &View| view.last_left_ms() >= oldest_kept_ms;
        if time.is_doubted || state.view().is_none_or(|view| has_just_lost(view)) || awaits_returns {
            return old;
        }
        self.shared.resident.for_each_in(Slot::all(), |record| {
            let (timestamp, drawn_ms) = (record.timestamp(), record.timestamp().wall_ms());
            let is_ahead = drawn_ms > time.high_ms && timestamp <= old_clock;
            let is_old = record.is_tombstone() && (drawn_ms < oldest_kept_ms || is_ahead);
            if is_old && state.may_forget(&stable, record) {
                old.push(record.clone());
            }
        });
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_so_long_ago_is_that_of_the_last_pass_before() {
        let (began, mut ages) = (Instant::now(), Ages::default());
        let mut pass = |second: u64| {
            let at = began + Duration::from_secs(second);
            ages.pass(at, Timestamp(second), Duration::from_secs(10)).0
        };
        let old: Vec<u64> = [1, 4, 10, 11, 13, 14, 30].map(&mut pass).into();
        assert_eq!(old, [0, 0, 0, 1, 1, 4, 14]);
    }
}
