//! The engine that keeps batches on disk, in a database of the crate `fjall`.
//!
//! What the crate promises: a batch is whole or absent after a crash. What it leaves open is the
//! answer to a failed write. It stops for good then, with bytes of the batch perhaps in its journal,
//! perhaps in a buffer that is written when it is closed. So:
//!
//! * Every batch writes a note with its number, one higher than the last one's.
//! * After a failure the database is closed and opened again, and the note says whether the batch is
//!   there. If so the answer is `Ok`, after everything was written anew (a sync that failed once says
//!   nothing about the same bytes when it succeeds later); if not, opening has cut the rest of the
//!   batch off, and the answer is `Refused`.
//! * While it cannot be opened, the answer is `Unknown`; each further call tries again.
//! * A background thread that failed stops the database too. That shows at the next batch before
//!   anything of it is written, and the batch is written after opening again.
//! * Batches are refused before the disk is full, see `room`.
//!
//! Left out on purpose: committing without blocking. One committer has a thread of its own and nothing
//! to do before the answer, so the future returned by `commit` simply blocks.
#![expect(clippy::disallowed_types, reason = "the store is the door to the disk")]

mod journal;
mod open_error;
mod room;
mod row;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

pub use open_error::OpenError;

use self::room::{Disk, Limits};
use self::tables::Tables;
use super::{Batch, Engine, Recovered, StoreError};

/// Batches on disk, in one directory that belongs to this process alone.
pub struct DurableEngine {
    dir: PathBuf,
    limits: Limits,
    state: Mutex<State>,
    /// Locked as long as the engine lives, also while the database is closed in between.
    _lock: File,
}

struct State {
    /// None after a failure, until it could be opened again.
    tables: Option<Tables>,
    /// The number of the newest batch that is known to be stored.
    stored: u64,
    /// Whether the batch after that one may be stored.
    in_doubt: bool,
}

/// What became of the batch in doubt, if there was one.
#[derive(PartialEq, Eq)]
enum Doubt {
    Stored,
    NotStored,
}

impl DurableEngine {
    /// Opens the store in `dir`, or creates it there.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(dir).map_err(|error| OpenError::from_creation(dir, &error))?;
        let disk = Disk::of(dir).map_err(|error| OpenError::from_io(dir, &error))?;
        Self::open_within(dir, Limits::for_disk(disk.total))
    }

    fn open_within(dir: &Path, limits: Limits) -> Result<Self, OpenError> {
        let lock = lock(dir)?;
        let tables = open_tables(dir)?;
        let stored = tables
            .stored_commit()
            .map_err(|error| OpenError::from_database(dir, error))?;
        let state = State {
            tables: Some(tables),
            stored,
            in_doubt: false,
        };
        Ok(Self {
            dir: dir.to_path_buf(),
            limits,
            state: Mutex::new(state),
            _lock: lock,
        })
    }

    fn commit_now(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let state = &mut *self.state.lock();
        if state.tables.is_none() && self.reopen(state)? == Doubt::Stored {
            // By the contract nothing but the batch in doubt can have been handed in.
            return Ok(());
        }
        self.make_room(state, batch)?;
        match self.write(state, batch) {
            // Something in the background had failed before, and nothing of the batch was written.
            Err(fjall::Error::Poisoned) => {
                self.reopen(state)?;
                self.write(state, batch)
                    .or_else(|error| self.settle(state, &error))
            }
            Err(error) => self.settle(state, &error),
            Ok(()) => Ok(()),
        }
    }

    fn write(&self, state: &mut State, batch: &Batch) -> fjall::Result<()> {
        let tables = state.tables.as_mut().expect("opened before writing");
        tables.write(batch, state.stored + 1)?;
        state.stored += 1;
        Ok(())
    }

    /// Says truthfully what became of a batch whose writing failed.
    fn settle(&self, state: &mut State, error: &fjall::Error) -> Result<(), StoreError> {
        state.in_doubt = true;
        match self.reopen(state)? {
            Doubt::Stored => Ok(()),
            Doubt::NotStored => Err(StoreError::Refused(error.to_string())),
        }
    }

    /// Closes the database, opens it again and looks what it holds.
    fn reopen(&self, state: &mut State) -> Result<Doubt, StoreError> {
        state.tables = None;
        self.try_reopen(state).map_err(|reason| {
            if state.in_doubt {
                StoreError::Unknown(reason)
            } else {
                StoreError::Refused(reason)
            }
        })
    }

    fn try_reopen(&self, state: &mut State) -> Result<Doubt, String> {
        journal::wait_until_closed(&self.dir).map_err(|error| error.to_string())?;
        let mut tables = open_tables(&self.dir).map_err(|error| error.to_string())?;
        let stored = tables.stored_commit().map_err(|error| error.to_string())?;
        let doubt = match stored.checked_sub(state.stored) {
            Some(0) => Doubt::NotStored,
            Some(1) if state.in_doubt => Doubt::Stored,
            _ => {
                return Err(format!(
                    "batch {} was stored, but the disk holds {stored}",
                    state.stored
                ));
            }
        };
        if doubt == Doubt::Stored {
            // A sync of these bytes may have failed. To sync them again would prove nothing: the
            // system counts them as written. So they are written again, elsewhere.
            tables.write_out().map_err(|error| error.to_string())?;
        }
        *state = State {
            tables: Some(tables),
            stored,
            in_doubt: false,
        };
        Ok(doubt)
    }

    /// Writes memory out to tables where it is time, and refuses the batch where room is short.
    fn make_room(&self, state: &mut State, batch: &Batch) -> Result<(), StoreError> {
        let bytes = tables::bytes_of(batch);
        let tables = state.tables.as_mut().expect("opened before writing");
        let is_due = tables.journal_bytes() + bytes > self.limits.journal_bytes;
        let is_short = self.refusal(tables, bytes).is_some();
        if self.limits.is_small() && (is_due || is_short) && self.may_shrink(tables) {
            self.shrink(state)?;
        } else if is_due && !self.limits.is_small() && !is_short {
            // If it fails the database stops, which shows when the batch is written.
            let _ = tables.begin_write_out();
        }
        let tables = state.tables.as_ref().expect("opened by shrinking");
        self.refusal(tables, bytes)
            .map_or(Ok(()), |reason| Err(StoreError::Refused(reason)))
    }

    fn refusal(&self, tables: &Tables, batch_bytes: u64) -> Option<String> {
        match Disk::of(&self.dir) {
            Ok(disk) => self.limits.refusal(disk, batch_bytes, tables.table_bytes()),
            Err(error) => Some(format!("the disk does not answer: {error}")),
        }
    }

    fn may_shrink(&self, tables: &Tables) -> bool {
        let (journal, written) = (tables.journal_bytes(), tables.table_bytes());
        journal > 0
            && Disk::of(&self.dir).is_ok_and(|disk| Limits::has_room_to_shrink(disk, journal, written))
    }

    /// Writes everything out and empties the journal, which a small disk cannot afford to keep.
    fn shrink(&self, state: &mut State) -> Result<(), StoreError> {
        let mut tables = state.tables.take().expect("opened before shrinking");
        let written_out = tables.write_out();
        drop(tables);
        if written_out.is_ok() && journal::wait_until_closed(&self.dir).is_ok() {
            // If it fails, the journal is only longer than it need be.
            let _ = journal::empty(&self.dir);
        }
        self.reopen(state).map(|_| ())
    }
}

