//! A power cut at any moment: every acknowledged batch is there, though the disk keeps only synced data.

use super::fuse::{Names, PowerCutDisk, Remains, lay_out};
use super::*;

/// At least the records of the acknowledged batches must be there; the batch under way may be.
fn assert_holds(remains: &Remains, acknowledged: u64, batch: fn(u64) -> Batch, what: &str) {
    let dir = TempDir::new().expect("a directory");
    lay_out(remains, dir.path());
    let data = dir.path().join("data");
    if acknowledged == 0 {
        // It may open or not; nothing was promised.
        return;
    }
    let engine = DurableEngine::open(&data)
        .unwrap_or_else(|error| panic!("{what}, {acknowledged} acknowledged: {error}"));
    let stored = engine.state.lock().stored;
    assert!(
        (acknowledged..=acknowledged + 1).contains(&stored),
        "{what}: {acknowledged} batches were acknowledged, the disk holds {stored}"
    );
    let expected = (1..=stored)
        .map(batch)
        .fold(Recovered::default(), |stored, batch| apply(stored, &batch));
    assert_same(what, engine.recover().expect("can be read"), &expected);
}

fn commit_all(engine: &DurableEngine, disk: &PowerCutDisk, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        commit(engine, &numbered(number)).expect("is stored");
        disk.disk().acknowledged = number;
    }
}

fn check_every_cut(disk: &PowerCutDisk, what: &str) {
    let history = disk.disk().history.take().expect("was recorded");
    assert!(history.len() > 10, "{what}: syncs were seen");
    let mut before = None;
    for (acknowledged, remains) in &history {
        if before.as_ref() != Some(&(acknowledged, remains)) {
            assert_holds(remains, *acknowledged, numbered, what);
        }
        before = Some((acknowledged, remains));
    }
}

#[test]
fn each_acknowledged_batch_survives_a_cut_right_after_its_answer() {
    let Some(disk) = PowerCutDisk::mount() else { return };
    let dir = disk.path().join("data");
    for round in 0..3 {
        let engine = DurableEngine::open(&dir).expect("opens");
        for number in round * 4 + 1..=round * 4 + 4 {
            commit(&engine, &numbered(number)).expect("is stored");
            let remains = disk.disk().remains(Names::AsSynced);
            assert_holds(&remains, number, numbered, "right after the answer");
        }
    }
}

#[test]
fn no_moment_of_creating_writing_and_opening_again_loses_a_batch() {
    let Some(disk) = PowerCutDisk::mount() else { return };
    let dir = disk.path().join("data");
    disk.disk().history = Some(Vec::new());
    for round in 0..3 {
        let engine = DurableEngine::open(&dir).expect("opens");
        commit_all(&engine, &disk, round * 3 + 1..=round * 3 + 3);
    }
    check_every_cut(&disk, "at a sync");
}

#[test]
fn no_moment_of_emptying_the_journal_loses_a_batch() {
    let Some(disk) = PowerCutDisk::mount() else { return };
    let limits = Limits {
        journal_bytes: 2048,
        keeps_reserve: true,
    };
    let dir = disk.path().join("data");
    fs::create_dir(&dir).expect("is made");
    let engine = DurableEngine::open_within(&dir, limits).expect("opens");
    disk.disk().history = Some(Vec::new());
    commit_all(&engine, &disk, 1..=12);
    let emptied = fs::metadata(dir.join("0.jnl")).expect("is there").len() < 2048;
    assert!(emptied, "the journal was emptied");
    check_every_cut(&disk, "while the journal is emptied");
}

fn large(number: u64) -> Batch {
    let mut batch = numbered(number);
    let filler = vec![b'x'; 2 * 1024 * 1024];
    let record = record(&format!("large-{}", number % 3), Some(&filler), number);
    batch.records.push(record);
    batch
}

/// The database changes journals at 64 MB, in the background, and deletes the old one when its batches
/// are in tables.
#[test]
fn a_change_of_journals_loses_no_batch() {
    let Some(disk) = PowerCutDisk::mount() else { return };
    let dir = disk.path().join("data");
    let engine = DurableEngine::open(&dir).expect("opens");
    let cut = |acknowledged| {
        for names in [Names::AsSynced, Names::AsSeen] {
            let remains = disk.disk().remains(names);
            assert_holds(&remains, acknowledged, large, "around a change of journals");
        }
    };
    let mut number = 0;
    let mut commit_next = || {
        number += 1;
        commit(&engine, &large(number)).expect("is stored");
        number
    };
    while !dir.join("1.jnl").exists() {
        commit_next();
    }
    cut(commit_next());
    while dir.join("0.jnl").exists() {
        commit_next();
    }
    cut(commit_next());
}
