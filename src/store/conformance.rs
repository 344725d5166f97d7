//! One test suite for every engine: checks the contract in `store`.
//!
//! It is in the library and not behind `cfg(test)`, so that it can check the simulator's disk, which is in
//! another crate. A feature for it would make the gate build everything twice. No program calls it, so
//! none contains it.

use super::{Batch, Engine, Recovered};
use crate::names::{Dot, Epoch, Key, Log, MemberId};
use crate::protocol::causality::{Record, Timestamp, VersionVector};

/// What an engine keeps when it is dropped and opened again in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reopened {
    /// Everything that was committed.
    KeepsAll,
    /// Nothing: every start is a new incarnation. Only two parts of the contract can be checked then:
    /// commits are answered, and nothing comes back.
    KeepsNothing,
}

/// An engine's own place. Each call opens the engine there again, after the previous one was dropped.
pub type Place = Box<dyn Fn() -> Box<dyn Engine>>;

/// Runs every check, each in a fresh place. Panics with what was broken.
pub async fn check(fresh_place: impl Fn() -> Place, reopened: Reopened) {
    for (name, batches) in cases() {
        let place = fresh_place();
        let engine = place();
        assert_eq!(engine.is_durable(), reopened == Reopened::KeepsAll, "is_durable");
        assert!(
            is_empty(&recover(&*engine)),
            "{name}: a fresh place holds nothing"
        );
        for batch in &batches {
            engine.commit(batch).await.expect("a commit is stored");
        }
        drop(engine);
        let expected = match reopened {
            Reopened::KeepsAll => batches.iter().fold(Recovered::default(), apply),
            Reopened::KeepsNothing => Recovered::default(),
        };
        // Twice: opening must not change what is stored.
        for _ in 0..2 {
            assert_same(name, recover(&*place()), &expected);
        }
    }
    commits_go_on_after_reopening(&fresh_place(), reopened).await;
}

async fn commits_go_on_after_reopening(place: &Place, reopened: Reopened) {
    let mut expected = Recovered::default();
    for number in 1..=3 {
        let engine = place();
        assert_same("reopened", recover(&*engine), &expected);
        let batch = records([record("a", Some(b"v"), number)]);
        engine.commit(&batch).await.expect("a commit is stored");
        if reopened == Reopened::KeepsAll {
            expected = apply(expected, &batch);
        }
    }
}

fn cases() -> Vec<(&'static str, Vec<Batch>)> {
    let longest_key = "é\u{10348}".repeat(66) + "\u{10348}\u{10348}\u{10348}\u{10348}";
    let widest_key = "\u{10348}".repeat(200);
    let large_value = vec![7; 1024 * 1024];
    vec![
        ("nothing", vec![]),
        ("an empty batch", vec![Batch::default()]),
        (
            "a batch of all kinds",
            vec![Batch {
                records: vec![record("a", Some(b"1"), 1), record("b", None, 2)],
                forgotten: vec![key("c")],
                notes: vec![note("view", Some(b"\x00\xff")), note("sealed", Some(b""))],
            }],
        ),
        (
            "of two records with one key, the later in the batch stays, though older",
            vec![records([
                record("a", Some(b"new"), 9),
                record("a", Some(b"old"), 1),
            ])],
        ),
        (
            "a later batch wins, though its record is older",
            vec![
                records([record("a", Some(b"new"), 9)]),
                records([record("a", Some(b"old"), 1)]),
            ],
        ),
        (
            "forgotten keys are gone",
            vec![
                records([record("a", Some(b"1"), 1), record("b", Some(b"1"), 2)]),
                forgotten(["a", "never there"]),
            ],
        ),
        (
            "forgetting comes before the records of the same batch",
            vec![
                records([record("a", Some(b"1"), 1)]),
                Batch {
                    records: vec![record("a", Some(b"2"), 2)],
                    forgotten: vec![key("a")],
                    notes: vec![],
                },
            ],
        ),
        (
            "a record after its key was forgotten",
            vec![forgotten(["a"]), records([record("a", Some(b"1"), 1)])],
        ),
        (
            "notes are overwritten and removed, the last in a batch counts",
            vec![
                notes([
                    note("a", Some(b"1")),
                    note("b", Some(b"1")),
                    note("c", Some(b"1")),
                ]),
                notes([note("a", Some(b"2")), note("b", None), note("never there", None)]),
                notes([
                    note("c", None),
                    note("c", Some(b"3")),
                    note("d", Some(b"4")),
                    note("d", None),
                ]),
            ],
        ),
        (
            "empty values, large values, tombstones, long keys, odd names",
            vec![
                records([
                    record("empty", Some(b""), 1),
                    record("large", Some(&large_value), 2),
                    record("gone", None, 3),
                    record(&longest_key, Some(b"long"), 4),
                    record(&widest_key, Some(b"wide"), 5),
                    record("\0", Some(b"zero"), 6),
                ]),
                notes([note("", Some(b"no name")), note("=", Some(&large_value))]),
            ],
        ),
        ("many batches, in their order", (1..200).map(numbered).collect()),
    ]
}

