//! The changes that a batch of commands makes, as data: the caller of the replica stores them, then publishes, pushes
//! and answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::protocol::causality::{Record, VersionVector};
use crate::protocol::replication::Marks;

/// The effects of a batch, besides the state after it.
#[derive(Debug, Default)]
pub struct Effects {
    /// The records that win, by key.
    pub winners: BTreeMap<Box<str>, Record>,
    /// The keys whose stored records are dropped, unless a winner replaces them.
    pub forgotten: BTreeSet<Box<str>>,
    /// The replica's own writes, in the order of their numbers: siblings get them.
    pub own: Vec<Record>,
    /// Numbers of a sibling's log that are stable once the batch is stored.
    pub stable: VersionVector,
    /// Pages of records that are laid aside, by number.
    pub pages: Vec<(u64, Vec<Record>)>,
    /// The numbers of pages that other members have by now.
    pub handed_over: Range<u64>,
    /// How far other members have been seen to come, if that is to be stored.
    pub marks: Option<Marks>,
    pub changed: Changed,
}

/// The parts of the state that a batch changed. Only these are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changed {
    /// Another life began. The parts below changed with it.
    pub life: bool,
    /// The views, and what follows from them. The parts below are stored apart, because they change more often or
    /// less.
    pub standing: bool,
    pub acceptors: bool,
    pub claims: bool,
    pub too_late: bool,
    /// The position and the vector: they change with every batch that changes anything.
    pub vector: bool,
    /// The current run is stored for the first time.
    pub run: bool,
}

impl Effects {
    /// True if nothing is to be stored, apart from the vector and the marks.
    pub(super) fn is_empty(&self) -> bool {
        let Changed {
            life,
            standing,
            acceptors,
            claims,
            too_late,
            vector: _,
            run: _,
        } = self.changed;
        let has_records = !self.winners.is_empty() || !self.forgotten.is_empty();
        let has_pages = !self.pages.is_empty() || !self.handed_over.is_empty();
        !(has_records || has_pages || life || standing || acceptors || claims || too_late)
    }
}
