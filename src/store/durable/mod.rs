//! The engine that keeps batches on disk, in a database of the crate `fjall`.
//!
//! The crate promises that a batch is whole or absent after a crash, but leaves the outcome of a failed
//! write open. It stops for good then, and bytes of the batch may be in its journal, or in a buffer that
//! is written when it is closed. So:
//!
//! * Every batch writes a note with its number, one higher than the last one's.
//! * After a failure the engine reopens the database, and the note says whether the batch is there. If so,
//!   everything is rewritten (a sync that failed once proves nothing about the same bytes when it succeeds
//!   later), and the answer is `Ok`. If not, opening has cut off the rest of the batch, and the answer is
//!   `Refused`.
//! * While the database cannot be opened, the answer is `Unknown`; each further call tries again.
//! * A failed background thread stops the database too. The next batch fails before anything of it is
//!   written; the engine reopens the database and retries it.
//! * Batches are refused before the disk is full, see `room`.
//! * Files can be deleted or moved while the database writes them, see `in_place`. A batch that a restart
//!   would not find is refused before anything of it is written. A batch is acknowledged only if its
//!   journal is still in place after the sync. If only the journal is gone, everything is rewritten from
//!   memory. A directory that was moved away can be moved back. Neither needs a restart.
//!
//! Left out on purpose: committing without blocking. The only committer has its own thread and nothing to
//! do before the answer, so the future returned by `commit` blocks.
#![expect(clippy::disallowed_types, reason = "the store is the door to the disk")]

mod directory;
mod displaced;
mod files;
mod in_place;
mod journal;
mod mark;
mod open_error;
mod room;
mod row;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

pub use open_error::OpenError;

use self::directory::Directory;
use self::displaced::Displaced;
use self::room::{Disk, Limits};
use self::tables::Tables;
use super::{Batch, Engine, Recovered, StoreError};
use crate::process::system;

/// Batches on disk, in one directory that belongs to this process alone.
pub struct DurableEngine {
    /// Held as long as the engine lives, even while the database is closed.
    directory: Directory,
    limits: Limits,
    state: Mutex<State>,
}

