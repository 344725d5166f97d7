//! Keeps time: draws timestamps, has the wall clock judged, and logs the nodes whose clocks disagree.
//!
//! The judgement is in `time::walls` and takes a lock. Writes only compare the wall clock with the bound
//! that the last judgement set.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::Me;
use crate::config::millis;
use crate::names::{Member, NodeId};
use crate::node::time::clock_difference;
use crate::node::time::walls::{Doubt, Reading, Time};
use crate::planted::{self, Fault};
use crate::protocol::causality::Timestamp;
use crate::wire::peer::Shown;

/// How often the wall clock is judged. Members hear of each other's clocks about as often.
const JUDGE_PAUSE: Duration = Duration::from_millis(200);

/// How far the wall clock may pass its last judgement, in addition to the limit, before it is doubted
/// until the next one.
const JUDGED_FOR_MS: u64 = 2_000;

/// A node that restarts with data draws from its hybrid clock until a majority confirms its wall clock, or
/// for this long: its wall clock may be wrong.
const START_GRACE_MS: u64 = 500;

/// How far above everything on the disk a client's timestamp may be, if the clocks were set back before
/// the node started: reads raise timestamps a little, and the disk lacks the writes of others.
const ABOVE_DISK_MS: u64 = 60_000;

impl Me {
    /// Both clocks of this node.
    fn reading(&self) -> Reading {
        Reading {
            wall_ms: self.wall_ms(),
            monotonic_ms: millis(self.born.elapsed()),
        }
    }

    /// The wall clock as far as it may be mixed into timestamps; 0 while it is doubted.
    pub(crate) fn trusted_wall_ms(&self) -> u64 {
        let wall_ms = self.wall_ms();
        let is_trusted = wall_ms <= self.trusted_up_to_ms.load(Ordering::Acquire);
        let is_trusted = is_trusted || planted::is(Fault::DoubtedClockDraws);
        if is_trusted { wall_ms } else { 0 }
    }

