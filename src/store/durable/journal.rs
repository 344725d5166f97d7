//! Checks and mends the database's journal files before the database opens them.
//!
//! By itself the database does one of two things with a damaged journal. It refuses to open for good,
//! though a power cut tore only the last batch; or it silently cuts the file at the damage, though
//! acknowledged batches follow. This module cuts the torn end off the newest journal. Damage before a
//! later batch is an error, because each batch is synced before the next one is begun. A later batch is
//! recognized by the store's mark, see `mark`, and by a higher sequence number than all before it: a value
//! may hold a copy of the journal itself.
//!
//! ```text
//! batch    = start item* end
//! start    = 1 | items 4 | sequence number 8
//! item     = 2 | kind 1 | compression 1 | keyspace 8 | key length 2 | length 4 | stored length 4 | key | value
//!          | 4 | keyspace 8
//! end      = 3 | xxh3 of the items 8 | "FJL" 3
//! ```
//!
//! After the last batch a journal holds nothing or zeros, since it is created at its full length.
#![expect(clippy::disallowed_types, reason = "the store is the door to the disk")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::directory::sync_directory;
use super::mark::{Mark, START_BYTES};
use super::open_error::JournalError;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";

/// Cuts the torn end off the newest journal and returns how many bytes of batches all journals hold.
pub(super) fn mend(dir: &Path, mark: Option<Mark>) -> Result<u64, JournalError> {
    let journals = journals_in(dir)?;
    let mut total = 0;
    for (age, path) in journals.iter().rev().enumerate() {
        let bytes = fs::read(path)?;
        let whole = batches_len(&bytes);
        total += whole as u64;
        // Older journals were synced before the next one was begun: nothing in them can be torn.
        match end_behind(&bytes, whole, mark) {
            End::Whole => {}
            End::Torn if age == 0 => cut(path, whole as u64)?,
            End::Torn | End::Damaged => {
                return Err(JournalError::Damaged {
                    path: path.clone(),
                    at: whole,
                });
            }
        }
    }
    Ok(total)
}

/// What follows the whole batches of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// A batch whose writing was cut short; it was never acknowledged.
    Torn,
    /// A batch that was acknowledged: a later one was begun.
    Damaged,
}

/// Judges what follows the whole batches, which take the first `whole` bytes.
pub(super) fn end_behind(bytes: &[u8], whole: usize, mark: Option<Mark>) -> End {
    let (before, rest) = bytes.split_at(whole);
    if rest.iter().all(|byte| *byte == 0) {
        return End::Whole;
    }
    let last = last_number(before);
    let follows = |at: usize| at > 0 && number_at(&rest[at..]).is_some_and(|number| last < Some(number));
    let is_damaged = match mark {
        Some(mark) => mark.batches_in(rest).any(follows),
        // Without a mark only the shape tells, and a value may have any: skip what the torn batch claims.
        None => has_batch(&rest[claimed_len(rest)..]),
    };
    if is_damaged { End::Damaged } else { End::Torn }
}

/// The sequence number of the last of these batches, all of them whole.
fn last_number(mut batches: &[u8]) -> Option<u64> {
    let mut last = None;
    while let Some(len) = batch_len(batches) {
        last = number_at(batches);
        batches = &batches[len..];
    }
    last
}

/// The sequence number of the batch that begins here, whole or not.
fn number_at(bytes: &[u8]) -> Option<u64> {
    let start = bytes.get(..START_BYTES).filter(|start| start[0] == START)?;
    let number = start[5..].try_into().expect("eight bytes");
    Some(u64::from_le_bytes(number))
}

/// How many bytes a torn batch claims by its own lengths: the bytes in its keys and values are data.
fn claimed_len(bytes: &[u8]) -> usize {
    let Some(items) = bytes.get(1..5).filter(|_| number_at(bytes).is_some()) else {
        return 0;
    };
    let items = u32::from_le_bytes(items.try_into().expect("four bytes"));
    let mut rest = &bytes[START_BYTES..];
    for _ in 0..items {
        match rest.first() {
            Some(&(ITEM | CLEAR)) if skip_item(&mut rest).is_none() => return bytes.len(),
            Some(&(ITEM | CLEAR)) => {}
            _ => break,
        }
    }
    bytes.len() - rest.len()
}

