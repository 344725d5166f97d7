//! The storage engines, and their contract: what "stored" promises.
//!
//! # The contract
//!
//! * A [`Batch`] is stored whole or not at all, and batches are stored in the order of their commits.
//! * When [`Engine::commit`] answers `Ok`, the batch is on stable storage: a recovery from the same place
//!   finds it, even after a kill or a power cut.
//! * [`StoreError::Refused`] means that nothing of the batch is stored and nothing ever will be: its
//!   numbers may be used again. A later batch may succeed, if it is smaller or if there is room by then.
//! * [`StoreError::Unknown`] means that the medium failed in the middle, and whether the batch is stored
//!   is unknown. The caller commits the same batch again, and no other one, until the answer is one of the
//!   other two.
//! * [`Engine::recover`] returns the newest record of each key and the newest bytes of each note. Newest
//!   means committed last, whichever record would win: an engine picks no winners.
//! * Committing an empty batch does nothing, and does not settle a batch in doubt.
//!
//! The engine keeps everything. All records are also resident in [`Resident`], so reads never touch the
//! disk. `conformance` checks every engine against this text.

pub mod conformance;
mod durable;
mod index;
mod memory;
mod resident;

use std::fmt;

use futures_util::future::BoxFuture;

pub use durable::{DurableEngine, OpenError};
pub use index::Index;
pub use memory::MemoryEngine;
pub use resident::Resident;

use crate::names::Key;
use crate::protocol::causality::Record;

/// The unit of a commit: records, keys to forget, and notes (the node's own state, by name).
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Each replaces the record stored under its key; of two with the same key, the later one stays.
    pub records: Vec<Record>,
    /// Keys whose records are dropped. Applied before `records`.
    pub forgotten: Vec<Key>,
    /// Notes by name; `None` removes one. The last of several with the same name counts.
    pub notes: Vec<(String, Option<Vec<u8>>)>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.forgotten.is_empty() && self.notes.is_empty()
    }
}

/// Everything that an engine kept.
#[derive(Debug, Default)]
pub struct Recovered {
    pub records: Vec<Record>,
    pub notes: Vec<(String, Vec<u8>)>,
}

/// Why a batch is not stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nothing is stored and nothing will be; trying later may work (a full disk).
    #[error("storage refused the write: {0}")]
    Refused(String),
    /// The batch may be stored or not; it must be committed again before any other.
    #[error("storage failed in the middle of a write: {0}")]
    Unknown(String),
    /// The stored data cannot be read. Only [`Engine::recover`] returns this.
    #[error("{0}")]
    Unreadable(String),
}

/// Where batches are kept. One committer calls `commit`, one call at a time.
pub trait Engine: Send + Sync + fmt::Debug {
    /// Stores a batch by the contract above.
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Returns everything stored so far. Called once, before the first commit. An error means that the
    /// stored data cannot be read, and names the record if one is damaged: such a node must not start.
    fn recover(&self) -> Result<Recovered, StoreError>;

    /// True if stored data outlives the process. Otherwise every start is a new incarnation.
    fn is_durable(&self) -> bool;
}
