//! Locks the data directory for this process, and checks that its path still leads to it.
//!
//! The lock is on the directory itself, not only on a file in it: a second process must not get in after
//! an operator deletes what looks like a stale lock file.
#![expect(clippy::disallowed_types, reason = "the store is the door to the disk")]

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::displaced::Displaced;
use super::mark::Mark;
use super::open_error::OpenError;
use crate::process::system;

/// Also locked, because earlier versions lock nothing else. It says that the store is complete, and holds
/// the store's mark.
const LOCK_FILE: &str = "in-use";

/// Half a second in all: a process that was just killed or is being forked off may still hold the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);
const LOCK_PAUSES: usize = 50;

/// Identifies a file, whatever its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// A data directory that belongs to this process as long as this value lives.
pub(super) struct Directory {
    path: PathBuf,
    identity: Identity,
    is_complete: bool,
    mark: Option<Mark>,
    lock_file: File,
    /// Open and locked; also keeps its inode number from being reused.
    _directory: File,
}

impl Directory {
    /// Locks an existing directory.
    pub(super) fn hold(path: &Path) -> Result<Self, OpenError> {
        let failed = |error| OpenError::from_io(path, &error);
        let directory = File::open(path).map_err(failed)?;
        let mut lock_file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .append(true)
            .open(path.join(LOCK_FILE))
            .map_err(failed)?;
        lock(&lock_file, path)?;
        match lock(&directory, path) {
            // Some network file systems lock no directories: there the lock file must do.
            Ok(()) | Err(OpenError::System { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut text = Vec::new();
        lock_file.read_to_end(&mut text).map_err(failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            identity: Identity::of(&directory.metadata().map_err(failed)?),
            is_complete: !text.is_empty(),
            mark: Mark::from_text(&String::from_utf8_lossy(&text)),
            lock_file,
            _directory: directory,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// True once the store was created completely: a file that is missing after that was deleted.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The mark with which the store's batches begin, once it is on disk.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// Gives the store a mark. Allowed only while no journal holds a batch: all later batches must bear it.
    pub(super) fn set_mark(&mut self) -> io::Result<()> {
        let mark = Mark::random();
        self.append(&mark.to_text())?;
        self.mark = Some(mark);
        Ok(())
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        // Half a line of a failed attempt must not run into this one.
        self.lock_file.write_all(format!("\n{text}").as_bytes())?;
        self.lock_file.sync_all()?;
        sync_directory(&self.path)
    }

    /// Records on disk that the store is complete, and makes the names of its folders durable: a synced
    /// journal is useless in a directory that a power cut removes.
    pub(super) fn mark_complete(&mut self) -> io::Result<()> {
        if self.is_complete {
            return Ok(());
        }
        let path = fs::canonicalize(&self.path)?;
        sync_directory(&path.join("keyspaces"))?;
        for folder in path.ancestors().skip(1) {
            // A folder that this user cannot open was not created by this process.
            let _ = sync_directory(folder);
        }
        self.append("complete\n")?;
        self.is_complete = true;
        Ok(())
    }

    /// Checks that the path still leads to this directory: a restart would open whatever is there.
    pub(super) fn check(&self) -> Result<(), Displaced> {
        let dir = || self.path.clone();
        match fs::metadata(&self.path) {
            Ok(found) if Identity::of(&found) == self.identity => Ok(()),
            Ok(_) => Err(Displaced::Replaced(dir())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Displaced::Gone(dir())),
            Err(error) => Err(Displaced::Unreachable(dir(), system::explain(&error))),
        }
    }
}

/// Makes a directory's list of files durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn lock(file: &File, dir: &Path) -> Result<(), OpenError> {
    for _ in 0..LOCK_PAUSES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(OpenError::from_io(dir, &error)),
        }
    }
    Err(OpenError::Locked(dir.into()))
}
