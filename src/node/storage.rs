//! Whether this node can store, for those who ask: writers that need not even try, and `status`.

use std::time::Duration;

use parking_lot::Mutex;

use crate::store::Batch;

/// Clients notice when storing takes as long as this.
const SLOW: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Health {
    Well,
    /// The last batch was refused; the next one may go through.
    Refused(String),
    /// A batch is of unknown fate: nothing goes before it.
    Stuck(String),
}

/// The health of the storage, as the committer found it last.
#[derive(Debug)]
pub(super) struct Storage(Mutex<Health>);

impl Default for Storage {
    fn default() -> Self {
        Self(Mutex::new(Health::Well))
    }
}

impl Storage {
    pub(super) fn well(&self) {
        let mut health = self.0.lock();
        if *health != Health::Well {
            tracing::info!("storage works again");
            *health = Health::Well;
        }
    }

    pub(super) fn refused(&self, reason: &str) {
        self.turn(Health::Refused(reason.to_owned()), reason);
    }

    pub(super) fn stuck(&self, reason: &str) {
        self.turn(Health::Stuck(reason.to_owned()), reason);
    }

    /// Says so when a batch took long: the disk, or what else works on it.
    pub(super) fn took(&self, took: Duration, batch: &Batch) {
        if took >= SLOW {
            let (records, forgotten) = (batch.records.len(), batch.forgotten.len());
            tracing::warn!(records, forgotten, "storing took {} ms", took.as_millis());
        }
    }

    /// Logged when it turns, not with every write that fails.
    fn turn(&self, to: Health, reason: &str) {
        let mut health = self.0.lock();
        if *health == Health::Well {
            tracing::error!(reason, "storage fails; reads go on, writes are refused");
        }
        *health = to;
    }

    /// Why a write need not be tried.
    pub(super) fn stuck_reason(&self) -> Option<String> {
        match &*self.0.lock() {
            Health::Stuck(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Why the last write failed.
    pub(super) fn failure(&self) -> Option<String> {
        match &*self.0.lock() {
            Health::Well => None,
            Health::Refused(reason) | Health::Stuck(reason) => Some(reason.clone()),
        }
    }
}