    /// The hybrid clock: nothing that was drawn or seen here is above it.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now(self.trusted_wall_ms())
    }

    /// True if a client's timestamp cannot come from this cluster: it is above everything drawn or seen
    /// here, and more than the limit above what any member's wall clock may show.
    pub(crate) fn is_from_the_future(&self, timestamp: Timestamp) -> bool {
        let limit_ms = self.clock_limit_ms();
        if planted::is(Fault::HybridHeldAgainstWall) {
            return timestamp.wall_ms() > self.wall_ms().saturating_add(limit_ms);
        }
        let is_below = |wall_ms: u64| timestamp.wall_ms() <= wall_ms.saturating_add(limit_ms);
        // Only a payload that agrees with it can confirm the corrected clock of a lone member.
        let is_alone = || {
            self.state()
                .view()
                .is_some_and(|view| view.members().count() == 1)
        };
        // The payload of a read is one above what was read.
        let is_known = timestamp <= self.clock.now(0).next();
        if is_known || is_below(self.trusted_wall_ms()) || is_below(self.wall_ms()) && is_alone() {
            return false;
        }
        let honest_ms = self.walls.lock().latest_honest_ms(self.reading());
        let honest_ms = honest_ms.max(self.believed_ms.load(Ordering::Acquire));
        !is_below(honest_ms)
    }

    /// The times that this node tells its peers.
    pub(crate) fn shown(&self) -> Shown {
        Shown {
            wall_ms: self.wall_ms(),
            believed_ms: self.believed_ms.load(Ordering::Acquire),
        }
    }

    /// Raises the hybrid clock to a member's. That may be ahead of every wall clock, which does no harm: a
    /// client that comes from that member depends on it. A stranger's clock is ignored.
    pub(crate) fn hear_clock(&self, from: &Member, clock: Timestamp) {
        if self.is_of_ours(&from.node) {
            self.clock.observe(clock);
        }
    }

    fn is_of_ours(&self, peer: &NodeId) -> bool {
        let state = self.state();
        state.newest().is_none_or(|view| view.lists(peer))
    }

    /// The bounds of the true time, for decisions about age.
    pub(crate) fn time(&self) -> Time {
        self.walls.lock().time(self.reading())
    }

    /// Why the wall clock is doubted, and the nodes whose clocks differ from it, with the differences.
    pub(crate) fn disagreement(&self) -> (Option<Doubt>, Vec<(NodeId, i64)>) {
        let walls = self.walls.lock();
        (walls.doubt(), walls.apart())
    }

    /// Compares the wall clock with the latest time on disk at the start. If that is further ahead than
    /// any client could drive it, the clocks were set back since: times a little above it are honest.
    pub(crate) fn recall_wall(&self) {
        let (reading, seen_ms) = (self.reading(), self.clock.now(0).wall_ms());
        self.walls.lock().recall(reading, seen_ms);
        let limit_ms = self.clock_limit_ms();
        if seen_ms > reading.wall_ms.saturating_add(limit_ms) {
            let believed_ms = (seen_ms + ABOVE_DISK_MS).saturating_sub(limit_ms);
            self.believed_ms.fetch_max(believed_ms, Ordering::AcqRel);
        }
    }

    /// Takes note of a peer's wall clock, and of the time that the peer believed.
    pub(crate) fn hear_time(&self, peer: &NodeId, time: Shown) {
        if self.is_of_ours(peer) && time.believed_ms <= Timestamp::WALL_MS_MAX {
            self.believed_ms.fetch_max(time.believed_ms, Ordering::AcqRel);
        }
        let is_news = self.walls.lock().hear(self.reading(), peer, time.wall_ms);
        if is_news {
            self.judge_wall();
        }
    }

    /// Compares the wall clock with the monotonic clock, and with those of the other members.
    pub(crate) fn judge_wall(&self) {
        let state = self.state();
        let view = state.view();
        let others: Vec<&NodeId> = view.iter().flat_map(|view| view.nodes()).collect();
        let others: Vec<&NodeId> = others.into_iter().filter(|node| **node != self.node).collect();
        let reading = self.reading();
        let mut walls = self.walls.lock();
        let (doubted_before, apart_before) = (walls.doubt(), walls.apart());
        walls.judge(reading, &others);
        let (doubt, apart) = (walls.doubt(), walls.apart());
        let is_known = walls.is_backed() || reading.monotonic_ms >= START_GRACE_MS;
        // Before the first view no member contradicts; without data there is nothing else to draw from.
        let may_draw = view.is_some() && (is_known || self.clock.now(0) == Timestamp::ZERO);
        let is_drawn_from =
            doubt.is_none() && (may_draw || self.trusted_up_to_ms.load(Ordering::Acquire) > 0);
        let up_to_ms = reading.wall_ms.saturating_add(self.clock_limit_ms());
        let up_to_ms = up_to_ms.saturating_add(JUDGED_FOR_MS).min(Timestamp::WALL_MS_MAX);
        self.trusted_up_to_ms
            .store(if is_drawn_from { up_to_ms } else { 0 }, Ordering::Release);
        if is_drawn_from {
            let honest_ms = walls.latest_honest_ms(reading).min(Timestamp::WALL_MS_MAX);
            self.believed_ms.fetch_max(honest_ms, Ordering::AcqRel);
        }
        drop(walls);
        tell_apart(&apart_before, &apart);
        if doubted_before.is_some() != doubt.is_some() {
            tell_doubt(doubt);
        }
    }

    /// Has the wall clock judged for as long as the node runs.
    pub(crate) async fn watch_wall(self: Arc<Self>) {
        loop {
            self.judge_wall();
            sleep(JUDGE_PAUSE).await;
        }
    }
}

/// Logs the nodes whose clocks began or ceased to differ from this node's.
fn tell_apart(before: &[(NodeId, i64)], now: &[(NodeId, i64)]) {
    let names = |apart: &[(NodeId, i64)]| {
        apart
            .iter()
            .map(|(node, _)| node.clone())
            .collect::<BTreeSet<_>>()
    };
    let (named_before, named_now) = (names(before), names(now));
    for (node, ahead_ms) in now.iter().filter(|(node, _)| !named_before.contains(node)) {
        let apart = clock_difference(*ahead_ms);
        tracing::warn!(%node, "the wall clock of that node is {apart} this node's; set the clock that is wrong");
    }
    for node in named_before.difference(&named_now) {
        tracing::info!(%node, "the wall clock of that node agrees with this node's again");
    }
}

fn tell_doubt(doubt: Option<Doubt>) {
    match doubt {
        Some(doubt) => tracing::warn!("this node's wall clock is not trusted: {doubt}"),
        None => tracing::info!("this node's wall clock is trusted again"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Limits;
    use crate::names::Incarnation;
    use crate::node::{Machine, World as _};
    use crate::protocol::replication::ReplicaState;

    #[tokio::test]
    async fn the_payload_of_a_read_is_no_further_in_the_future_than_what_was_read() {
        let life = Member {
            node: "n:1".parse().expect("is a node"),
            incarnation: Incarnation {
                started_ms: 1,
                random: 1,
            },
        };
        let me = Me::new(ReplicaState::new(life), Arc::new(Machine), &Limits::default());
        let stored = Timestamp::from_wall_ms(Machine.wall_ms() + 60 * 365 * 86_400_000);
        assert!(me.is_from_the_future(stored));
        me.clock.observe(stored);
        let read = stored.next();
        assert!(!me.is_from_the_future(read) && me.is_from_the_future(read.next()));
    }
}
