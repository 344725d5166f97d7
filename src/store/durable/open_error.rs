//! Why a data directory cannot be used, told apart by what the operator does about it.

use std::io;
use std::path::{Path, PathBuf};

use super::journal::JournalError;

/// Why the store does not open. Nothing was changed on disk, except by what opened it before.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the data directory {dir} cannot be written by user {user} ({reason}); \
         run: chown -R {user} {dir}, or choose another directory",
        dir = dir.display()
    )]
    NotWritable { dir: PathBuf, user: u32, reason: String },
    #[error("the data directory {} is in use by another process; stop that one first", .0.display())]
    Locked(PathBuf),
    #[error("there is no room in the data directory {}; free some and start again", .0.display())]
    NoRoom(PathBuf),
    #[error(
        "the data directory {dir} was written by a newer version ({found}); start that version",
        dir = dir.display()
    )]
    NewerFormat { dir: PathBuf, found: String },
    #[error(
        "the data in {dir} is damaged ({reason}); move the directory away and start empty: \
         the node takes its keys from its siblings",
        dir = dir.display()
    )]
    Corrupt { dir: PathBuf, reason: String },
}

impl OpenError {
    pub(super) fn from_io(dir: &Path, error: &io::Error) -> Self {
        let dir = dir.to_path_buf();
        match error.kind() {
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists => Self::NotWritable {
                dir,
                user: rustix::process::geteuid().as_raw(),
                reason: error.to_string(),
            },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoRoom(dir),
            _ => Self::Corrupt {
                dir,
                reason: error.to_string(),
            },
        }
    }

    /// Of a directory that cannot be made: nothing was there that could be damaged.
    pub(super) fn from_creation(dir: &Path, error: &io::Error) -> Self {
        match Self::from_io(dir, error) {
            Self::Corrupt { dir, reason } => Self::NotWritable {
                dir,
                user: rustix::process::geteuid().as_raw(),
                reason,
            },
            other => other,
        }
    }

    pub(super) fn from_journal(dir: &Path, error: &JournalError) -> Self {
        match error {
            JournalError::Io(error) => Self::from_io(dir, error),
            JournalError::Damaged { .. } => Self::Corrupt {
                dir: dir.into(),
                reason: error.to_string(),
            },
        }
    }

    pub(super) fn from_database(dir: &Path, error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::Locked(dir.into()),
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
                Self::from_io(dir, &error)
            }
            fjall::Error::InvalidVersion(found) => Self::NewerFormat {
                dir: dir.into(),
                found: found.map_or_else(|| "unknown".into(), |version| format!("database {version}")),
            },
            error => Self::Corrupt {
                dir: dir.into(),
                reason: error.to_string(),
            },
        }
    }
}