/// Half a second: a process that was just killed, or one that is being forked off, holds the lock a
/// moment longer.
const LOCK_PAUSE: Duration = Duration::from_millis(10);
const LOCK_PAUSES: usize = 50;

fn lock(dir: &Path) -> Result<File, OpenError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("in-use"))
        .map_err(|error| OpenError::from_io(dir, &error))?;
    for _ in 0..LOCK_PAUSES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(OpenError::from_io(dir, &error)),
        }
    }
    Err(OpenError::Locked(dir.into()))
}

fn open_tables(dir: &Path) -> Result<Tables, OpenError> {
    discard_unfinished(dir).map_err(|error| OpenError::from_io(dir, &error))?;
    let journal_bytes = journal::mend(dir).map_err(|error| OpenError::from_journal(dir, &error))?;
    let tables = Tables::open(dir, journal_bytes).map_err(|error| OpenError::from_database(dir, error))?;
    let format = tables
        .format()
        .map_err(|error| OpenError::from_database(dir, error))?;
    match format {
        Some(found) if found > tables::FORMAT => Err(OpenError::NewerFormat {
            dir: dir.into(),
            found: format!("format {found}"),
        }),
        _ => Ok(tables),
    }
}

/// A database whose creation was cut short never opens, and nothing can be in it yet: its version
/// marker is written last.
fn discard_unfinished(dir: &Path) -> io::Result<()> {
    let marker = dir.join("version");
    let is_finished = fs::metadata(&marker).is_ok_and(|marker| marker.len() > 0);
    if is_finished {
        return Ok(());
    }
    for file in [marker, dir.join("0.jnl")] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

impl Engine for DurableEngine {
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.commit_now(batch) })
    }

    fn recover(&self) -> Result<Recovered, StoreError> {
        let state = self.state.lock();
        let tables = state.tables.as_ref().expect("called before the first commit");
        tables.read_all().map_err(StoreError::Refused)
    }

    fn is_durable(&self) -> bool {
        true
    }
}

impl fmt::Debug for DurableEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableEngine")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}