/// A batch that overwrites what the last one wrote and adds one key.
pub fn numbered(number: u64) -> Batch {
    let value = number.to_le_bytes();
    Batch {
        records: vec![
            record("counter", Some(&value), 2 * number),
            record(&format!("key-{number}"), Some(&value), 2 * number + 1),
        ],
        forgotten: vec![],
        notes: vec![note("counter", Some(&value))],
    }
}

/// A record without dependencies, from one made-up log.
pub fn record(name: &str, value: Option<&[u8]>, number: u64) -> Record {
    let log = Log {
        epoch: Epoch(1),
        member: MemberId(1),
    };
    let dot = Dot { log, number };
    Record::new(
        &key(name),
        value,
        dot,
        Timestamp(number),
        &VersionVector::default(),
    )
}

fn key(name: &str) -> Key {
    Key::new(name).expect("the suite's keys are keys")
}

fn note(name: &str, value: Option<&[u8]>) -> (String, Option<Vec<u8>>) {
    (name.to_owned(), value.map(<[u8]>::to_vec))
}

fn records(records: impl IntoIterator<Item = Record>) -> Batch {
    Batch {
        records: records.into_iter().collect(),
        ..Batch::default()
    }
}

fn forgotten<'a>(keys: impl IntoIterator<Item = &'a str>) -> Batch {
    Batch {
        forgotten: keys.into_iter().map(key).collect(),
        ..Batch::default()
    }
}

fn notes(notes: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) -> Batch {
    Batch {
        notes: notes.into_iter().collect(),
        ..Batch::default()
    }
}

/// The contents that a store must have after a batch: the contract in its plainest form.
pub fn apply(mut stored: Recovered, batch: &Batch) -> Recovered {
    for key in &batch.forgotten {
        stored.records.retain(|record| record.key() != key.as_str());
    }
    for record in &batch.records {
        stored.records.retain(|other| other.key() != record.key());
        stored.records.push(record.clone());
    }
    for (name, value) in &batch.notes {
        stored.notes.retain(|(other, _)| other != name);
        stored
            .notes
            .extend(value.clone().map(|value| (name.clone(), value)));
    }
    stored
}

/// Panics unless both hold the same records and notes, in any order.
pub fn assert_same(name: &str, mut found: Recovered, expected: &Recovered) {
    let by_key = |a: &Record, b: &Record| a.key().cmp(b.key());
    let mut records = expected.records.clone();
    records.sort_by(by_key);
    found.records.sort_by(by_key);
    assert_eq!(found.records, records, "{name}: records");
    let mut notes = expected.notes.clone();
    notes.sort();
    found.notes.sort();
    assert!(found.notes == notes, "{name}: notes differ");
}

fn recover(engine: &dyn Engine) -> Recovered {
    engine.recover().expect("what is stored can be read")
}

fn is_empty(recovered: &Recovered) -> bool {
    recovered.records.is_empty() && recovered.notes.is_empty()
}
