//! A disk that is slow, fills up, is in doubt, and loses unsynced data when its node is killed.
//!
//! A batch is whole or absent, which is all that an engine promises. A kill during a sync leaves either,
//! as the dice say, and the batch was not acknowledged. A disk in doubt answers [`StoreError::Unknown`]
//! and holds its node to the contract: the node must retry the same batch before any other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use causeway::protocol::causality::Record;
use causeway::store::{Batch, Engine, Recovered, StoreError};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::dice::Dice;

/// The state that outlives a node: shared by its lives until it is wiped.
#[derive(Clone)]
pub struct SimDisk {
    dice: Dice,
    state: Arc<Mutex<State>>,
    durable: bool,
}

/// Records and notes, by key and by name.
type Contents = (BTreeMap<String, Record>, BTreeMap<String, Vec<u8>>);

#[derive(Default)]
struct State {
    records: BTreeMap<String, Record>,
    notes: BTreeMap<String, Vec<u8>>,
    sync_ms: u64,
    full: bool,
    /// The fate of batches that come meanwhile is unknown.
    in_doubt: bool,
    /// The batch of unknown fate, as text, and whether it is stored.
    doubted: Option<(String, bool)>,
    syncs: u64,
    fates: Fates,
    /// The contents at the time of the copy.
    copy: Option<Contents>,
}

/// Counts of batches that met a fault.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fates {
    /// A kill cut the sync short; the batch was stored or lost.
    pub kept_by_kill: u64,
    pub lost_by_kill: u64,
    /// The fate was unknown; in the end the batch was stored or refused.
    pub doubted_and_stored: u64,
    pub doubted_and_refused: u64,
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

    /// Loses everything except the copy, which is kept elsewhere.
    pub fn wipe(&self) {
        let mut state = self.state.lock();
        let copy = state.copy.take();
        *state = State {
            sync_ms: state.sync_ms,
            fates: state.fates,
            copy,
            ..State::default()
        };
    }

    /// Copies its contents, to be restored later.
    pub fn copy(&self) {
        let mut state = self.state.lock();
        state.copy = Some((state.records.clone(), state.notes.clone()));
    }

    /// Restores the copy. False if there is none.
    pub fn put_back(&self) -> bool {
        let mut state = self.state.lock();
        let copy = state.copy.take();
        let is_there = copy.is_some();
        if let Some((records, notes)) = copy {
            (state.records, state.notes) = (records, notes);
        }
        is_there
    }

    /// Each sync takes up to this long.
    pub fn set_sync_ms(&self, sync_ms: u64) {
        self.state.lock().sync_ms = sync_ms;
    }

    /// While full, refuses writes.
    pub fn set_full(&self, full: bool) {
        self.state.lock().full = full;
    }

    /// While in doubt, the fate of every batch is unknown.
    pub fn set_in_doubt(&self, in_doubt: bool) {
        self.state.lock().in_doubt = in_doubt;
    }

    /// Its node is killed: the next life knows nothing of a batch in doubt.
    pub fn ended(&self) {
        self.state.lock().doubted = None;
    }

    /// The stored records, by key.
    pub fn records(&self) -> BTreeMap<String, Record> {
        self.state.lock().records.clone()
    }

    /// True if nothing is stored.
    pub fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.records.is_empty() && state.notes.is_empty()
    }

    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    pub fn fates(&self) -> Fates {
        self.state.lock().fates
    }

    /// Answers `Unknown` for a batch that comes while the disk is in doubt, or settles the doubt.
    fn doubt(&self, batch: &Batch) -> Option<Result<(), StoreError>> {
        let (in_doubt, doubted) = {
            let mut state = self.state.lock();
            (state.in_doubt, state.doubted.take())
        };
        if !in_doubt && doubted.is_none() {
            return None;
        }
        let name = format!("{batch:?}");
        let is_stored = match doubted {
            Some((before, is_stored)) => {
                assert!(before == name, "{name} came while nobody knew of {before}");
                is_stored
            }
            None => false,
        };
        // A stored batch stays; an absent one may be stored this time.
        let is_stored = is_stored || self.dice.chance(50);
        if is_stored {
            self.state.lock().store(batch);
        }
        let mut state = self.state.lock();
        if in_doubt {
            state.doubted = Some((name, is_stored));
            return Some(Err(StoreError::Unknown(
                "the simulated disk went away".to_owned(),
            )));
        }
        if is_stored {
            state.fates.doubted_and_stored += 1;
            return Some(Ok(()));
        }
        state.fates.doubted_and_refused += 1;
        let reason = "the simulated disk did not take it".to_owned();
        Some(Err(StoreError::Refused(reason)))
    }
}

impl State {
    fn store(&mut self, batch: &Batch) {
        self.syncs += 1;
        for key in &batch.forgotten {
            self.records.remove(key.as_str());
        }
        for record in &batch.records {
            self.records.insert(record.key().to_owned(), record.clone());
        }
        for (name, bytes) in &batch.notes {
            match bytes {
                Some(bytes) => self.notes.insert(name.clone(), bytes.clone()),
                None => self.notes.remove(name),
            };
        }
    }
}

/// A sync that goes on until it is marked as ended: a kill drops it earlier.
struct Syncing<'a> {
    disk: &'a SimDisk,
    is_stored: bool,
    has_ended: bool,
}

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        match (self.has_ended, self.is_stored) {
            (true, _) => {}
            (false, true) => state.fates.kept_by_kill += 1,
            (false, false) => state.fates.lost_by_kill += 1,
        }
    }
}

impl Engine for SimDisk {
    /// A kill drops this future where it waits. The batch is then stored or lost, as the dice say, and
    /// was not acknowledged.
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if let Some(answer) = self.doubt(batch) {
                return answer;
            }
            let (sync_ms, full) = {
                let state = self.state.lock();
                (state.sync_ms, state.full)
            };
            if full {
                return Err(StoreError::Refused(
                    "no space left on the simulated disk".to_owned(),
                ));
            }
            let mut sync = Syncing {
                disk: self,
                is_stored: self.dice.chance(50),
                has_ended: false,
            };
            if sync.is_stored {
                self.state.lock().store(batch);
            }
            if sync_ms > 0 {
                sleep(Duration::from_micros(self.dice.between(100, sync_ms * 1000))).await;
            }
            if !sync.is_stored {
                self.state.lock().store(batch);
            }
            sync.has_ended = true;
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