struct State {
    /// None after a failure, until the database is open again.
    tables: Option<Tables>,
    /// The number of the newest batch that is known to be stored.
    stored: u64,
    /// True if the batch after that one may be stored.
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
        let cannot_make = |error| OpenError::from_creation(dir, &error);
        match fs::metadata(dir) {
            Ok(found) if found.is_dir() => {}
            // Report the system's error about the path itself, not a failed creation.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_make(error)),
            _ => fs::create_dir_all(dir).map_err(cannot_make)?,
        }
        let disk = Disk::of(dir).map_err(|error| OpenError::from_io(dir, &error))?;
        Self::open_within(dir, Limits::for_disk(disk.total))
    }

    fn open_within(dir: &Path, limits: Limits) -> Result<Self, OpenError> {
        let mut directory = Directory::hold(dir)?;
        let mut tables = open_tables(&directory)?;
        if directory.mark().is_none() {
            tables = complete(&mut directory, tables)?;
        }
        let stored = tables
            .stored_commit()
            .map_err(|error| OpenError::from_database(dir, &error))?;
        let state = State {
            tables: Some(tables),
            stored,
            in_doubt: false,
        };
        Ok(Self {
            directory,
            limits,
            state: Mutex::new(state),
        })
    }

    fn commit_now(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let state = &mut *self.state.lock();
        if state.tables.is_none() && self.reopen(state)? == Doubt::Stored {
            // By the contract this is the batch in doubt: no other one may come before it.
            return Ok(());
        }
        self.check_before(state)?;
        self.make_room(state, batch)?;
        self.write_or_settle(state, batch)?;
        self.check_after(state)
    }

    fn write_or_settle(&self, state: &mut State, batch: &Batch) -> Result<(), StoreError> {
        match self.write(state, batch) {
            // A background thread failed earlier; nothing of the batch was written.
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

    /// Refuses a batch, before anything of it is written, if a restart would not find it.
    fn check_before(&self, state: &mut State) -> Result<(), StoreError> {
        let tables = state.tables.as_mut().expect("opened before writing");
        let Err(displaced) = self.check_files(tables) else {
            return Ok(());
        };
        if matches!(displaced, Displaced::Journal(_)) {
            self.shrink(state)?;
        }
        Err(StoreError::Refused(displaced.to_string()))
    }

    /// Settles a batch whose journal was deleted or moved while it was written.
    fn check_after(&self, state: &mut State) -> Result<(), StoreError> {
        let tables = state.tables.as_mut().expect("opened for writing");
        if matches!(tables.journal().is_in_place(), Ok(true)) {
            return Ok(());
        }
        let is_deleted = tables.journal().is_deleted();
        let Err(displaced) = self.check_files(tables) else {
            return Ok(());
        };
        state.stored -= 1;
        state.in_doubt = true;
        if matches!(displaced, Displaced::Journal(_)) {
            return match self.shrink(state)? {
                Doubt::Stored => Ok(()),
                Doubt::NotStored => Err(StoreError::Refused(displaced.to_string())),
            };
        }
        state.tables = None;
        if is_deleted {
            // No process can read a deleted journal again, not even after a restart.
            state.in_doubt = false;
            return Err(StoreError::Refused(displaced.to_string()));
        }
        Err(StoreError::Unknown(displaced.to_string()))
    }

    fn check_files(&self, tables: &mut Tables) -> Result<(), Displaced> {
        let dir = self.directory.path();
        let unreachable = |error: io::Error| Displaced::Unreachable(dir.into(), system::explain(&error));
        if tables.journal().is_in_place().map_err(unreachable)? {
            return tables
                .missing_file()
                .map_or(Ok(()), |path| Err(Displaced::Table(path)));
        }
        self.directory.check()?;
        if !has_marker(dir).map_err(unreachable)? {
            return Err(Displaced::Emptied(dir.into()));
        }
        Err(Displaced::Journal(tables.journal().newest_path()))
    }

    /// Finds out whether a batch whose write failed is stored.
    fn settle(&self, state: &mut State, error: &fjall::Error) -> Result<(), StoreError> {
        state.in_doubt = true;
        match self.reopen(state)? {
            Doubt::Stored => Ok(()),
            Doubt::NotStored => Err(StoreError::Refused(self.explain(error))),
        }
    }

    fn explain(&self, error: &fjall::Error) -> String {
        OpenError::from_database(self.directory.path(), error).to_string()
    }

    /// Closes the database, opens it again and checks what it holds.
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
        self.directory
            .check()
            .map_err(|displaced| displaced.to_string())?;
        let dir = self.directory.path();
        journal::wait_until_closed(dir).map_err(|error| OpenError::from_io(dir, &error).to_string())?;
        let mut tables = open_tables(&self.directory).map_err(|error| error.to_string())?;
        let stored = tables.stored_commit().map_err(|error| self.explain(&error))?;
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
            // A sync of these bytes may have failed. Syncing them again would prove nothing, because the
            // system counts them as written. So they are rewritten elsewhere.
            tables.write_out().map_err(|error| self.explain(&error))?;
        }
        *state = State {
            tables: Some(tables),
            stored,
            in_doubt: false,
        };
        Ok(doubt)
    }

    /// Writes memory out to tables when that is due, and refuses the batch if room is short.
    fn make_room(&self, state: &mut State, batch: &Batch) -> Result<(), StoreError> {
        let bytes = tables::bytes_of(batch);
        let tables = state.tables.as_mut().expect("opened before writing");
        let is_due = tables.journal_bytes() + bytes > self.limits.write_out_bytes();
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
        match Disk::of(self.directory.path()) {
            Ok(disk) => self.limits.refusal(disk, batch_bytes, tables.table_bytes()),
            Err(error) => Some(format!("the disk does not answer: {}", system::explain(&error))),
        }
    }

    fn may_shrink(&self, tables: &Tables) -> bool {
        let (journal, written) = (tables.journal_bytes(), tables.table_bytes());
        journal > 0
            && Disk::of(self.directory.path())
                .is_ok_and(|disk| Limits::has_room_to_shrink(disk, journal, written))
    }

    /// Writes everything out and empties the journal, which a small disk cannot afford to keep.
    fn shrink(&self, state: &mut State) -> Result<Doubt, StoreError> {
        let dir = self.directory.path();
        let mut tables = state.tables.take().expect("opened before shrinking");
        let written_out = tables.write_out();
        let newest = tables.journal().newest_path();
        drop(tables);
        if written_out.is_ok() && journal::wait_until_closed(dir).is_ok() {
            // If it fails, the journal is only longer than it need be, or still missing.
            let _ = journal::empty(dir, &newest);
        }
        self.reopen(state)
    }
}

