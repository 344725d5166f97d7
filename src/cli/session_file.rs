//! The file that carries a shell session's causal payload from one command to the next.
//!
//! Several commands may share one at a time (`causeway put … & causeway put …`): each adds what it has
//! learnt to what the file says by then, under a lock, and replaces the file by rename, so that a
//! reader finds the old text or the new one and no dependency is lost.
#![expect(
    clippy::disallowed_types,
    reason = "the one file that the client commands keep"
)]

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::client::Session;

/// What the file says; a file that is not there yet says nothing.
pub(super) fn read(path: &Path) -> Result<Session, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(path, "cannot be read", &error)),
    };
    Session::from_payload(&text).map_err(|error| {
        Failure::Failed(format!(
            "session file {}: {error}; use another file",
            path.display()
        ))
    })
}

/// Lets the file depend on `now`, which a command that started from `before` has come to.
pub(super) fn add(path: &Path, before: &Session, now: &Session) -> Result<(), Failure> {
    let folder = folder(path);
    // The folder is locked and not the file: the file is another one after each rename.
    let lock = File::open(&folder).map_err(|error| failed(path, "has no folder", &error))?;
    lock.lock()
        .map_err(|error| failed(path, "cannot be locked", &error))?;
    let mut current = read(path)?;
    if current == *before {
        current = now.clone();
    } else {
        current.join(now);
    }
    let fresh = folder.join(format!(".{}.new", path.file_name().unwrap_or_default().display()));
    fs::write(&fresh, format!("{}\n", current.payload()))
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(|error| failed(path, "cannot be written", &error))
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn failed(path: &Path, what: &str, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("session file {} {what}: {error}", path.display()))
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
        let before = read(&path).expect("is not there yet");
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
    fn another_kind_of_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes.txt");
        fs::write(&path, "dear diary,\n").expect("is written");
        assert!(read(&path).is_err());
        assert!(add(&path, &Session::default(), &session("a")).is_err());
        assert_eq!(fs::read_to_string(&path).expect("is there"), "dear diary,\n");
    }
}
