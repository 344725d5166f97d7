//! The open database: writes batches, reads them back, and writes memory out to tables.
//!
//! The database never writes its memory out by itself here (its limit is set out of reach). It could do so
//! at any time, and make writers wait in a loop that never ends if the background thread fails. The engine
//! asks for it instead, while no write is under way.

use std::collections::BTreeMap;
use std::iter::once;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use tokio::time::Instant;

use super::in_place::OpenJournal;
use super::mark::{self, Mark};
use super::open_error::OpenError;
use super::room::PART_BYTES;
use super::row;
use crate::process::threads;
use crate::protocol::causality::Record;
use crate::store::{Batch, Recovered};

/// The number of the newest stored batch: tells, after a failure, whether a batch is stored.
const COMMIT_NOTE: &[u8] = b"!commit";
/// Written once.
const FORMAT_NOTE: &[u8] = b"!format";
/// The format that this version writes. A higher number is refused.
pub(super) const FORMAT: u64 = 1;
/// Prefix of the caller's notes; keeps them apart from the store's own.
const NOTE_PREFIX: u8 = b'=';

/// Folders of tables: one for the database's own use, records, notes.
pub(super) const KEYSPACES: usize = 3;

/// Small, because the database is read only at the start.
const CACHE_BYTES: u64 = 1024 * 1024;
const BLOCK_BYTES: u32 = 64 * 1024;
/// The number of fresh tables at which they are merged: two journals of them, since each merge also rewrites older
/// tables.
const MERGED_TABLES: u8 = 8;
/// Above this number of fresh tables merging lags behind, and no more may be added: from 30 on the
/// database stops its writers.
const FRESH_TABLES_MAX: usize = 16;

/// How often table files are looked for: they are many, and seldom written.
const TABLES_LOOK_PAUSE: Duration = Duration::from_secs(1);

/// An open database. The keyspaces come first, because they must be dropped before the database.
pub(super) struct Tables {
    records: Keyspace,
    notes: Keyspace,
    database: Database,
    journal: OpenJournal,
    journal_bytes: u64,
    mark: Option<Mark>,
    has_format: bool,
    dir: PathBuf,
    /// When all table files were last seen in place.
    tables_seen: Option<Instant>,
}

