//! A power cut in the middle of the last batch: all earlier ones are there, the last one is whole or
//! absent. Damage before it is an error.

use super::*;
use crate::store::durable::journal::{End, batches_len, end_behind};

const BATCHES: u64 = 5;

/// A store of some batches, as a kill leaves it, and where each batch ends in the journal.
struct Journal {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    template: TempDir,
}

fn batch(number: u64) -> Batch {
    let mut batch = numbered(number);
    batch
        .forgotten
        .push(crate::names::Key::new("never there").expect("is a key"));
    batch.records.push(record("long", Some(&[b'v'; 300]), number));
    batch
}

fn journal() -> Journal {
    let template = TempDir::new().expect("a directory");
    let engine = DurableEngine::open(template.path()).expect("opens");
    let mut ends = Vec::new();
    for number in 1..=BATCHES {
        commit(&engine, &batch(number)).expect("is stored");
        let bytes = fs::read(template.path().join("0.jnl")).expect("is there");
        ends.push(bytes.iter().rposition(|byte| *byte != 0).expect("not empty") + 1);
    }
    drop(engine);
    let mut bytes = fs::read(template.path().join("0.jnl")).expect("is there");
    bytes.truncate(ends[ends.len() - 1]);
    Journal {
        bytes,
        ends,
        template,
    }
}

/// Opens a copy of the store with another journal in it.
fn open_with(journal: &Journal, bytes: &[u8]) -> Result<Recovered, OpenError> {
    let dir = TempDir::new().expect("a directory");
    let copied = std::process::Command::new("cp")
        .args(["-r", "--sparse=always"])
        .arg(journal.template.path().join("."))
        .arg(dir.path())
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "copied");
    fs::write(dir.path().join("0.jnl"), bytes).expect("is written");
    let engine = DurableEngine::open(dir.path())?;
    let recovered = engine.recover().expect("can be read");
    // A torn batch must not affect the next one.
    commit(&engine, &batch(BATCHES + 1)).expect("is stored");
    drop(engine);
    let expected = apply(clone(&recovered), &batch(BATCHES + 1));
    assert_same("after going on", stored_in(dir.path()), &expected);
    Ok(recovered)
}

fn clone(recovered: &Recovered) -> Recovered {
    Recovered {
        records: recovered.records.clone(),
        notes: recovered.notes.clone(),
    }
}

fn after(batches: u64) -> Recovered {
    (1..=batches)
        .map(batch)
        .fold(Recovered::default(), |stored, batch| apply(stored, &batch))
}

#[test]
fn a_journal_cut_anywhere_in_its_last_batch_holds_all_earlier_ones() {
    let journal = journal();
    let last = journal.ends[journal.ends.len() - 2];
    for at in (last..journal.bytes.len())
        .step_by(7)
        .chain([last, journal.bytes.len() - 1])
    {
        let found = open_with(&journal, &journal.bytes[..at]).expect("opens");
        assert_same(&format!("cut at {at}"), found, &after(BATCHES - 1));
    }
    let found = open_with(&journal, &journal.bytes).expect("opens");
    assert_same("whole", found, &after(BATCHES));
}

#[test]
fn a_last_batch_that_is_damaged_anywhere_is_absent() {
    let journal = journal();
    let last = journal.ends[journal.ends.len() - 2];
    for at in (last..journal.bytes.len()).step_by(11) {
        for zeros in [1, 40, 4096] {
            let mut bytes = journal.bytes.clone();
            let end = (at + zeros).min(bytes.len());
            bytes[at..end].fill(0);
            // Zeros over zeros are no damage.
            let expected = if bytes == journal.bytes {
                BATCHES
            } else {
                BATCHES - 1
            };
            bytes.resize(bytes.len() + 10_000, 0);
            let found = open_with(&journal, &bytes).expect("opens");
            // The sequence number of a batch is not covered by its checksum and decides nothing here.
            let is_number = (last + 5..last + 13).contains(&at) && end <= last + 13;
            let expected = if is_number { BATCHES } else { expected };
            assert_same(&format!("{zeros} zeros at {at}"), found, &after(expected));
        }
    }
}

#[test]
fn damage_before_a_stored_batch_is_an_error_and_never_a_silent_loss() {
    let journal = journal();
    let (begin, end) = (journal.ends[1], journal.ends[2]);
    for at in [begin, begin + 20, begin + 60, end - 5, end - 1] {
        let mut bytes = journal.bytes.clone();
        bytes[at] ^= 0xff;
        let error = open_with(&journal, &bytes).expect_err("is damaged");
        assert!(matches!(error, OpenError::Corrupt { .. }), "{at}: {error}");
    }
    let mut bytes = journal.bytes.clone();
    bytes[begin..end].fill(0);
    assert!(open_with(&journal, &bytes).is_err(), "a hole");
}

/// An older journal was synced before the newer one began: a torn batch in it was acknowledged.
#[test]
fn a_torn_end_is_cut_off_the_newest_journal_only() {
    let Journal { bytes, ends, .. } = journal();
    let dir = TempDir::new().expect("a directory");
    let mend = |newer: &[u8]| {
        let torn = &bytes[..bytes.len() - 1];
        fs::write(dir.path().join("0.jnl"), torn).expect("is written");
        if !newer.is_empty() {
            fs::write(dir.path().join("1.jnl"), newer).expect("is written");
        }
        crate::store::durable::journal::mend(dir.path(), None)
    };
    assert_eq!(mend(&[]).expect("is mended"), ends[ends.len() - 2] as u64);
    assert!(mend(&bytes[..ends[0]]).is_err());
}

