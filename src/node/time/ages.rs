//! Counts how long ago members were removed and lines of views were given up, by monotonic clocks.
//!
//! A view notes a removal with the wall clock of that moment. If wall clocks were set by more than `FORGET_AFTER`
//! since, that time says nothing about the removal's age, and a process that was started or added later has not seen it
//! begin. But no tombstone is dropped before every member is active in the view that notes the removal. So deletions
//! cannot have been forgotten for longer than any member has counted the removal by its monotonic clock. Members
//! exchange these ages, and a wall clock decides only if no member that answers has counted one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::walls::Time;
use crate::config::millis;
use crate::names::{Epoch, Member, MemberId};
use crate::protocol::placement::LeftBehind;
use crate::protocol::replication::ReplicaState;
use crate::wire::peer::Counted;

/// The ages that this process has counted in its present life, or has received from other members.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    removals: BTreeMap<MemberId, Instant>,
    lost: BTreeMap<Epoch, Instant>,
    /// Members that sent their ages.
    told: BTreeSet<MemberId>,
    /// Every other member that answers has sent its ages.
    pub(crate) all_told: bool,
}

impl Ages {
    /// Begins to count the removals that are new in a published state.
    pub(crate) fn follow(&mut self, before: &ReplicaState, state: &ReplicaState) {
        if before.me != state.me {
            *self = Self::default();
        }
        let now = Instant::now();
        for epoch in state.lost.keys().filter(|epoch| !before.lost.contains_key(epoch)) {
            self.lost.entry(*epoch).or_insert(now);
        }
        // A node that is added to a view finds removals there that others have counted for longer.
        let (Some(before), Some(view)) = (before.view(), state.view()) else {
            return;
        };
        self.removals.retain(|id, _| view.removed.contains_key(id));
        for id in view.removed.keys().filter(|id| !before.removed.contains_key(id)) {
            self.removals.entry(*id).or_insert(now);
        }
    }

    pub(crate) fn tell(&self) -> Counted {
        Counted {
            removals_ms: self
                .removals
                .iter()
                .map(|(id, since)| (*id, age_ms(*since)))
                .collect(),
            lost_ms: self
                .lost
                .iter()
                .map(|(epoch, since)| (*epoch, age_ms(*since)))
                .collect(),
        }
    }

    /// Takes the ages that a member of the active view has counted, where this process has none.
    pub(crate) fn hear(&mut self, from: MemberId, counted: &Counted, state: &ReplicaState) {
        let began = |age_ms: u64| Instant::now().checked_sub(Duration::from_millis(age_ms));
        for (id, age_ms) in &counted.removals_ms {
            if let Some(since) = began(*age_ms).filter(|_| state.awaits_return_of(*id)) {
                self.removals.entry(*id).or_insert(since);
            }
        }
        for (epoch, age_ms) in &counted.lost_ms {
            if let Some(since) = began(*age_ms).filter(|_| state.lost.contains_key(epoch)) {
                self.lost.entry(*epoch).or_insert(since);
            }
        }
        self.told.insert(from);
    }

    /// Notes whether every other member has sent its ages or does not answer.
    pub(crate) fn settle(&mut self, state: &ReplicaState, is_away: impl Fn(&Member) -> bool) {
        let mut others = state.view().into_iter().flat_map(|view| view.members());
        self.all_told =
            others.all(|other| other == state.me || self.told.contains(&other.id()) || is_away(&other));
    }

    /// How long a removal has been counted; none if no member knows.
    pub(crate) fn of_removal(&self, id: MemberId) -> Option<Duration> {
        self.removals.get(&id).map(Instant::elapsed)
    }

    /// True if a member was removed more than `limit` ago, by a view that notes the wall time `noted_ms`.
    pub(crate) fn is_removal_over(&self, id: MemberId, noted_ms: u64, time: Time, limit: Duration) -> bool {
        self.is_over(self.of_removal(id), noted_ms, time, limit)
    }

    /// The same of an epoch of a line that was given up.
    pub(crate) fn is_lost_over(&self, epoch: Epoch, noted_ms: u64, time: Time, limit: Duration) -> bool {
        let counted = self.lost.get(&epoch).map(Instant::elapsed);
        self.is_over(counted, noted_ms, time, limit)
    }

    /// True if the life that left this behind may have missed deletions that are forgotten by now. No tombstone is
    /// dropped while its removal counts.
    pub(crate) fn missed_too_much(&self, left: &LeftBehind, time: Time, limit: Duration) -> bool {
        let is_over = |since_ms| self.is_removal_over(left.by.id(), since_ms, time, limit);
        left.since_ms.is_some_and(is_over)
    }

    fn is_over(&self, counted: Option<Duration>, noted_ms: u64, time: Time, limit: Duration) -> bool {
        match counted {
            Some(age) => age > limit,
            None => noted_ms.saturating_add(millis(limit)) < time.low_ms && !time.is_doubted && self.all_told,
        }
    }
}

fn age_ms(since: Instant) -> u64 {
    millis(since.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Incarnation, Member};

    const LIMIT: Duration = Duration::from_secs(60);

    /// Thirty years before the present of these tests.
    const NOTED_MS: u64 = 700_000_000_000;

    const NOW: Time = Time {
        low_ms: 1_700_000_000_000,
        high_ms: 1_700_000_000_000,
        likely_ms: 1_700_000_000_000,
        is_doubted: false,
    };

    fn all_told() -> Ages {
        Ages {
            all_told: true,
            ..Ages::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_counted_decides_and_not_the_clock_that_noted_it() {
        let by = Member {
            node: "n:1".parse().expect("is a node"),
            incarnation: Incarnation {
                started_ms: 1,
                random: 1,
            },
        };
        let left = LeftBehind {
            name: MemberId(7),
            by: by.clone(),
            epoch: Epoch::FIRST,
            since_ms: Some(NOTED_MS),
        };
        let mut ages = all_told();
        ages.removals.insert(by.id(), Instant::now());
        ages.lost.insert(Epoch::FIRST, Instant::now());
        let are_over = |ages: &Ages, noted_ms| {
            [
                ages.is_removal_over(by.id(), noted_ms, NOW, LIMIT),
                ages.is_lost_over(Epoch::FIRST, noted_ms, NOW, LIMIT),
                ages.missed_too_much(&left, NOW, LIMIT),
            ]
        };
        assert_eq!(are_over(&ages, NOTED_MS), [false; 3]);
        tokio::time::advance(LIMIT + Duration::from_secs(1)).await;
        assert_eq!(are_over(&ages, NOW.low_ms), [true; 3]);
    }

    #[test]
    fn where_nobody_counted_the_wall_clock_decides_if_it_is_believed() {
        let doubted = Time {
            is_doubted: true,
            ..NOW
        };
        let is_over = |ages: &Ages, time| ages.is_removal_over(MemberId(7), NOTED_MS, time, LIMIT);
        assert!(is_over(&all_told(), NOW));
        assert!(!is_over(&all_told(), doubted) && !is_over(&Ages::default(), NOW));
        assert!(!all_told().is_removal_over(MemberId(7), NOW.low_ms - 1000, NOW, LIMIT));
    }
}
