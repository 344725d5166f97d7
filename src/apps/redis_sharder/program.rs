//! Finds the programs that a server needs, as a shell does, and tells a missing program from one that
//! cannot be run.
//!
//! It starts no program: a program's own error messages belong to the start of a server.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::SharderError;

/// Where a shell looks when PATH is not set.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The programs that start a server.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub(super) redis: PathBuf,
    pub(super) setpriv: PathBuf,
}

impl Programs {
    pub(super) fn find() -> Result<Self, SharderError> {
        // `Command` and every shell read PATH for this; it is no setting of this program.
        let path = env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
        Ok(Self {
            redis: find("redis-server", "redis-server", &path)?,
            setpriv: find("setpriv", "util-linux", &path)?,
        })
    }
}

fn find(program: &'static str, package: &'static str, path: &OsStr) -> Result<PathBuf, SharderError> {
    let mut hindered = None;
    for place in env::split_paths(path).map(|folder| folder.join(program)) {
        match hindrance(&place) {
            // A server is started in a folder of its own, where a relative path would lead elsewhere.
            Ok(None) => return Ok(std::path::absolute(&place).unwrap_or(place)),
            Ok(Some(reason)) => hindered = hindered.or(Some((place, reason))),
            Err(Absent) => {}
        }
    }
    Err(match hindered {
        Some((place, reason)) => SharderError::CannotRun {
            path: place.display().to_string(),
            reason,
        },
        None => SharderError::NotInstalled { program, package },
    })
}

/// There is no file, or none that this user may see.
struct Absent;

/// Why the file cannot be run; none if it can.
fn hindrance(place: &Path) -> Result<Option<&'static str>, Absent> {
    fs::symlink_metadata(place).map_err(|_| Absent)?;
    Ok(match fs::metadata(place) {
        Err(_) => Some("it is a link that leads to nothing"),
        Ok(there) if there.is_dir() => Some("it is a folder"),
        Ok(there) if !there.is_file() => Some("it is not a file"),
        Ok(_) if access(place, Access::EXEC_OK).is_err() => Some("it is not executable"),
        Ok(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_first_that_can_be_run_is_found_and_otherwise_the_first_hindrance_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name).join("prog");
        for name in ["empty", "folder", "plain", "link", "good"] {
            fs::create_dir(folder.path().join(name)).expect("is new");
        }
        fs::create_dir(place("folder")).expect("is new");
        fs::write(place("plain"), "").expect("is written");
        symlink("/no/such/file", place("link")).expect("is new");
        fs::write(place("good"), "").expect("is written");
        fs::set_permissions(place("good"), fs::Permissions::from_mode(0o755)).expect("is its owner");
        let found = |names: &[&str]| {
            let folders = names.iter().map(|name| folder.path().join(name));
            find(
                "prog",
                "package",
                &env::join_paths(folders).expect("has no colons"),
            )
        };
        let hindered = |name: &str, reason: &'static str| {
            let path = place(name).display().to_string();
            Err(SharderError::CannotRun { path, reason })
        };
        assert_eq!(
            found(&["empty", "folder", "plain", "link", "good"]),
            Ok(place("good"))
        );
        assert_eq!(found(&["folder", "plain"]), hindered("folder", "it is a folder"));
        assert_eq!(found(&["plain"]), hindered("plain", "it is not executable"));
        assert_eq!(
            found(&["link"]),
            hindered("link", "it is a link that leads to nothing")
        );
        let (program, package) = ("prog", "package");
        let missing = Err(SharderError::NotInstalled { program, package });
        assert_eq!(found(&["empty", "nowhere"]), missing);
    }
}
