//! The claims that a node knows of beyond its state, and what members say of them. Pure; `vouch` and `clear` ask.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::names::{Dot, Epoch, Log, Member, MemberId};
use crate::protocol::causality::{Record, VersionVector};
use crate::protocol::replication::{Claim, ReplicaState, last_write};
use crate::wire::peer::Vouched;

/// The claims that this node knows of beyond its state.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Mutex<Entries>,
    /// Notified when a claim is noted that no member has confirmed.
    pub(crate) arrived: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    /// Writes up to these numbers are known to exist.
    heard: VersionVector,
    /// How far stored records claim to depend on logs, as far as that is neither confirmed nor cleared.
    open: VersionVector,
    /// How often a claim was noted.
    noted: u64,
}

impl Ledger {
    /// Takes note that members hold writes up to these numbers.
    pub(crate) fn hear(&self, exist: &VersionVector) {
        let mut entries = self.entries.lock();
        if !entries.heard.covers(exist) {
            entries.heard.merge(exist);
        }
    }

    /// Takes note of the dependencies of a record that is stored here.
    pub(crate) fn note(&self, record: &Record) {
        if !record.has_dependencies() {
            return;
        }
        let mut entries = self.entries.lock();
        for dot in record.dependencies() {
            if record.is_vouched() {
                entries.heard.raise(dot);
            } else {
                entries.open.raise(dot);
            }
        }
        if !record.is_vouched() {
            entries.noted += 1;
            self.arrived.notify_one();
        }
    }

    /// The open claims, except those of closed epochs and stable writes, and how many were noted.
    pub(crate) fn open(&self, state: &ReplicaState, stable: &VersionVector) -> (VersionVector, u64) {
        let mut entries = self.entries.lock();
        let Entries { heard, open, noted } = &mut *entries;
        for vector in [heard, &mut *open] {
            vector.retain(|dot| state.is_still_named(dot));
        }
        open.retain(|dot| !stable.includes(dot));
        (open.clone(), *noted)
    }

    /// Takes note that claims up to these numbers are confirmed.
    pub(crate) fn confirm(&self, exist: &VersionVector) {
        self.entries.lock().open.retain(|dot| !exist.includes(dot));
    }

    /// Closes claims that were cleared from all records, unless further claims were noted meanwhile.
    pub(crate) fn cleared(&self, cleared: &VersionVector, noted: u64) {
        let mut entries = self.entries.lock();
        if entries.noted == noted {
            entries.open.retain(|dot| !cleared.includes(dot));
        }
    }

    pub(crate) fn has_open(&self) -> bool {
        !self.entries.lock().open.is_empty()
    }

    /// The claimed writes that this node cannot confirm, and the epochs whose views it does not know.
    pub(crate) fn doubts(&self, state: &ReplicaState, claimed: &VersionVector) -> Doubts {
        let mut doubts = Doubts::default();
        if claimed.is_empty() {
            return doubts;
        }
        let entries = self.entries.lock();
        for dot in claimed.iter() {
            match state.judge(&entries.heard, dot) {
                Claim::Exists => {}
                Claim::UnknownEpoch => drop(doubts.epochs.insert(dot.log.epoch)),
                Claim::Impossible | Claim::Undecided => doubts.entries.raise(dot),
            }
        }
        doubts
    }

    /// The answer to a member that asks about these logs.
    pub(crate) fn vouch(&self, state: &ReplicaState, logs: &[Log]) -> Vouched {
        let entries = self.entries.lock();
        let mut vouched = Vouched::default();
        for log in logs.iter().copied() {
            let extent = state.extent(&entries.heard, log);
            let dot = |number| Dot { log, number };
            vouched.exist.raise(dot(extent.exist));
            vouched.claimed.raise(dot(state.claimed.number(log)));
            vouched.ends.extend(extent.end.map(dot));
        }
        vouched
    }
}

/// The claims about which members have to be asked.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    pub entries: VersionVector,
    pub epochs: BTreeSet<Epoch>,
}

/// The answers of the members.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub exist: VersionVector,
    pub ends: BTreeMap<Log, u64>,
    pub claimed: VersionVector,
    /// By epoch, the members that do not know it.
    pub unknown: BTreeMap<Epoch, BTreeSet<MemberId>>,
    pub answered: BTreeSet<MemberId>,
    /// True if a member that is not known to be away has not answered in time.
    pub waits: bool,
}

impl Told {
    pub(crate) fn hear(&mut self, by: &Member, vouched: Vouched) {
        self.exist.merge(&vouched.exist);
        self.claimed.merge(&vouched.claimed);
        let own = vouched.ends.into_iter().filter(|end| end.log.member == by.id());
        self.ends.extend(own.map(|end| (end.log, end.number)));
        for epoch in vouched.unknown {
            self.unknown.entry(epoch).or_default().insert(by.id());
        }
        self.answered.insert(by.id());
    }

    /// True if no further answer can change anything: all entries exist, and each epoch is known.
    pub(crate) fn settles(&self, doubts: &Doubts) -> bool {
        let is_known = |epoch: &Epoch| {
            let unknown_to = self.unknown.get(epoch).map_or(0, BTreeSet::len);
            unknown_to < self.answered.len()
        };
        doubts.entries.iter().all(|dot| self.exist.includes(dot)) && doubts.epochs.iter().all(is_known)
    }

    /// The part of an entry that nodes have written. A vector keeps only the highest number of a log, so a
    /// false number may hide honest ones: the last write of the log stands for them.
    pub(crate) fn true_part_of(&self, dot: Dot) -> Option<Dot> {
        if !self.denies(dot) {
            return Some(dot);
        }
        let number = last_write(*self.ends.get(&dot.log)?);
        (number > 0).then_some(Dot { number, ..dot })
    }

    pub(crate) fn denies(&self, dot: Dot) -> bool {
        !self.exist.includes(dot) && self.ends.get(&dot.log).is_some_and(|end| dot.number > *end)
    }
}
