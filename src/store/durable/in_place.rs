//! Checks that the journal at its path is still the file that the database writes.
//!
//! A file can be deleted, moved, replaced or cut while a process has it open. The process is not told:
//! each write and each sync succeeds, and a restart finds nothing. So the journal is looked up by its path
//! before each batch is written, and again between the sync and the answer. A look is two `stat` calls, a
//! microsecond each; only the path tells of a directory that was moved, so `fstat` alone would not do.
#![expect(clippy::disallowed_types, reason = "the store is the door to the disk")]

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::directory::Identity;
use super::journal;

/// The newest journal of an open database.
pub(super) struct OpenJournal {
    number: u64,
    path: PathBuf,
    /// Where the next one will be: the database changes journals in the background.
    next: PathBuf,
    /// Tells whether the file exists under any name.
    file: File,
    identity: Identity,
    /// It only grows.
    len: u64,
}

impl OpenJournal {
    /// The newest journal in a directory that the database has just opened.
    pub(super) fn newest_in(dir: &Path) -> io::Result<Self> {
        let number = journal::newest_number_in(dir)?.ok_or(io::ErrorKind::NotFound)?;
        let path = journal::path_of(dir, number);
        let file = File::open(&path)?;
        let metadata = file.metadata()?;
        Ok(Self {
            number,
            path,
            next: journal::path_of(dir, number + 1),
            file,
            identity: Identity::of(&metadata),
            len: metadata.len(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the journal that is written now.
    pub(super) fn newest_path(&mut self) -> PathBuf {
        self.follow();
        self.path.clone()
    }

    /// True if the journal stands where it was and has lost nothing.
    pub(super) fn is_in_place(&mut self) -> bool {
        self.follow();
        match fs::metadata(&self.path) {
            Ok(found) if Identity::of(&found) == self.identity && found.len() >= self.len => {
                self.len = found.len();
                true
            }
            _ => false,
        }
    }

    /// True if no path leads to the journal any more: nobody will ever read what was written to it.
    pub(super) fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    fn follow(&mut self) {
        while let Ok(metadata) = fs::metadata(&self.next) {
            if self.go_on_to_next(&metadata).is_err() {
                return;
            }
        }
    }

    fn go_on_to_next(&mut self, metadata: &Metadata) -> io::Result<()> {
        self.file = File::open(&self.next)?;
        self.identity = Identity::of(metadata);
        self.len = metadata.len();
        self.number += 1;
        let next = self.next.with_file_name(journal::name_of(self.number + 1));
        self.path = std::mem::replace(&mut self.next, next);
        Ok(())
    }
}
