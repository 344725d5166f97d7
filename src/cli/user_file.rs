//! Reads and writes the files that a user names: one function, [`read`], and one, [`create`], for all of them.
//!
//! A device may never end, so a file is read up to a bound only. A regular file is replaced as a whole, by renaming a new file in the same folder, so that a reader
//! finds the old text or the new one. Everything else is written as `open(O_WRONLY)` does it: links are
//! followed, and devices and pipes are written into and stay what they are. A file keeps its mode, its
//! owner and its other names; if that forbids replacing it, it is written in place.
#![expect(
    clippy::disallowed_types,
    reason = "files that the person at the terminal named"
)]

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The mode of a new file, less what the umask takes.
const MODE: u32 = 0o666;

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

/// A file in the making; it is complete once [`UserFile::finish`] succeeds.
#[derive(Debug)]
pub(super) struct UserFile {
    target: PathBuf,
    to: To,
}

#[derive(Debug)]
enum To {
    /// The file that takes the target's place.
    Replacement(NamedTempFile),
    /// The target itself; a regular file is truncated after the new text.
    Itself { file: File, is_regular: bool },
}

/// Reads a file. Fails if it has more than `bytes_max`.
pub(super) fn read(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let beyond = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(beyond).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(io::Error::other(format!(
            "it has more than {bytes_max} bytes, the most that is read"
        )));
    }
    Ok(bytes)
}

/// Begins to write a file.
pub(super) fn create(path: &Path) -> io::Result<UserFile> {
    let target = followed(path)?;
    let known = match fs::metadata(&target) {
        Ok(known) => Some(known),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let to = match &known {
        Some(known) if known.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Some(known) if !known.is_file() => itself(&target, false)?,
        // A rename would separate it from its other names.
        Some(known) if known.nlink() > 1 => itself(&target, true)?,
        known => match replacement(&target, known.as_ref()) {
            Ok(to) => to,
            Err(error) if may_be_written_in_place(&error) => itself(&target, true)?,
            Err(error) => return Err(error),
        },
    };
    Ok(UserFile { target, to })
}

/// Writes a file whole.
pub(super) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(text)?;
    file.finish()
}

/// Reports what keeps a file from being written, before there is anything to write. Changes nothing.
pub(super) fn check(path: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    let target = followed(path)?;
    match fs::metadata(&target) {
        Ok(known) if known.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(access(&target, Access::WRITE_OK)?),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = folder(&target);
            access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| match io::Error::from(error) {
                missing if missing.kind() == ErrorKind::NotFound => {
                    let text = format!("there is no folder {}; make it first", folder.display());
                    io::Error::new(ErrorKind::NotFound, text)
                }
                error => error,
            })
        }
        Err(error) => Err(error),
    }
}

/// The folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Where the links of a path lead, even if nothing is there yet.
pub(super) fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::symlink_metadata(&path) {
            // The kernel's links (/dev/stdout, /proc/…/fd/1) may lead to files without a path.
            Ok(known) if known.is_symlink() && !is_kernels(&path) => {
                let next = fs::read_link(&path)?;
                path = folder(&path).join(next);
            }
            _ => return Ok(path),
        }
    }
    Err(io::Error::other("its links lead in a circle"))
}

fn is_kernels(path: &Path) -> bool {
    fs::canonicalize(folder(path)).is_ok_and(|folder| folder.starts_with("/proc"))
}

fn itself(target: &Path, is_regular: bool) -> io::Result<To> {
    let file = OpenOptions::new().write(true).open(target)?;
    Ok(To::Itself { file, is_regular })
}

fn replacement(target: &Path, known: Option<&Metadata>) -> io::Result<To> {
    if known.is_some() {
        // A file that may not be written must not be replaced either.
        drop(OpenOptions::new().write(true).open(target)?);
    }
    let file = tempfile::Builder::new()
        .prefix(".")
        .suffix(".new")
        .permissions(fs::Permissions::from_mode(MODE))
        .tempfile_in(folder(target))?;
    if let Some(known) = known {
        let own = file.as_file().metadata()?;
        if (own.uid(), own.gid()) != (known.uid(), known.gid()) {
            fchown(file.as_file(), Some(known.uid()), Some(known.gid()))?;
        }
        // After the owner: a change of it takes bits away.
        file.as_file().set_permissions(known.permissions())?;
    }
    Ok(To::Replacement(file))
}

/// True for errors about how the file is placed, which say nothing about the room for it.
fn may_be_written_in_place(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::ResourceBusy
            | ErrorKind::CrossesDevices
    )
}