/// Empties the journals of a closed database that has everything in tables. `newest` stays as an empty
/// file: without a journal the database forgets its last sequence number.
pub(super) fn empty(dir: &Path, newest: &Path) -> io::Result<()> {
    for path in journals_in(dir)? {
        if path != newest {
            fs::remove_file(path)?;
        }
    }
    cut(newest, 0)?;
    sync_directory(dir)
}

/// Waits until no thread of a closed database holds a journal or the lock. Its background thread releases
/// them shortly after closing returns, and writes the rest of a buffer then.
pub(super) fn wait_until_closed(dir: &Path) -> io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(1);
    const PAUSES_MAX: usize = 2_000;
    for _ in 0..PAUSES_MAX {
        if !is_held(dir)? {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    Err(io::Error::other("the database does not let go of its journal"))
}

// Systems without /proc get only a fixed pause.
fn is_held(dir: &Path) -> io::Result<bool> {
    let dir = fs::canonicalize(dir)?;
    let open_files = match fs::read_dir("/proc/self/fd") {
        Ok(open_files) => open_files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            thread::sleep(Duration::from_millis(10));
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let targets = open_files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    Ok(targets.into_iter().any(|path| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let name = Path::new(name.strip_suffix(" (deleted)").unwrap_or(name));
        path.parent() == Some(&dir) && (is_journal(name) || name == Path::new("lock"))
    }))
}

fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jnl")
}

/// The number of the newest journal, if there is one.
pub(super) fn newest_number_in(dir: &Path) -> io::Result<Option<u64>> {
    let newest = journals_in(dir)?.pop();
    Ok(newest.and_then(|path| path.file_stem()?.to_str()?.parse().ok()))
}

pub(super) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number}.jnl"))
}

/// True if no journal holds anything, whole or torn.
pub(super) fn are_blank(dir: &Path) -> io::Result<bool> {
    for path in journals_in(dir)? {
        if fs::read(path)?.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Oldest first.
fn journals_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let (true, Some(number)) = (is_journal(&path), number) {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

fn cut(path: &Path, len: u64) -> io::Result<()> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.set_len(len)?;
    file.sync_all()
}

/// How many bytes the whole batches at the beginning take.
pub(super) fn batches_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(len) = batch_len(&bytes[at..]) {
        at += len;
    }
    at
}

/// True if something with the shape of a whole batch begins anywhere.
fn has_batch(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| bytes[at] == START && batch_len(&bytes[at..]).is_some())
}

/// The length of the batch that begins here, if it is whole.
fn batch_len(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let items = match take(&mut rest, 1)? {
        [START] => u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?),
        _ => return None,
    };
    take(&mut rest, 8)?;
    let body = rest;
    for _ in 0..items {
        skip_item(&mut rest)?;
    }
    let body = &body[..body.len() - rest.len()];
    let end = (take(&mut rest, 1)?, take(&mut rest, 8)?, take(&mut rest, 4)?);
    let whole = end == (&[END][..], &xxh3_64(body).to_le_bytes()[..], TRAILER);
    whole.then(|| bytes.len() - rest.len())
}

