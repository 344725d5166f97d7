//! A write that failed in the middle: the answer is what the disk holds, and `Unknown` only while the disk
//! cannot be read.

use super::*;

fn failure() -> fjall::Error {
    fjall::Error::Io(io::Error::other("the sync failed"))
}

/// As if the batch had been written and its sync had failed.
fn write_unnoticed(engine: &DurableEngine, batch: &Batch) {
    let state = &mut *engine.state.lock();
    let number = state.stored + 1;
    let tables = state.tables.as_mut().expect("is open");
    tables.write(batch, number).expect("is written");
}

fn settle(engine: &DurableEngine) -> Result<(), StoreError> {
    engine.settle(&mut engine.state.lock(), &failure())
}

fn expected(numbers: impl IntoIterator<Item = u64>) -> Recovered {
    let batches = numbers.into_iter().map(numbered);
    batches.fold(Recovered::default(), |stored, batch| apply(stored, &batch))
}

#[test]
fn a_batch_that_is_there_after_all_is_acknowledged_and_written_anew() {
    let dir = TempDir::new().expect("a directory");
    let engine = DurableEngine::open(dir.path()).expect("opens");
    commit(&engine, &numbered(1)).expect("is stored");
    write_unnoticed(&engine, &numbered(2));
    settle(&engine).expect("is there");
    // A sync of the journal failed, so the answer must not rest upon the journal.
    journal::empty(dir.path(), &dir.path().join("0.jnl")).expect("is emptied");
    drop(engine);
    assert_same("in tables", stored_in(dir.path()), &expected([1, 2]));
}

#[test]
fn a_batch_that_is_not_there_is_refused_and_its_number_used_again() {
    let dir = TempDir::new().expect("a directory");
    let engine = DurableEngine::open(dir.path()).expect("opens");
    commit(&engine, &numbered(1)).expect("is stored");
    let refusal = settle(&engine);
    assert!(matches!(refusal, Err(StoreError::Refused(_))), "{refusal:?}");
    commit(&engine, &numbered(3)).expect("is stored");
    drop(engine);
    assert_same("after a refusal", stored_in(dir.path()), &expected([1, 3]));
}

#[test]
fn while_the_disk_is_away_the_outcome_is_unknown_and_then_it_is_known() {
    for was_written in [true, false] {
        let place = TempDir::new().expect("a directory");
        let (dir, away) = (place.path().join("data"), place.path().join("away"));
        let engine = DurableEngine::open(&dir).expect("opens");
        commit(&engine, &numbered(1)).expect("is stored");
        if was_written {
            write_unnoticed(&engine, &numbered(2));
        }
        fs::rename(&dir, &away).expect("is moved");
        for answer in [settle(&engine), commit(&engine, &numbered(2))] {
            assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
        }
        fs::rename(&away, &dir).expect("is moved back");
        commit(&engine, &numbered(2)).expect("is stored");
        commit(&engine, &numbered(3)).expect("is stored");
        assert_eq!(engine.state.lock().stored, 3, "no batch counts twice");
        drop(engine);
        assert_same("after all", stored_in(&dir), &expected([1, 2, 3]));
    }
}

#[test]
fn a_disk_that_forgot_an_acknowledged_batch_takes_no_more() {
    let dir = TempDir::new().expect("a directory");
    let engine = DurableEngine::open(dir.path()).expect("opens");
    commit(&engine, &numbered(1)).expect("is stored");
    engine.state.lock().stored = 2;
    for _ in 0..2 {
        let answer = settle(&engine);
        assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    }
}
