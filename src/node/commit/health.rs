//! Tells whether this node can store: writers then need not even try, and `status` reports it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::store::Batch;

/// Clients notice when storing takes as long as this.
const SLOW: Duration = Duration::from_millis(250);

/// After this, a disk counts as hanging: no client waits for a write any more, and other nodes may take the next one.
const HANGS: Duration = Duration::from_secs(2);

const WATCH_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Health {
    Well,
    /// The last batch was refused; the next one may be stored.
    Refused(String),
    /// It is unknown whether a batch is stored: no other batch may overtake it.
    Stuck(String),
}

/// The health of the storage, as the last batch showed it.
#[derive(Debug)]
pub(crate) struct Storage(Mutex<State>);

#[derive(Debug)]
struct State {
    health: Health,
    /// Since when a batch is on its way to the disk, if one is.
    storing_since: Option<Instant>,
}

impl Default for Storage {
    fn default() -> Self {
        Self(Mutex::new(State {
            health: Health::Well,
            storing_since: None,
        }))
    }
}

impl State {
    /// Logged when it changes, not with every write that fails.
    fn turn(&mut self, to: Health, reason: &str) {
        if self.health == Health::Well {
            tracing::error!(reason, "storage fails: writes are refused, reads continue");
        }
        self.health = to;
    }
}

impl Storage {
    pub(crate) fn well(&self) {
        let mut state = self.0.lock();
        if state.health != Health::Well {
            tracing::info!("storage works again");
            state.health = Health::Well;
        }
    }

    pub(crate) fn refused(&self, reason: &str) {
        self.0.lock().turn(Health::Refused(reason.to_owned()), reason);
    }

    pub(crate) fn stuck(&self, reason: &str) {
        self.0.lock().turn(Health::Stuck(reason.to_owned()), reason);
    }

    /// A batch goes to the disk.
    pub(crate) fn begins(&self) {
        self.0.lock().storing_since = Some(Instant::now());
    }

    /// Records that the disk answered, and logs a slow answer: the disk may be slow, or shared.
    pub(crate) fn took(&self, took: Duration, batch: &Batch) {
        self.0.lock().storing_since = None;
        if took >= SLOW {
            let (records, forgotten) = (batch.records.len(), batch.forgotten.len());
            tracing::warn!(records, forgotten, "storing a batch took {} ms", took.as_millis());
        }
    }

    /// Reports a disk that does not answer at all. The committer cannot: it waits for the disk.
    fn watch(&self) {
        let mut state = self.0.lock();
        let waited = state.storing_since.map(|since| since.elapsed());
        if let Some(waited) = waited.filter(|waited| *waited >= HANGS) {
            let reason = format!(
                "the disk has not answered for {} s; look into the kernel's log (dmesg), and whether its file system \
                 is frozen or its server is gone",
                waited.as_secs()
            );
            state.turn(Health::Stuck(reason.clone()), &reason);
        }
    }

    /// Why a write need not be tried.
    pub(crate) fn stuck_reason(&self) -> Option<String> {
        match &self.0.lock().health {
            Health::Stuck(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Why the last write failed.
    pub(crate) fn failure(&self) -> Option<String> {
        match &self.0.lock().health {
            Health::Well => None,
            Health::Refused(reason) | Health::Stuck(reason) => Some(reason.clone()),
        }
    }

    /// Watches the disk for as long as the node runs.
    pub(crate) async fn watched(self: Arc<Self>) {
        loop {
            sleep(WATCH_PAUSE).await;
            self.watch();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_does_not_answer_is_said_to_hang_until_it_does() {
        let storage = Storage::default();
        storage.begins();
        advance(HANGS - Duration::from_millis(1)).await;
        storage.watch();
        assert_eq!((storage.failure(), storage.stuck_reason()), (None, None));
        advance(Duration::from_secs(1)).await;
        storage.watch();
        let told = storage.failure().expect("it hangs");
        assert!(told.contains("not answered") && storage.stuck_reason() == Some(told));
        storage.took(HANGS, &Batch::default());
        storage.watch();
        storage.well();
        assert_eq!((storage.failure(), storage.stuck_reason()), (None, None));
        advance(2 * HANGS).await;
        storage.watch();
        assert_eq!(storage.failure(), None, "nothing is on its way");
    }
}
