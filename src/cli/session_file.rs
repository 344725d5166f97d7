//! The file that carries a shell session's causal payload from one command to the next.
//!
//! Several commands may share one at a time (`causeway put … & causeway put …`): under a lock, each adds
//! its new dependencies to the current content of the file, so that no dependency is lost. `user_file` reads
//! and writes it.
#![expect(
    clippy::disallowed_types,
    reason = "the one file that the client commands keep"
)]

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use super::user_file;
use crate::client::{PAYLOAD_CHARS_MAX, Session};
use crate::process::system;
use crate::terminal::Failure;
use crate::text;

/// The session in the file; a missing file is an empty session. Fails if the file could not be written
/// later, before anything has been done.
pub(super) fn open(path: &Path) -> Result<Session, Failure> {
    let session = read(path).map_err(|problem| failed(path, &problem))?;
    let writable = user_file::check(path);
    writable.map_err(|error| failed(path, &format!("cannot be written: {}", system::explain(&error))))?;
    Ok(session)
}

/// Adds to the file the session `now`, which a command that started from `before` has reached.
pub(super) fn add(path: &Path, before: &Session, now: &Session) -> Result<(), Failure> {
    let lock = lock(path)
        .map_err(|error| failed(path, &format!("cannot be locked: {}", system::explain(&error))))?;
    let mut current = read(path).map_err(|problem| failed(path, &problem))?;
    if current == *before {
        current = now.clone();
    } else {
        current.join(now);
    }
    let written = user_file::write(path, format!("{}\n", current.payload()).as_bytes());
    drop(lock);
    written.map_err(|error| failed(path, &format!("cannot be written: {}", system::explain(&error))))
}

/// Locks the folder and not the file, because each rename makes it another file. Devices and pipes are
/// not shared.
fn lock(path: &Path) -> io::Result<Option<File>> {
    if is_special(path) {
        return Ok(None);
    }
    let target = user_file::followed(path)?;
    let folder = File::open(user_file::folder(&target))?;
    folder.lock()?;
    Ok(Some(folder))
}

/// A device or a pipe.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|known| !known.is_file() && !known.is_dir())
}

fn read(path: &Path) -> Result<Session, String> {
    let bytes = match read_some(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("cannot be read: {}", system::explain(&error))),
    };
    let text = text::decode(&bytes).map_err(|error| format!("cannot be read: {error}"))?;
    Session::from_payload(&text).map_err(|error| format!("holds no session: {error}; use another file"))
}

/// Reads no more than a session can have.
fn read_some(path: &Path) -> io::Result<Vec<u8>> {
    let is_pipe = fs::metadata(path).is_ok_and(|known| known.file_type().is_fifo());
    if is_pipe {
        // Opening it would wait for a writer.
        return Err(io::Error::other("it is a pipe; use a file"));
    }
    user_file::read(path, 2 * PAYLOAD_CHARS_MAX + 16)
}

fn failed(path: &Path, problem: &str) -> Failure {
    Failure::Failed(format!("session file {} {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(text: &str) -> Session {
        Session::from_payload(text).expect("is a payload")
    }

    #[test]
    fn a_session_is_carried_from_command_to_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let before = open(&path).expect("is not there yet");
        assert!(before.is_fresh());
        add(&path, &before, &session("a")).expect("is written");
        add(&path, &session("a"), &session("b")).expect("is written");
        assert_eq!(read(&path).expect("is there").payload(), "b");
        let left = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1, "only the session file stays");
    }

    #[test]
    fn what_others_wrote_meanwhile_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        add(&path, &Session::default(), &session("a")).expect("is written");
        add(&path, &Session::default(), &session("b")).expect("is written");
        assert_eq!(read(&path).expect("is there").payload(), "a,b");
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "commands that run at the same time are what is tested"
    )]
    fn commands_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let names: Vec<String> = (0..16).map(|number| format!("w{number}")).collect();
        let threads = names.iter().cloned().map(|name| {
            let path = path.clone();
            std::thread::spawn(move || add(&path, &Session::default(), &session(&name)))
        });
        for thread in threads.collect::<Vec<_>>() {
            thread.join().expect("no panic").expect("is written");
        }
        let text = read(&path).expect("is whole");
        let mut found: Vec<&str> = text.payload().split(',').collect();
        found.sort_unstable();
        let mut expected: Vec<&str> = names.iter().map(String::as_str).collect();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_editors_leave_in_the_file_does_no_harm() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let wide: Vec<u8> = "\u{feff}a,b\r\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for bytes in ["\u{feff}a,b\r\n".as_bytes(), b"a,b", b"a,b\r\n", &wide] {
            fs::write(&path, bytes).expect("is written");
            assert_eq!(open(&path).expect("is read").payload(), "a,b", "{bytes:?}");
        }
    }

    #[test]
    fn devices_are_read_and_written_as_what_they_are() {
        let null = Path::new("/dev/null");
        assert!(open(null).expect("is empty").is_fresh());
        add(null, &Session::default(), &session("a")).expect("takes everything");
        assert!(is_special(null));
        assert!(
            open(Path::new("/dev/zero")).is_err(),
            "it never ends, and is none"
        );
    }

    #[test]
    fn what_cannot_be_written_is_said_before_anything_is_done() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [folder.path().to_owned(), folder.path().join("no/folder")] {
            let said = open(&path).expect_err("cannot be written").to_string();
            assert!(
                said.contains("session file") && said.contains("cannot be"),
                "{said}"
            );
        }
    }

    #[test]
    fn another_kind_of_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes.txt");
        fs::write(&path, "dear diary,\n").expect("is written");
        assert!(read(&path).is_err());
        assert!(add(&path, &Session::default(), &session("a")).is_err());
        assert_eq!(fs::read_to_string(&path).expect("is there"), "dear diary,\n");
    }
}
