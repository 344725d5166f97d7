//! Checks that the journal at its path is still the file that the database writes.
//!
//! A file can be deleted, moved, replaced or cut while a process has it open. The process does not notice:
//! each write and each sync succeeds, but a restart finds nothing. So the journal is looked up by its path
//! before each batch is written, and again between the sync and the answer. A look costs two `stat` calls,
//! a microsecond each. `fstat` alone is not enough: only the path shows that a directory was moved.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, Stat, fstat, open, stat};
use rustix::io::Errno;

use super::journal;

/// The newest journal of an open database.
pub(super) struct OpenJournal {
    dir: PathBuf,
    number: u64,
    path: CString,
    /// The path of the next journal: the database changes journals in the background.
    next: CString,
    /// Shows whether the file exists under any name.
    file: OwnedFd,
    /// The file when it was last seen in place. It only grows.
    seen: Stat,
}

impl OpenJournal {
    /// The newest journal in a directory that the database has just opened.
    pub(super) fn newest_in(dir: &Path) -> io::Result<Self> {
        let number = journal::newest_number_in(dir)?.ok_or(io::ErrorKind::NotFound)?;
        Self::numbered(dir, number)
    }

    fn numbered(dir: &Path, number: u64) -> io::Result<Self> {
        let path = c_path(dir, number)?;
        let file = open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let seen = fstat(&file)?;
        Ok(Self {
            dir: dir.to_path_buf(),
            number,
            next: c_path(dir, number + 1)?,
            path,
            file,
            seen,
        })
    }

    /// The path of the current journal.
    pub(super) fn newest_path(&mut self) -> PathBuf {
        // A file that cannot be looked up counts as unchanged.
        let _ = self.follow();
        journal::path_of(&self.dir, self.number)
    }

    /// True if the journal is where it was and has lost nothing. An error means that this is unknown.
    pub(super) fn is_in_place(&mut self) -> io::Result<bool> {
        self.follow()?;
        let Some(found) = found(&self.path)? else {
            return Ok(false);
        };
        let is_same = (found.st_dev, found.st_ino) == (self.seen.st_dev, self.seen.st_ino);
        let is_in_place = is_same && found.st_size >= self.seen.st_size;
        if is_in_place {
            self.seen = found;
        }
        Ok(is_in_place)
    }

    /// True if no path leads to the journal: its content can never be read again.
    pub(super) fn is_deleted(&self) -> bool {
        fstat(&self.file).is_ok_and(|found| found.st_nlink == 0)
    }

    fn follow(&mut self) -> io::Result<()> {
        while found(&self.next)?.is_some() {
            match Self::numbered(&self.dir, self.number + 1) {
                Ok(next) => *self = next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The file at a path, if there is one.
fn found(path: &CString) -> io::Result<Option<Stat>> {
    match stat(path) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn c_path(dir: &Path, number: u64) -> io::Result<CString> {
    let path = journal::path_of(dir, number);
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
