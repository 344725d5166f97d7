//! The folder of a lab: keeps its layout and data, so that the next start continues with them.
//!
//! A marker file identifies the folder of a lab and stores the lab's layout. In a folder without a marker
//! nothing is ever deleted; in a folder with a marker only files that labs make. A running lab holds a
//! lock on the marker, so that two labs never share data.
#![expect(
    clippy::disallowed_types,
    reason = "the marker stays open and locked as long as the lab runs"
)]

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::super::arguments::Lab as Arguments;
use super::layout::Layout;
use crate::process::system;
use crate::terminal::Failure;

const MARKER: &str = "causeway-lab.json";

/// A lab's folder while the lab runs.
#[derive(Debug)]
pub(super) struct Folder {
    /// Absolute, so that a command that was shown works from anywhere.
    pub(super) path: PathBuf,
    /// The path as the user gave it.
    pub(super) shown: PathBuf,
    pub(super) layout: Layout,
    /// True if an earlier lab left it.
    pub(super) goes_on: bool,
    /// The lock lasts as long as the file is open.
    _marker: File,
}

impl Folder {
    /// Makes the folder or takes it over, and locks out other labs from then on.
    pub(super) fn open(arguments: &Arguments) -> Result<Self, Failure> {
        let shown = arguments.dir.clone();
        let path = std::path::absolute(&shown).map_err(|error| failed(&shown, "is not a folder", &error))?;
        let marker_path = path.join(MARKER);
        refuse_foreign(&path, &marker_path)?;
        fs::create_dir_all(&path).map_err(|error| failed(&path, "cannot be made", &error))?;
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut marker = options
            .open(&marker_path)
            .map_err(|error| failed(&marker_path, "cannot be opened", &error))?;
        if marker.try_lock().is_err() {
            let text = format!(
                "a lab is already running in {}; use --dir for another one",
                path.display()
            );
            return Err(Failure::Failed(text));
        }
        let mut text = String::new();
        marker
            .read_to_string(&mut text)
            .map_err(|error| failed(&marker_path, "cannot be read", &error))?;
        let known = Layout::from_text(&text).filter(|_| !arguments.fresh);
        let goes_on = known.is_some();
        let layout = match known {
            Some(layout) => layout.wanted(arguments)?,
            None => {
                wipe(&path)?;
                let layout = Layout::choose_free(arguments)?;
                write(&mut marker, &layout)
                    .map_err(|error| failed(&marker_path, "cannot be written", &error))?;
                layout
            }
        };
        Ok(Self {
            path,
            shown,
            layout,
            goes_on,
            _marker: marker,
        })
    }

    /// A path in this folder, for people.
    pub(super) fn shown(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.path).unwrap_or(path);
        self.shown.join(inside).display().to_string()
    }

    pub(super) fn log(&self, number: usize) -> PathBuf {
        self.path.join(format!("node-{number}.log"))
    }

    pub(super) fn data_dir(&self, number: usize) -> PathBuf {
        self.path.join(format!("node-{number}"))
    }
}

fn write(marker: &mut File, layout: &Layout) -> std::io::Result<()> {
    marker.set_len(0)?;
    marker.rewind()?;
    marker.write_all(layout.to_text().as_bytes())
}

/// Refuses a folder that is neither empty nor a lab's.
fn refuse_foreign(path: &Path, marker: &Path) -> Result<(), Failure> {
    let mut entries = fs::read_dir(path).into_iter().flatten();
    if marker.exists() || entries.next().is_none() {
        return Ok(());
    }
    let text = format!(
        "{} is not empty and holds no lab; use --dir for another folder",
        path.display()
    );
    Err(Failure::Usage(text))
}

/// Deletes what labs make, and nothing else.
fn wipe(path: &Path) -> Result<(), Failure> {
    let entries = fs::read_dir(path).map_err(|error| failed(path, "cannot be read", &error))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix("node-") else {
            continue;
        };
        let number = rest.strip_suffix(".log").unwrap_or(rest);
        if number.parse::<usize>().is_err() {
            continue;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let gone = if is_folder {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        gone.map_err(|error| failed(&entry.path(), "cannot be deleted", &error))?;
    }
    Ok(())
}

fn failed(path: &Path, what: &str, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{} {what}: {}", path.display(), system::explain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(dir: &Path) -> Arguments {
        Arguments {
            nodes: None,
            spare: None,
            k: None,
            dir: dir.to_owned(),
            base_port: None,
            memory: false,
            fresh: false,
            json: false,
        }
    }

    fn made() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn a_lab_continues_where_it_stopped_and_no_other_lab_shares_its_folder() {
        let dir = made();
        let mut asked = arguments(&dir.path().join("lab"));
        asked.nodes = Some(3);
        let first = Folder::open(&asked).expect("is made");
        assert!(!first.goes_on);
        let shared = Folder::open(&asked).expect_err("is taken").to_string();
        assert!(shared.contains("running"), "{shared}");
        let layout = first.layout.clone();
        drop(first);
        let second = Folder::open(&arguments(&asked.dir)).expect("goes on");
        assert_eq!((second.goes_on, second.layout.clone()), (true, layout));
        drop(second);
        asked.nodes = Some(4);
        assert!(matches!(Folder::open(&asked), Err(Failure::Usage(_))));
        (asked.nodes, asked.spare) = (None, Some(0));
        let other = Folder::open(&asked).expect_err("has a spare").to_string();
        assert!(other.contains("3 nodes and 1 spare"), "{other}");
    }

    #[test]
    fn fresh_wipes_what_labs_make_and_nothing_else() {
        let dir = made();
        let mut asked = arguments(dir.path());
        let first = Folder::open(&asked).expect("is made");
        fs::create_dir(first.data_dir(1)).expect("is made");
        fs::write(first.data_dir(1).join("log"), "x").expect("is written");
        fs::write(first.log(1), "x").expect("is written");
        fs::write(dir.path().join("notes.txt"), "x").expect("is written");
        fs::write(dir.path().join("node-x.log"), "x").expect("is written");
        drop(first);
        (asked.fresh, asked.k) = (true, Some(1));
        let second = Folder::open(&asked).expect("is made again");
        assert!(!second.goes_on && second.layout.replicas == 1);
        assert!(!second.data_dir(1).exists() && !second.log(1).exists());
        assert!(dir.path().join("notes.txt").exists() && dir.path().join("node-x.log").exists());
    }

    #[test]
    fn a_folder_of_someone_else_is_left_alone() {
        let dir = made();
        fs::write(dir.path().join("notes.txt"), "x").expect("is written");
        let mut asked = arguments(dir.path());
        asked.fresh = true;
        assert!(matches!(Folder::open(&asked), Err(Failure::Usage(_))));
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }
}
