//! Chains: lists of writes in which each depends on the one before, so that one number for each chain
//! says which writes a past includes.
//!
//! A session that threads its payload is a chain. With a chain for each of many short sessions, every
//! clock would be as long as their number. So a write that depends on all of a finished session's chain
//! extends that chain.

use std::collections::BTreeMap;

use crate::support::history::{Event, SessionId};

/// A write's place: its chain and its number there, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub chain: usize,
    pub number: u32,
}

/// True if the clock includes the write at `place`.
pub(super) fn includes(clock: &[u32], place: Place) -> bool {
    clock
        .get(place.chain)
        .is_some_and(|number| *number >= place.number)
}

#[derive(Default)]
pub(super) struct Chains {
    /// For each chain, the number of its last write.
    lengths: Vec<u32>,
    of_session: BTreeMap<SessionId, usize>,
    events_left: BTreeMap<SessionId, usize>,
    /// Chains whose sessions are over.
    free: Vec<usize>,
}

impl Chains {
    pub fn of(events: &[Event]) -> Self {
        let mut chains = Self::default();
        for event in events {
            *chains.events_left.entry(event.session).or_default() += 1;
        }
        chains
    }

    /// The place of a session's next write, which has the writes in `clock` in its past.
    pub fn extend(&mut self, session: SessionId, clock: &[u32]) -> Place {
        let own = self.of_session.get(&session).copied();
        let own = own.filter(|chain| self.depends_on_all(*chain, clock));
        let chain = own.or_else(|| self.take_over(clock)).unwrap_or_else(|| {
            self.lengths.push(0);
            self.lengths.len() - 1
        });
        self.of_session.insert(session, chain);
        self.lengths[chain] += 1;
        let number = self.lengths[chain];
        Place { chain, number }
    }

    /// Counts one operation of the session as passed.
    pub fn leave(&mut self, session: SessionId) {
        let left = self
            .events_left
            .get_mut(&session)
            .expect("every session was counted");
        *left -= 1;
        if *left == 0 {
            self.free.extend(self.of_session.get(&session));
        }
    }

    fn take_over(&mut self, clock: &[u32]) -> Option<usize> {
        // The newest first: a new session mostly follows one that has just ended.
        let mut free = (0..self.free.len()).rev();
        let found = free.find(|index| self.depends_on_all(self.free[*index], clock))?;
        Some(self.free.swap_remove(found))
    }

    fn depends_on_all(&self, chain: usize, clock: &[u32]) -> bool {
        let number = self.lengths[chain];
        includes(clock, Place { chain, number })
    }
}
