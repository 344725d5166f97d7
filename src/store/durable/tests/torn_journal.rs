//! A power cut in the middle of the last batch: all earlier ones are there, the last one is whole or
//! absent. Damage before it is an error.

use super::*;

const BATCHES: u64 = 5;

/// A store of some batches, as a kill leaves it, and where each batch begins in the journal.
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
    // What was torn must not stand in the way of what comes next.
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
            // Zeros in the place of zeros are no damage.
            let expected = if bytes == journal.bytes {
                BATCHES
            } else {
                BATCHES - 1
            };
            bytes.resize(bytes.len() + 10_000, 0);
            let found = open_with(&journal, &bytes).expect("opens");
            // The number of a batch in its start is not under its checksum and decides nothing here.
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

/// An older journal was synced before the newer one began: what is torn in it was acknowledged.
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
        crate::store::durable::journal::mend(dir.path())
    };
    assert_eq!(mend(&[]).expect("is mended"), ends[ends.len() - 2] as u64);
    assert!(mend(&bytes[..ends[0]]).is_err());
}
