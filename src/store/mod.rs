//! What is kept, and the promise behind "stored".
//!
//! # The contract
//!
//! * A [`Batch`] is stored whole or not at all, and batches are stored in the order of their commits.
//! * When [`Engine::commit`] answers `Ok`, the batch is on stable storage: whoever recovers from the
//!   same place, after a kill or a power cut, finds it.
//! * [`StoreError::Refused`] means that nothing of the batch is stored and nothing ever will be: its
//!   numbers may be used again. The next batch may be stored, a smaller one or when there is room.
//! * [`StoreError::Unknown`] means that the medium failed in the middle and nobody can say. The same
//!   batch is committed again until the answer is one of the other two; no other batch goes before it.
//! * [`Engine::recover`] gives back the newest record of each key and the newest bytes of each note.
//!   Newest is what was committed last, whichever record would win: an engine decides nothing.
//! * An empty batch is stored by doing nothing, and settles nothing.
//!
//! The engine keeps everything. All records are also resident in [`Resident`], so reads never touch
//! the disk. `conformance` holds every engine to this text.

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

/// What is stored at once: records, keys to forget, and notes (the node's own state, by name).
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Each takes the place of what is stored under its key; of two with one key, the later one stays.
    pub records: Vec<Record>,
    /// Keys whose records are dropped. Applied before `records`.
    pub forgotten: Vec<Key>,
    /// Notes by name; `None` removes one. The last of several with one name counts.
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
    /// What is stored cannot be read: only when it is recovered.
    #[error("{0}")]
    Unreadable(String),
}

/// Where batches are kept. One committer calls `commit`, one call at a time.
pub trait Engine: Send + Sync + fmt::Debug {
    /// Stores a batch by the contract above.
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Everything stored so far. Called once, before the first commit. An error here says that what is
    /// stored cannot be read, and which record is damaged, if it is one: such a node must not start.
    fn recover(&self) -> Result<Recovered, StoreError>;

    /// True if what is stored outlives the process. Without that, every start is a new incarnation.
    fn is_durable(&self) -> bool;
}
