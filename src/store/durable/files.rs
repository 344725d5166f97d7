//! Checks the database's files first: the database ends the process over a folder in place of a table.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::open_error::OpenError;
use crate::process::system;

/// The folder of a keyspace that holds its tables.
const TABLES: &str = "tables";

/// Refuses a folder in place of a file. The database judges the content of files itself: a power cut may
/// leave empty ones that nothing refers to.
pub(super) fn check(dir: &Path) -> Result<(), OpenError> {
    let failed = |error: io::Error| OpenError::from_io(dir, &error);
    for keyspace in entries(&dir.join("keyspaces")).map_err(failed)? {
        for path in entries(&keyspace).map_err(failed)? {
            let is_tables = path.file_name().is_some_and(|name| name == TABLES);
            let files = if is_tables {
                entries(&path).map_err(failed)?
            } else {
                vec![path]
            };
            files.iter().try_for_each(|file| check_file(dir, file))?;
        }
    }
    Ok(())
}

fn check_file(dir: &Path, file: &Path) -> Result<(), OpenError> {
    let known = fs::metadata(file).map_err(|error| OpenError::from_io(dir, &error))?;
    if known.is_dir() {
        let reason = system::explain(&Errno::ISDIR.into());
        return Err(OpenError::System {
            dir: dir.into(),
            reason: format!("{}: {reason}", file.display()),
        });
    }
    Ok(())
}

/// The paths in a folder; none if there is no such folder yet.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