impl UserFile {
    /// Makes the written text the content of the file.
    pub(super) fn finish(self) -> io::Result<()> {
        match self.to {
            To::Itself {
                mut file,
                is_regular: true,
            } => {
                let end = file.stream_position()?;
                file.set_len(end)
            }
            To::Itself { mut file, .. } => file.flush(),
            To::Replacement(fresh) => match fresh.persist(&self.target) {
                Ok(_) => Ok(()),
                // A file that is mounted by itself, as in a container.
                Err(failed) if may_be_written_in_place(&failed.error) => {
                    let text = fs::read(failed.file.path())?;
                    let To::Itself { mut file, .. } = itself(&self.target, true)? else {
                        return Err(failed.error);
                    };
                    file.write_all(&text)?;
                    file.set_len(text.len() as u64)
                }
                Err(failed) => Err(failed.error),
            },
        }
    }
}

impl Write for UserFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Replacement(file) => file.write(bytes),
            To::Itself { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Replacement(file) => file.flush(),
            To::Itself { file, .. } => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn made() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).expect("is there")
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).expect("a folder").count()
    }

    #[test]
    fn a_file_is_read_up_to_a_bound() {
        let dir = made();
        let path = dir.path().join("f");
        write(&path, b"four").expect("is new");
        assert_eq!(super::read(&path, 4).expect("is short enough"), b"four");
        for (path, bytes_max) in [(&*path, 3), (Path::new("/dev/zero"), 1000)] {
            let error = super::read(path, bytes_max).expect_err("is longer").to_string();
            assert!(error.contains(&format!("more than {bytes_max} bytes")), "{error}");
        }
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_mode() {
        let dir = made();
        let path = dir.path().join("f");
        write(&path, b"old and long").expect("is new");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("is ours");
        let before = fs::metadata(&path).expect("is there").ino();
        let mut file = create(&path).expect("is there");
        file.write_all(b"new").expect("is written");
        assert_eq!(
            read(&path),
            "old and long",
            "a reader finds the old text until the end"
        );
        file.finish().expect("is renamed");
        let known = fs::metadata(&path).expect("is there");
        assert_eq!((read(&path).as_str(), known.mode() & 0o7777), ("new", 0o640));
        assert_ne!(known.ino(), before);
        assert_eq!(entries(dir.path()), 1, "nothing else is left");
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let dir = made();
        let mut file = create(&dir.path().join("f")).expect("is begun");
        file.write_all(b"half").expect("is written");
        drop(file);
        assert_eq!(entries(dir.path()), 0);
    }

    #[test]
    fn links_are_followed_and_stay() {
        let dir = made();
        let (there, link, far) = (
            dir.path().join("there"),
            dir.path().join("link"),
            dir.path().join("far"),
        );
        fs::create_dir(&there).expect("a folder");
        symlink("there/file", &link).expect("a link");
        symlink("link", &far).expect("a link to a link");
        // Nothing is there at first: the link says where it will be.
        for text in ["one", "two"] {
            write(&far, text.as_bytes()).expect("is written");
            assert_eq!(read(&there.join("file")), text);
        }
        assert!(fs::symlink_metadata(&link).expect("is there").is_symlink());
        assert_eq!(entries(&there), 1);
        symlink("round", dir.path().join("round")).expect("a link to itself");
        assert!(write(&dir.path().join("round"), b"x").is_err());
    }

    #[test]
    fn other_names_of_a_file_stay_its_names() {
        let dir = made();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        fs::write(&one, "a longer text").expect("is written");
        fs::hard_link(&one, &other).expect("a second name");
        write(&one, b"short").expect("is written");
        assert_eq!((read(&one), read(&other)), ("short".into(), "short".into()));
    }

    #[test]
    fn devices_and_pipes_are_written_into() {
        use std::io::Read as _;
        write(Path::new("/dev/null"), b"x").expect("takes everything");
        assert!(!fs::metadata("/dev/null").expect("is there").is_file());
        assert!(write(Path::new("/dev/full"), b"x").is_err());
        let dir = made();
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600))
            .expect("is made");
        // Opened for both, so that neither side waits for the other.
        let mut reader = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&fifo)
            .expect("is opened");
        write(&fifo, b"text").expect("is written");
        let mut text = [0; 4];
        reader.read_exact(&mut text).expect("is read");
        assert_eq!((&text, entries(dir.path())), (b"text", 1));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_reported_before_the_work() {
        let dir = made();
        check(&dir.path().join("new")).expect("may be made");
        check(Path::new("/dev/null")).expect("may be written");
        for path in [
            dir.path().to_owned(),
            dir.path().join("no/folder"),
            "/dev/null/x".into(),
        ] {
            assert!(
                check(&path).is_err() && create(&path).is_err(),
                "{}",
                path.display()
            );
        }
    }
}