/// Values that could be mistaken for a batch: a whole one without items, the store's own next batches
/// except for the mark, starts without an end, ends without a start.
fn values_that_look_like_batches(journal: &Journal) -> Vec<Vec<u8>> {
    let empty = [
        &[1][..],
        &[0; 4],
        &[9; 8],
        &[3],
        &xxhash_rust::xxh3::xxh3_64(&[]).to_le_bytes(),
        b"FJL\x03",
    ];
    let mut own = journal.bytes.clone();
    let mark = mark_of(journal).bytes();
    let marks: Vec<usize> = (0..own.len())
        .filter(|at| own[*at..].starts_with(&mark))
        .collect();
    for at in marks {
        own[at..at + mark.len()].fill(b'm');
    }
    let start = [
        &[1][..],
        &[0xff; 4],
        &[0; 8],
        &[2, 0, 0],
        &[0; 8],
        b"\x05\0\x10\0\0\0\x10\0\0\0!mark",
    ]
    .concat();
    vec![
        empty.concat(),
        own,
        // A copy of the journal itself, the mark included: older than what follows a torn batch.
        journal.bytes.clone(),
        start.repeat(50),
        b"FJL\x03!mark!commit".repeat(50),
    ]
}

fn mark_of(journal: &Journal) -> mark::Mark {
    let text = fs::read_to_string(journal.template.path().join("in-use")).expect("is there");
    mark::Mark::from_text(&text).expect("a new store has one")
}

/// Tears the last batch of `bytes`, from `last` on, at every byte in every way, and mends each result.
fn tear_everywhere(bytes: &[u8], last: usize, mut mended: impl FnMut(&[u8], usize)) {
    for at in last..bytes.len() {
        mended(&bytes[..at], at);
        let mut torn = bytes.to_vec();
        torn[at..].fill(0);
        mended(&torn, at);
        // A page that did not reach the disk, though later ones did.
        let mut torn = bytes.to_vec();
        torn[at..(at + 64).min(bytes.len())].fill(0);
        mended(&torn, at);
    }
}

#[test]
fn a_value_that_looks_like_batches_is_data_wherever_the_batch_around_it_is_torn() {
    let journal = journal();
    for value in values_that_look_like_batches(&journal) {
        let template = &journal.template;
        fs::write(template.path().join("0.jnl"), &journal.bytes).expect("is written");
        let engine = DurableEngine::open(template.path()).expect("opens");
        let mut batch = batch(BATCHES + 1);
        batch.records.push(record("forged", Some(&value), BATCHES + 1));
        commit(&engine, &batch).expect("is stored");
        drop(engine);
        let mut bytes = fs::read(template.path().join("0.jnl")).expect("is there");
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).expect("not empty") + 1);
        let last = journal.bytes.len();
        let mark = Some(mark_of(&journal));
        tear_everywhere(&bytes, last, |torn, at| {
            let whole = batches_len(torn);
            assert!(whole == last || whole == bytes.len(), "torn at {at}: {whole}");
            assert_ne!(end_behind(torn, whole, mark), End::Damaged, "torn at {at}");
        });
        // Without a mark, the content of a value is within what the torn batch claims.
        for at in last + 1..bytes.len() {
            assert_eq!(end_behind(&bytes[..at], last, None), End::Torn, "cut at {at}");
        }
        // Once with a whole store.
        let torn = &bytes[..bytes.len() - 1];
        assert_same("torn", open_with(&journal, torn).expect("opens"), &after(BATCHES));
    }
}

/// The time must be linear: a quadratic search would take half an hour.
#[test]
fn a_large_torn_batch_is_looked_through_once() {
    let journal = journal();
    let values = values_that_look_like_batches(&journal);
    let dir = TempDir::new().expect("a directory");
    let torn = values[3].repeat(32 * 1024 * 1024 / values[3].len());
    fs::write(dir.path().join("0.jnl"), [&journal.bytes[..], &torn].concat()).expect("is written");
    let whole = crate::store::durable::journal::mend(dir.path(), Some(mark_of(&journal)));
    assert_eq!(whole.expect("is mended"), journal.bytes.len() as u64);
}

/// A wrong length claims what follows, but what follows was acknowledged all the same.
#[test]
fn no_changed_byte_of_a_batch_hides_the_one_behind_it() {
    let journal = journal();
    let (begin, end) = (
        journal.ends[BATCHES as usize - 3],
        journal.ends[BATCHES as usize - 2],
    );
    for at in begin..end {
        for with in [1, 0x80, 0xff] {
            let mut bytes = journal.bytes.clone();
            bytes[at] ^= with;
            let end = end_behind(&bytes, batches_len(&bytes), Some(mark_of(&journal)));
            // The sequence number in the start is not covered by the checksum.
            let is_number = (begin + 5..begin + 13).contains(&at);
            let expected = if is_number { End::Whole } else { End::Damaged };
            assert_eq!(end, expected, "{with:#x} at {}", at - begin);
        }
    }
}

#[test]
fn a_store_of_an_earlier_version_gets_its_mark_and_loses_nothing() {
    let journal = journal();
    let dir = journal.template.path();
    // As an earlier version left it: no mark in the lock file; the batches in the journal have one or none.
    fs::write(dir.join("in-use"), "complete\n").expect("is written");
    fs::write(dir.join("0.jnl"), &journal.bytes).expect("is written");
    assert_same("with a new mark", stored_in(dir), &after(BATCHES));
    let first = mark_of(&journal);
    assert_same("opened again", stored_in(dir), &after(BATCHES));
    assert_eq!(mark_of(&journal), first);
}
