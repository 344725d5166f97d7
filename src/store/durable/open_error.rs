//! The reasons why a data directory cannot be used, distinguished by what the operator does about them.
//!
//! An error of the system is not damage. Damage is data that was read and found wrong, or a missing file.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use rustix::io::Errno;

use crate::process::system;

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
    #[error("there is no room in the data directory {dir}: {help}", dir = dir.display())]
    NoRoom { dir: PathBuf, help: &'static str },
    /// The system refused something else.
    #[error(
        "the data directory {dir} cannot be used ({reason}); its data is not known to be damaged",
        dir = dir.display()
    )]
    System { dir: PathBuf, reason: String },
    #[error(
        "the data directory {dir} was written by a newer version ({found}); start that version",
        dir = dir.display()
    )]
    NewerFormat { dir: PathBuf, found: String },
    #[error(
        "the data in {dir} is damaged ({reason}); first of all keep a copy of the directory. If another replica of \
         its keys is ready, move the directory away and start empty: the node takes its keys from its siblings. \
         If there is none, put a backup in its place; what the copy holds may be all that is left",
        dir = dir.display()
    )]
    Corrupt { dir: PathBuf, reason: String },
}

/// A journal that is damaged before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    #[error("{} is damaged at byte {at}, and stored batches follow", path.display())]
    Damaged { path: PathBuf, at: usize },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl OpenError {
    pub(super) fn from_io(dir: &Path, error: &io::Error) -> Self {
        let help = match Errno::from_io_error(error) {
            // Not EPERM: another owner does not help against a file attribute or a missing capability.
            Some(Errno::ACCESS) => {
                return Self::NotWritable {
                    dir: dir.into(),
                    user: rustix::process::geteuid().as_raw(),
                    reason: error.to_string(),
                };
            }
            Some(Errno::NOSPC) => Some(no_room(dir)),
            Some(Errno::DQUOT) => Some("the user's quota is used up; free some room, or raise the quota"),
            // A library may have wrapped the error of the system.
            None if error.kind() == ErrorKind::StorageFull => Some(no_room(dir)),
            _ => None,
        };
        let dir = dir.to_path_buf();
        if let Some(help) = help {
            return Self::NoRoom { dir, help };
        }
        match error.kind() {
            // One of the database's own files: the folder itself was opened before.
            ErrorKind::NotFound => Self::Corrupt {
                dir,
                reason: "a file of the database is missing".into(),
            },
            // A file that ends early or holds something else: an offset outside it is an invalid argument.
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => Self::Corrupt {
                dir,
                reason: error.to_string(),
            },
            _ => Self::System {
                dir,
                reason: system::explain(error),
            },
        }
    }

    /// The error for a directory that cannot be created: it held nothing that could be damaged.
    pub(super) fn from_creation(dir: &Path, error: &io::Error) -> Self {
        match Self::from_io(dir, error) {
            Self::Corrupt { dir, reason } => Self::System {
                dir,
                reason: format!("{reason}; choose another directory"),
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

    pub(super) fn from_database(dir: &Path, error: &fjall::Error) -> Self {
        let dir = dir.to_path_buf();
        match error {
            fjall::Error::Locked => Self::Locked(dir),
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
                Self::from_io(&dir, error)
            }
            fjall::Error::Poisoned => Self::System {
                dir,
                reason: "the database stopped when a write of its own failed; the log says why".into(),
            },
            fjall::Error::InvalidVersion(found) => Self::NewerFormat {
                dir,
                found: found.map_or_else(|| "unknown".into(), |version| format!("database {version}")),
            },
            fjall::Error::Storage(fjall::LsmError::Unrecoverable) => Self::Corrupt {
                dir,
                reason: "a table of the database is missing or cannot be read".into(),
            },
            error => Self::Corrupt {
                dir,
                reason: error.to_string(),
            },
        }
    }
}

/// A disk runs out of bytes or of inodes.
fn no_room(dir: &Path) -> &'static str {
    let is_out_of_names = statvfs(dir).is_ok_and(|disk| disk.f_files > 0 && disk.f_favail == 0);
    if is_out_of_names {
        "no more files can be made (inodes, see df -i); delete some that nobody needs"
    } else {
        "the disk is full (see df); free some room"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_never_called_damage() {
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::IO,
            Errno::STALE,
            Errno::ISDIR,
            Errno::NOTDIR,
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::ROFS,
            Errno::ACCESS,
            Errno::PERM,
            Errno::FBIG,
            Errno::AGAIN,
            Errno::NODEV,
            Errno::TIMEDOUT,
            Errno::NOLCK,
        ] {
            let error = || io::Error::from(errno);
            let dir = Path::new("/tmp");
            for told in [
                OpenError::from_io(dir, &error()),
                OpenError::from_database(dir, &fjall::Error::Io(error())),
                OpenError::from_database(dir, &fjall::Error::Storage(fjall::LsmError::Io(error()))),
                OpenError::from_journal(dir, &JournalError::Io(error())),
            ] {
                assert!(!matches!(told, OpenError::Corrupt { .. }), "{told}");
                let text = told.to_string();
                assert!(
                    text.contains("not known") || text.contains("room") || text.contains("chown"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn data_that_was_read_and_found_wrong_is_damaged_and_to_be_kept() {
        for kind in [
            ErrorKind::UnexpectedEof,
            ErrorKind::InvalidData,
            ErrorKind::NotFound,
            ErrorKind::InvalidInput,
        ] {
            let text = OpenError::from_io(Path::new("/tmp"), &kind.into()).to_string();
            let (keep, away) = (text.find("keep a copy"), text.find("move the directory away"));
            assert!(
                text.contains("damaged") && keep.is_some() && keep < away,
                "{text}"
            );
        }
    }
}
