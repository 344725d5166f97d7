//! How long ago members were removed and lines of views given up, by clocks that nobody sets.
//!
//! A view notes a removal with the wall clock of that moment. Where the wall clocks were set by more than
//! `FORGET_AFTER` since, that says nothing about its age, and a process that was started or added later has not
//! seen it begin. But no tombstone goes anywhere before every member is active in the view that notes the removal.
//! So for however long any one of them has counted it, by its monotonic clock, deletions cannot have been forgotten
//! for longer: members tell each other, and a wall clock decides only where no member that answers knows better.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::names::{Epoch, Member, MemberId};
use crate::protocol::replication::Facts;
use crate::wire::peer::Counted;

/// The ages that this process has counted in its present life, or has heard from others.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    removals: BTreeMap<MemberId, Instant>,
    lost: BTreeMap<Epoch, Instant>,
    /// Members that told what they count.
    told: BTreeSet<MemberId>,
    /// Every other member that answers has told.
    pub(crate) all_told: bool,
}

impl Ages {
    /// Counts what is news between two states of the facts.
    pub(crate) fn follow(&mut self, before: &Facts, facts: &Facts) {
        if before.me != facts.me {
            *self = Self::default();
        }
        let now = Instant::now();
        for epoch in facts.lost.keys().filter(|epoch| !before.lost.contains_key(epoch)) {
            self.lost.entry(*epoch).or_insert(now);
        }
        // A node that is added to a view finds removals there that others have counted for longer.
        let (Some(before), Some(view)) = (before.view(), facts.view()) else {
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

    /// Takes what a member of the active view has counted, where this process knows nothing itself.
    pub(crate) fn hear(&mut self, from: MemberId, counted: &Counted, facts: &Facts) {
        let began = |age_ms: u64| Instant::now().checked_sub(Duration::from_millis(age_ms));
        for (id, age_ms) in &counted.removals_ms {
            if let Some(since) = began(*age_ms).filter(|_| facts.awaits_return_of(*id)) {
                self.removals.entry(*id).or_insert(since);
            }
        }
        for (epoch, age_ms) in &counted.lost_ms {
            if let Some(since) = began(*age_ms).filter(|_| facts.lost.contains_key(epoch)) {
                self.lost.entry(*epoch).or_insert(since);
            }
        }
        self.told.insert(from);
    }

    /// Takes note whether every other member has told its ages or does not answer.
    pub(crate) fn settle(&mut self, facts: &Facts, is_away: impl Fn(&Member) -> bool) {
        let mut others = facts.view().into_iter().flat_map(|view| view.members());
        self.all_told =
            others.all(|other| other == facts.me || self.told.contains(&other.id()) || is_away(&other));
    }

    /// For how long a removal has been counted; none if nobody told.
    pub(crate) fn of_removal(&self, id: MemberId) -> Option<Duration> {
        self.removals.get(&id).map(Instant::elapsed)
    }

    /// The same of an epoch of a line that was given up.
    pub(crate) fn of_lost(&self, epoch: Epoch) -> Option<Duration> {
        self.lost.get(&epoch).map(Instant::elapsed)
    }
}

fn age_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