fn skip_item(rest: &mut &[u8]) -> Option<()> {
    match take(rest, 1)? {
        [ITEM] => {
            let head = take(rest, 20)?;
            let key_len = u16::from_le_bytes(head[10..12].try_into().ok()?);
            let value_len = u32::from_le_bytes(head[16..20].try_into().ok()?);
            take(rest, usize::from(key_len))?;
            take(rest, usize::try_from(value_len).ok()?)?;
        }
        [CLEAR] => {
            take(rest, 8)?;
        }
        _ => return None,
    }
    Some(())
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    /// Another release of the library may write another journal format, and this module would not notice.
    #[test]
    fn the_library_whose_journal_is_read_is_pinned() {
        let manifest = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        assert!(
            manifest
                .lines()
                .any(|line| line.starts_with("fjall = { version = \"="))
        );
    }

    fn items() -> BoxedStrategy<Vec<Vec<u8>>> {
        let written = (any::<[u8; 10]>(), "[a-z]{0,9}", any::<Vec<u8>>(), 0u32..9);
        let written = written.prop_map(|(head, key, value, stored_more)| {
            let lengths = [
                &u16::try_from(key.len()).expect("is short").to_le_bytes()[..],
                &(u32::try_from(value.len()).expect("is short") + stored_more).to_le_bytes(),
                &u32::try_from(value.len()).expect("is short").to_le_bytes(),
            ];
            [&[ITEM], &head[..], &lengths.concat(), key.as_bytes(), &value].concat()
        });
        let cleared = any::<[u8; 8]>().prop_map(|keyspace| [&[CLEAR], &keyspace[..]].concat());
        proptest::collection::vec(prop_oneof![4 => written, 1 => cleared], 0..4).boxed()
    }

    fn batches() -> BoxedStrategy<Vec<u8>> {
        let batch = (any::<u64>(), items()).prop_map(|(sequence, items)| {
            let count = u32::try_from(items.len()).expect("are few").to_le_bytes();
            let body = items.concat();
            let end = [&[END], &xxh3_64(&body).to_le_bytes()[..], TRAILER].concat();
            [&[START], &count[..], &sequence.to_le_bytes(), &body, &end].concat()
        });
        proptest::collection::vec(batch, 0..4)
            .prop_map(|batches| batches.concat())
            .boxed()
    }

    /// The result of `mend` for a newest journal with these bytes, and the bytes that it leaves.
    fn mended(bytes: &[u8]) -> (Result<u64, JournalError>, Vec<u8>) {
        let dir = TempDir::new().expect("a directory");
        let path = dir.path().join("0.jnl");
        fs::write(&path, bytes).expect("is written");
        let said = mend(dir.path(), None);
        (said, fs::read(&path).expect("is there"))
    }

    proptest! {
        #[test]
        fn any_bytes_behind_whole_batches_are_cut_off_or_named(
            batches in batches(),
            torn in any::<Vec<u8>>(),
            zeros in 0usize..50,
        ) {
            let bytes = [&batches[..], &torn, &vec![0; zeros]].concat();
            let (said, left) = mended(&bytes);
            match said {
                Ok(whole) => {
                    prop_assert!(whole as usize >= batches.len());
                    prop_assert!(left.starts_with(&batches) && bytes.starts_with(&left));
                    prop_assert!(left[whole as usize..].iter().all(|byte| *byte == 0));
                }
                Err(error) => {
                    let is_named = matches!(error, JournalError::Damaged { at, .. } if at >= batches.len());
                    prop_assert!(is_named, "{}", error);
                    prop_assert_eq!(left, bytes);
                }
            }
        }

        #[test]
        fn a_changed_byte_never_costs_a_batch_before_it(
            batches in batches(),
            at in any::<prop::sample::Index>(),
            with in 1u8..,
        ) {
            prop_assume!(!batches.is_empty());
            let at = at.index(batches.len());
            let mut bytes = batches.clone();
            bytes[at] ^= with;
            let before = (0..=at).rev().find(|end| batches_len(&batches[..*end]) == *end).unwrap_or_default();
            let (_, left) = mended(&bytes);
            prop_assert!(left.starts_with(&batches[..before]));
        }
    }

    #[test]
    fn a_length_that_is_a_lie_is_no_batch() {
        for lie in [0xff, 0x7f] {
            let item = [&[ITEM], &[0; 10][..], &[lie; 10], b"key and value"].concat();
            let bytes = [&[START], &[lie; 4][..], &[0; 8], &item].concat();
            assert_eq!(batches_len(&bytes), 0);
        }
    }
}