/// Finishes the creation of a store, or gives a mark to a store of an earlier version. That empties the
/// journal, because its batches have no mark.
///
/// The database is also closed and opened again. A created journal has its full length at once. An opened
/// one is as long as its content, so its length shows whether it was cut.
fn complete(directory: &mut Directory, mut tables: Tables) -> Result<Tables, OpenError> {
    let dir = directory.path().to_path_buf();
    let has_room = Disk::of(&dir)
        .is_ok_and(|disk| Limits::has_room_to_shrink(disk, tables.journal_bytes(), tables.table_bytes()));
    let is_written_out = has_room && tables.write_out().is_ok();
    let newest = tables.journal().newest_path();
    drop(tables);
    journal::wait_until_closed(&dir).map_err(|error| OpenError::from_io(&dir, &error))?;
    // The next start repeats a step that fails here (on a full disk).
    let is_complete = directory.mark_complete().is_ok();
    if is_complete && is_written_out && journal::empty(&dir, &newest).is_ok() {
        let _ = directory.set_mark();
    }
    open_tables(directory)
}

fn open_tables(directory: &Directory) -> Result<Tables, OpenError> {
    let dir = directory.path();
    let failed = |error| OpenError::from_io(dir, &error);
    if directory.is_complete() {
        require_complete(dir)?;
    } else {
        discard_unfinished(dir)?;
    }
    if has_marker(dir).map_err(failed)? {
        // The database locks this file but does not recreate it. The directory is locked already.
        let lock = File::options().create(true).append(true).open(dir.join("lock"));
        lock.map_err(failed)?;
    }
    files::check(dir)?;
    let mark = directory.mark();
    let journal_bytes = journal::mend(dir, mark).map_err(|error| OpenError::from_journal(dir, &error))?;
    let failed = |error| OpenError::from_database(dir, &error);
    let tables = Tables::open(dir, journal_bytes, mark).map_err(failed)?;
    let format = tables.format().map_err(failed)?;
    match format {
        Some(found) if found > tables::FORMAT => Err(OpenError::NewerFormat {
            dir: dir.into(),
            found: format!("format {found}"),
        }),
        _ => Ok(tables),
    }
}

/// A database with missing files must not be opened: for some of them the crate assumes an unfinished
/// creation, deletes the rest, and begins with an empty database.
fn require_complete(dir: &Path) -> Result<(), OpenError> {
    let missing = |what: &str| OpenError::Corrupt {
        dir: dir.into(),
        reason: format!("{what} is missing"),
    };
    let failed = |error| OpenError::from_io(dir, &error);
    if !has_marker(dir).map_err(failed)? {
        return Err(missing("the file version"));
    }
    if journal::newest_number_in(dir).map_err(failed)?.is_none() {
        return Err(missing("the journal"));
    }
    let mut keyspaces = 0;
    let folder = dir.join("keyspaces");
    let listed = fs::read_dir(folder).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing("the folder keyspaces"),
        _ => failed(error),
    });
    for keyspace in listed? {
        let current = keyspace.map_err(failed)?.path().join("current");
        if !current.try_exists().map_err(failed)? {
            return Err(missing(&format!("the file {}", current.display())));
        }
        keyspaces += 1;
    }
    if keyspaces < tables::KEYSPACES {
        return Err(missing("a folder of tables"));
    }
    Ok(())
}

/// Discards a database whose creation was cut short: it never opens, and it is empty, because its version
/// marker is written last.
fn discard_unfinished(dir: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_io(dir, &error);
    if has_marker(dir).map_err(failed)? {
        return Ok(());
    }
    if !journal::are_blank(dir).map_err(failed)? {
        return Err(OpenError::Corrupt {
            dir: dir.into(),
            reason: "the file version is missing".into(),
        });
    }
    for file in [dir.join("version"), dir.join("0.jnl")] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(())
}

fn has_marker(dir: &Path) -> io::Result<bool> {
    match fs::metadata(dir.join("version")) {
        Ok(marker) => Ok(marker.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Engine for DurableEngine {
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.commit_now(batch) })
    }

    fn recover(&self) -> Result<Recovered, StoreError> {
        let state = self.state.lock();
        let tables = state.tables.as_ref().expect("called before the first commit");
        let read = tables.read_all();
        read.map_err(|error| StoreError::Unreadable(error.to_string()))
    }

    fn is_durable(&self) -> bool {
        true
    }
}

impl fmt::Debug for DurableEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableEngine")
            .field("dir", &self.directory.path())
            .finish_non_exhaustive()
    }
}
