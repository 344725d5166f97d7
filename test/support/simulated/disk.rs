//! A disk that takes its time, fills up, and loses what was not synced when its node is killed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use causeway::causality::Record;
use causeway::store::{Batch, Engine, Recovered, StoreError};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::dice::Dice;

/// What outlives a node: shared by its lives until it is wiped.
#[derive(Clone)]
pub struct SimDisk {
    dice: Dice,
    state: Arc<Mutex<State>>,
    durable: bool,
}

#[derive(Default)]
struct State {
    records: BTreeMap<String, Record>,
    notes: BTreeMap<String, Vec<u8>>,
    sync_ms: u64,
    full: bool,
    syncs: u64,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").finish_non_exhaustive()
    }
}

impl SimDisk {
    pub fn new(dice: Dice) -> Self {
        Self {
            dice,
            state: Arc::default(),
            durable: true,
        }
    }

    /// A disk that keeps nothing when its node ends.
    pub fn volatile(dice: Dice) -> Self {
        Self {
            durable: false,
            ..Self::new(dice)
        }
    }

    /// Loses everything.
    pub fn wipe(&self) {
        let mut state = self.state.lock();
        let sync_ms = state.sync_ms;
        *state = State {
            sync_ms,
            ..State::default()
        };
    }

    /// Each sync takes up to this long.
    pub fn set_sync_ms(&self, sync_ms: u64) {
        self.state.lock().sync_ms = sync_ms;
    }

    /// Refuses writes until there is room again.
    pub fn set_full(&self, full: bool) {
        self.state.lock().full = full;
    }

    /// What is stored, by key.
    pub fn records(&self) -> BTreeMap<String, Record> {
        self.state.lock().records.clone()
    }

    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    fn store(&self, batch: &Batch) {
        let mut state = self.state.lock();
        state.syncs += 1;
        for key in &batch.forgotten {
            state.records.remove(key.as_str());
        }
        for record in &batch.records {
            state.records.insert(record.key().to_owned(), record.clone());
        }
        for (name, bytes) in &batch.notes {
            match bytes {
                Some(bytes) => state.notes.insert(name.clone(), bytes.clone()),
                None => state.notes.remove(name),
            };
        }
    }
}

impl Engine for SimDisk {
    /// A kill drops this future where it waits: the batch is then on the disk or not, as the dice say,
    /// and nobody was told.
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (sync_ms, full) = {
                let state = self.state.lock();
                (state.sync_ms, state.full)
            };
            if full {
                return Err(StoreError::Refused(
                    "no space left on the simulated disk".to_owned(),
                ));
            }
            let reaches_the_disk_early = self.dice.chance(50);
            if reaches_the_disk_early {
                self.store(batch);
            }
            if sync_ms > 0 {
                sleep(Duration::from_micros(self.dice.between(100, sync_ms * 1000))).await;
            }
            if !reaches_the_disk_early {
                self.store(batch);
            }
            Ok(())
        })
    }

    fn recover(&self) -> Result<Recovered, StoreError> {
        let state = self.state.lock();
        Ok(Recovered {
            records: state.records.values().cloned().collect(),
            notes: state
                .notes
                .iter()
                .map(|(name, bytes)| (name.clone(), bytes.clone()))
                .collect(),
        })
    }

    fn is_durable(&self) -> bool {
        self.durable
    }
}