impl Tables {
    /// Opens or creates the database in an existing directory whose journals hold `journal_bytes`. Its
    /// batches begin with the mark.
    pub(super) fn open(dir: &Path, journal_bytes: u64, mark: Option<Mark>) -> fjall::Result<Self> {
        // Writing out and merging must not take the cores from clients' writes.
        let database = threads::at_low_priority(|| {
            Database::builder(dir)
                .worker_threads(1)
                .cache_size(CACHE_BYTES)
                .manual_journal_persist(true)
                .open()
        })??;
        // Rows are read once, all of them and in order: large blocks, and no filters for look-ups.
        let merging = Leveled::default()
            .with_l0_threshold(MERGED_TABLES)
            .with_table_target_size(PART_BYTES);
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(u64::MAX)
                .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
                .filter_policy(FilterPolicy::disabled())
                .compaction_strategy(Arc::new(merging.clone()))
        };
        let mut tables = Self {
            records: database.keyspace("records", options)?,
            notes: database.keyspace("notes", options)?,
            database,
            journal: OpenJournal::newest_in(dir)?,
            journal_bytes,
            mark,
            has_format: false,
            dir: dir.to_path_buf(),
            tables_seen: None,
        };
        tables.has_format = tables.format()?.is_some();
        Ok(tables)
    }

    pub(super) fn journal(&mut self) -> &mut OpenJournal {
        &mut self.journal
    }

    /// A missing file that opening needs. Looks at most once a second.
    pub(super) fn missing_file(&mut self) -> Option<PathBuf> {
        if self
            .tables_seen
            .is_some_and(|seen| seen.elapsed() < TABLES_LOOK_PAUSE)
        {
            return None;
        }
        let missing = once(self.dir.join("version"))
            .chain(once(self.dir.join("keyspaces/0/current")))
            .find(|path| is_missing(path))
            .or_else(|| [&self.records, &self.notes].into_iter().find_map(missing_file_of));
        self.tables_seen = missing.is_none().then(Instant::now);
        missing
    }

    /// The format that the data was written in; none in a new database.
    pub(super) fn format(&self) -> fjall::Result<Option<u64>> {
        self.number(FORMAT_NOTE)
    }

    pub(super) fn stored_commit(&self) -> fjall::Result<u64> {
        Ok(self.number(COMMIT_NOTE)?.unwrap_or(0))
    }

    fn number(&self, note: &[u8]) -> fjall::Result<Option<u64>> {
        let value = self.notes.get(note)?;
        value
            .map(|bytes| bytes.as_ref().try_into().map(u64::from_le_bytes))
            .transpose()
            .map_err(|_| fjall::Error::Unrecoverable)
    }

    /// Writes and syncs a batch under this number.
    ///
    /// `SyncData` is enough although the journal grows: `fdatasync` skips only metadata that reading the
    /// data back does not need, such as times, and the length of the file is needed.
    pub(super) fn write(&mut self, batch: &Batch, number: u64) -> fjall::Result<()> {
        let mut write = self.database.batch().durability(Some(PersistMode::SyncData));
        if let Some(mark) = self.mark {
            // The first row, see `mark`.
            write.insert(&self.notes, mark::NOTE, mark.bytes());
        }
        for (key, row) in rows(batch) {
            match row {
                Some(row) => write.insert(&self.records, key, row),
                None => write.remove(&self.records, key),
            }
        }
        let notes: BTreeMap<_, _> = batch.notes.iter().map(|(name, value)| (name, value)).collect();
        for (name, value) in notes {
            match value {
                Some(value) => write.insert(&self.notes, note_key(name), value.as_slice()),
                None => write.remove(&self.notes, note_key(name)),
            }
        }
        if !self.has_format {
            write.insert(&self.notes, FORMAT_NOTE, FORMAT.to_le_bytes());
        }
        write.insert(&self.notes, COMMIT_NOTE, number.to_le_bytes());
        write.commit()?;
        self.has_format = true;
        self.journal_bytes += bytes_of(batch);
        Ok(())
    }

    /// Bytes of batches that are not in tables yet.
    pub(super) fn journal_bytes(&self) -> u64 {
        self.journal_bytes
    }

    /// Bytes in tables.
    pub(super) fn table_bytes(&self) -> u64 {
        self.records.disk_space() + self.notes.disk_space()
    }

    /// Starts to write memory out to tables in the background, unless that is still going on or merging lags.
    pub(super) fn begin_write_out(&mut self) -> fjall::Result<()> {
        if self.sealed() == 0 && self.records.l0_table_count() < FRESH_TABLES_MAX {
            self.records.rotate_memtable()?;
            self.notes.rotate_memtable()?;
            self.journal_bytes = 0;
        }
        Ok(())
    }

    /// Writes everything out to tables, merges them and waits until that is done. The journal is not
    /// needed after that.
    pub(super) fn write_out(&mut self) -> fjall::Result<()> {
        self.wait_for_write_out()?;
        self.records.rotate_memtable()?;
        self.notes.rotate_memtable()?;
        self.wait_for_write_out()?;
        self.records.major_compact()?;
        self.notes.major_compact()
    }

    fn wait_for_write_out(&self) -> fjall::Result<()> {
        while self.sealed() > 0 {
            // Writes nothing, but shows whether the background thread has failed.
            self.database.persist(PersistMode::Buffer)?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn sealed(&self) -> usize {
        self.records.sealed_memtable_count() + self.notes.sealed_memtable_count()
    }

    /// Everything stored. The error names the record if one is damaged.
    pub(super) fn read_all(&self) -> Result<Recovered, OpenError> {
        let failed = |error| OpenError::from_database(&self.dir, &error);
        let damaged = |reason: String| OpenError::Corrupt {
            dir: self.dir.clone(),
            reason,
        };
        let mut recovered = Recovered::default();
        for item in self.records.iter() {
            let (key, value) = item.into_inner().map_err(failed)?;
            let record = row::decode(&key, &value).map_err(|error| damaged(error.to_string()))?;
            recovered.records.push(record);
        }
        for item in self.notes.prefix([NOTE_PREFIX]) {
            let (key, value) = item.into_inner().map_err(failed)?;
            let name = std::str::from_utf8(&key[1..]).map_err(|error| damaged(error.to_string()))?;
            recovered.notes.push((name.to_owned(), value.to_vec()));
        }
        Ok(recovered)
    }
}

/// A file that cannot be looked up is not known to be missing.
fn is_missing(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

fn missing_file_of(keyspace: &Keyspace) -> Option<PathBuf> {
    let folder = keyspace.path().join("tables");
    // Merging deletes no file of a version that is held.
    let version = keyspace.tree.current_version();
    let tables = version
        .iter_tables()
        .map(|table| folder.join(table.id().to_string()));
    once(keyspace.path().join("current"))
        .chain(tables)
        .find(|path| is_missing(path))
}

/// What a batch does to each key. One entry per key: of two in one batch the database could not tell which
/// is the later.
fn rows(batch: &Batch) -> BTreeMap<&[u8], Option<Vec<u8>>> {
    let forgotten = batch.forgotten.iter().map(|key| (key.as_str().as_bytes(), None));
    let newest: BTreeMap<_, _> = forgotten
        .chain(
            batch
                .records
                .iter()
                .map(|record| (record.key_bytes(), Some(record))),
        )
        .collect();
    newest
        .into_iter()
        .map(|(key, record)| (key, record.map(row::encode)))
        .collect()
}

fn note_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(NOTE_PREFIX);
    key.extend_from_slice(name.as_bytes());
    key
}

/// How many bytes a batch takes in the journal, except for a few notes of our own.
pub(super) fn bytes_of(batch: &Batch) -> u64 {
    const BATCH_BYTES: usize = 128;
    const ITEM_BYTES: usize = 21;
    let record = |record: &Record| record.key_bytes().len() + row::len(record);
    let note = |(name, value): &(String, Option<Vec<u8>>)| name.len() + value.as_ref().map_or(0, Vec::len);
    let records = batch.records.iter().map(record);
    let forgotten = batch.forgotten.iter().map(|key| key.as_str().len());
    let items = records.chain(forgotten).chain(batch.notes.iter().map(note));
    let bytes: usize = items.map(|bytes| bytes + ITEM_BYTES).sum();
    (bytes + BATCH_BYTES) as u64
}

#[cfg(test)]
impl Tables {
    /// As if the last look at the tables was a second ago.
    pub(super) fn forget_look(&mut self) {
        self.tables_seen = None;
    }

    pub(super) fn write_format(&self, format: u64) {
        let written = self.notes.insert(FORMAT_NOTE, format.to_le_bytes());
        written.expect("is written");
    }

    /// Changes a byte of a stored record.
    pub(super) fn damage(&self, key: &str) {
        let mut row = self
            .records
            .get(key)
            .expect("can be read")
            .expect("is there")
            .to_vec();
        *row.last_mut().expect("not empty") ^= 1;
        self.records.insert(key, row).expect("is written");
    }
}
