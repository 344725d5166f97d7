//! Files that are deleted, moved or replaced while the database writes them: nothing is acknowledged that a
//! restart would not find.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

/// A store of two batches in a directory of its own.
struct Store {
    place: TempDir,
    dir: PathBuf,
    engine: DurableEngine,
}

fn store() -> Store {
    let place = TempDir::new().expect("a directory");
    let dir = place.path().join("data");
    let engine = DurableEngine::open(&dir).expect("opens");
    for number in 1..=2 {
        commit(&engine, &numbered(number)).expect("is stored");
    }
    Store { place, dir, engine }
}

impl Store {
    fn away(&self) -> PathBuf {
        self.place.path().join("away")
    }

    fn journal(&self) -> PathBuf {
        self.dir.join("0.jnl")
    }

    /// Commits a batch that must be refused, and returns the reason.
    fn refusal(&self, number: u64) -> String {
        match commit(&self.engine, &numbered(number)) {
            Err(StoreError::Refused(reason)) => reason,
            other => panic!("batch {number}: {other:?}"),
        }
    }

    fn stores(&self, number: u64) {
        commit(&self.engine, &numbered(number)).expect("is stored");
    }

    /// What a restart after a kill would find.
    fn found_after_a_kill(&self) -> Recovered {
        let copy = self.place.path().join("copy");
        copy_dir(&self.dir, &copy);
        let found = stored_in(&copy);
        fs::remove_dir_all(&copy).expect("is removed");
        found
    }
}

fn copy_dir(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .args(["-a", "--sparse=always"])
        .args([from, to])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "copied");
}

fn empty_dir(dir: &Path) {
    for entry in fs::read_dir(dir).expect("is there") {
        let path = entry.expect("is there").path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        removed.expect("is removed");
    }
}

fn expected(numbers: impl IntoIterator<Item = u64>) -> Recovered {
    let batches = numbers.into_iter().map(numbered);
    batches.fold(Recovered::default(), |stored, batch| apply(stored, &batch))
}

#[test]
fn files_that_were_deleted_take_no_batch_and_a_restart_begins_empty() {
    for removes_directory in [false, true] {
        let store = store();
        if removes_directory {
            fs::remove_dir_all(&store.dir).expect("is removed");
        } else {
            empty_dir(&store.dir);
        }
        for _ in 0..2 {
            let reason = store.refusal(3);
            assert!(
                reason.contains("deleted") && reason.contains("restart"),
                "{reason}"
            );
        }
        assert_same(
            "is still in memory",
            store.engine.recover().expect("can be read"),
            &expected([1, 2]),
        );
        drop(store.engine);
        assert_same("after a restart", stored_in(&store.dir), &Recovered::default());
    }
}

#[test]
fn a_directory_that_is_moved_away_and_back_needs_no_restart() {
    let store = store();
    fs::rename(&store.dir, store.away()).expect("is moved");
    for _ in 0..2 {
        assert!(store.refusal(3).contains("move it back"));
    }
    fs::rename(store.away(), &store.dir).expect("is moved back");
    store.stores(3);
    drop(store.engine);
    assert_same("after all", stored_in(&store.dir), &expected([1, 2, 3]));
}

#[test]
fn a_copy_in_the_place_of_the_directory_takes_no_batch() {
    let store = store();
    fs::rename(&store.dir, store.away()).expect("is moved");
    copy_dir(&store.away(), &store.dir);
    for _ in 0..2 {
        assert!(store.refusal(3).contains("another directory"));
    }
    fs::remove_dir_all(&store.dir).expect("is removed");
    fs::rename(store.away(), &store.dir).expect("is moved back");
    store.stores(3);
    assert_same("after all", store.found_after_a_kill(), &expected([1, 2, 3]));
}

#[test]
fn files_that_are_restored_one_by_one_take_no_batch_that_is_lost() {
    let store = store();
    copy_dir(&store.dir, &store.away());
    store.stores(3);
    empty_dir(&store.dir);
    let status = Command::new("cp")
        .arg("-a")
        .args([store.away().join("."), store.dir.clone()])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "copied");
    store.refusal(4);
    // The journal was replaced, so everything was rewritten from memory.
    store.stores(4);
    assert_same("after all", store.found_after_a_kill(), &expected([1, 2, 3, 4]));
}

#[test]
fn files_that_are_overwritten_by_an_older_copy_take_no_batch_that_is_lost() {
    let store = store();
    copy_dir(&store.dir, &store.away());
    store.stores(3);
    let status = Command::new("cp")
        .arg("-a")
        .args([store.away().join("."), store.dir.clone()])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "copied");
    store.refusal(4);
    store.stores(4);
    assert_same("after all", store.found_after_a_kill(), &expected([1, 2, 3, 4]));
}

#[test]
fn a_path_that_leads_elsewhere_takes_no_batch() {
    let place = TempDir::new().expect("a directory");
    let (first, second, link) = (
        place.path().join("1"),
        place.path().join("2"),
        place.path().join("link"),
    );
    for dir in [&first, &second] {
        fs::create_dir(dir).expect("is made");
    }
    symlink(&first, &link).expect("is linked");
    let engine = DurableEngine::open(&link).expect("opens");
    commit(&engine, &numbered(1)).expect("is stored");
    for (target, says) in [(&second, "another directory"), (&link, "cannot be reached")] {
        fs::remove_file(&link).expect("is removed");
        symlink(target, &link).expect("is linked");
        let refusal = commit(&engine, &numbered(2)).expect_err("is refused").to_string();
        assert!(refusal.contains(says), "{refusal}");
    }
    fs::remove_file(&link).expect("is removed");
    symlink(&first, &link).expect("is linked");
    commit(&engine, &numbered(2)).expect("is stored");
}

#[test]
fn a_file_system_that_is_mounted_over_the_directory_takes_no_batch() {
    let store = store();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "causeway-test"])
        .arg(&store.dir)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED, NOTHING CHECKED: a test of mounts needs the right to mount a tmpfs");
        return;
    }
    let refusal = store.refusal(3);
    let unmounted = Command::new("umount").arg(&store.dir).status();
    assert!(unmounted.is_ok_and(|status| status.success()), "unmounted");
    assert!(refusal.contains("mounted over"), "{refusal}");
    store.stores(3);
}

#[test]
fn a_journal_that_was_deleted_replaced_or_cut_is_written_anew_from_memory() {
    let deleted: fn(&Path) = |journal| fs::remove_file(journal).expect("is removed");
    let replaced: fn(&Path) = |journal| {
        fs::remove_file(journal).expect("is removed");
        fs::write(journal, "").expect("is written");
    };
    let emptied: fn(&Path) = |journal| drop(File::create(journal).expect("is cut"));
    let cut: fn(&Path) = |journal| {
        let file = File::options().write(true).open(journal);
        file.and_then(|file| file.set_len(10)).expect("is cut");
    };
    for is_reopened in [false, true] {
        for displace in [deleted, replaced, emptied, cut] {
            let mut store = store();
            if is_reopened {
                drop(store.engine);
                store.engine = DurableEngine::open(&store.dir).expect("opens");
            }
            for number in [3, 5] {
                displace(&store.journal());
                let reason = store.refusal(number);
                assert!(
                    reason.contains("0.jnl") && reason.contains("try again"),
                    "{reason}"
                );
                let found = store.found_after_a_kill();
                assert_same("before the next", found, &expected(1..number));
                store.stores(number);
                store.stores(number + 1);
            }
            assert_same("after all", store.found_after_a_kill(), &expected(1..=6));
        }
    }
}

#[test]
fn the_journal_that_is_newest_after_a_change_of_journals_is_watched() {
    let store = store();
    let filler = vec![b'x'; 4 * 1024 * 1024];
    let mut number = 2;
    let mut store_large = || {
        number += 1;
        let mut batch = numbered(number);
        batch.records.push(record("large", Some(&filler), number));
        commit(&store.engine, &batch).expect("is stored");
    };
    while !store.dir.join("1.jnl").exists() {
        store_large();
    }
    store_large();
    fs::remove_file(store.dir.join("1.jnl")).expect("is there");
    assert!(store.refusal(1_000).contains("1.jnl"));
    store.stores(1_000);
    drop(store.engine);
    let found = stored_in(&store.dir);
    assert!(found.records.iter().any(|record| record.key() == "key-1000"));
    assert!(found.records.iter().any(|record| record.key() == "large"));
}

/// Commits a batch, and calls `displace` between its sync and the answer.
fn commit_while(store: &Store, number: u64, displace: impl FnOnce()) -> Result<(), StoreError> {
    let state = &mut *store.engine.state.lock();
    store.engine.write(state, &numbered(number)).expect("is written");
    displace();
    store.engine.check_after(state)
}

#[test]
fn what_goes_between_the_sync_and_the_answer_takes_the_answer_back() {
    let deleted = store();
    let answer = commit_while(&deleted, 3, || empty_dir(&deleted.dir));
    assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}");
    deleted.refusal(3);

    let moved = store();
    let answer = commit_while(&moved, 3, || {
        fs::rename(&moved.dir, moved.away()).expect("is moved");
    });
    for answer in [answer, commit(&moved.engine, &numbered(3))] {
        assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    }
    // A copy has the batch, too, but another process may have it open.
    copy_dir(&moved.away(), &moved.dir);
    let answer = commit(&moved.engine, &numbered(3));
    assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    fs::remove_dir_all(&moved.dir).expect("is removed");
    fs::rename(moved.away(), &moved.dir).expect("is moved back");
    moved.stores(3);
    moved.stores(4);
    assert_same("moved back", moved.found_after_a_kill(), &expected(1..=4));

    let journal = store();
    let answer = commit_while(&journal, 3, || {
        fs::remove_file(journal.journal()).expect("is removed");
    });
    answer.expect("was written anew");
    assert_same("written anew", journal.found_after_a_kill(), &expected(1..=3));
}

#[test]
fn deleting_the_lock_files_lets_no_second_process_in() {
    let store = store();
    for file in ["in-use", "lock"] {
        fs::remove_file(store.dir.join(file)).expect("is removed");
    }
    let second = DurableEngine::open(&store.dir);
    assert!(matches!(second, Err(OpenError::Locked(_))), "{second:?}");
    store.stores(3);
    drop(store.engine);
    assert_same("after all", stored_in(&store.dir), &expected(1..=3));
}

/// Files of tables that are in use.
fn table_files(dir: &Path) -> Vec<PathBuf> {
    let keyspaces = ["1", "2"].map(|keyspace| dir.join("keyspaces").join(keyspace).join("tables"));
    let folders = keyspaces
        .iter()
        .map(|folder| fs::read_dir(folder).expect("is there"));
    folders
        .flatten()
        .map(|entry| entry.expect("is there").path())
        .collect()
}

#[test]
fn a_table_that_was_deleted_takes_no_batch_until_it_is_put_back() {
    let store = store();
    store
        .engine
        .shrink(&mut store.engine.state.lock())
        .expect("is written out");
    let files = table_files(&store.dir);
    assert!(files.len() >= 2, "{files:?}");
    for file in files.iter().chain([&store.dir.join("version")]) {
        fs::rename(file, store.away()).expect("is moved");
        // Tables are looked for once a second, and again after opening.
        store
            .engine
            .state
            .lock()
            .tables
            .as_mut()
            .expect("is open")
            .forget_look();
        for _ in 0..2 {
            assert!(store.refusal(3).contains(&*file.to_string_lossy()));
        }
        fs::rename(store.away(), file).expect("is moved back");
    }
    store.stores(3);
}

#[test]
fn a_store_with_files_missing_does_not_begin_anew() {
    let store = store();
    store
        .engine
        .shrink(&mut store.engine.state.lock())
        .expect("is written out");
    let Store { place, dir, engine } = store;
    drop(engine);
    let away = place.path().join("away");
    let fixed = [
        "version",
        "0.jnl",
        "keyspaces",
        "keyspaces/1",
        "keyspaces/2",
        "keyspaces/0/current",
    ];
    let fixed = fixed.map(|name| dir.join(name));
    for file in table_files(&dir).iter().chain(&fixed) {
        fs::rename(file, &away).expect("is moved");
        let opened = DurableEngine::open(&dir);
        assert!(
            matches!(opened, Err(OpenError::Corrupt { .. })),
            "{file:?}: {opened:?}"
        );
        drop(opened);
        fs::rename(&away, file).expect("is moved back");
        assert_same(&format!("{file:?} is back"), stored_in(&dir), &expected([1, 2]));
    }
}

#[test]
fn a_marker_that_is_missing_costs_no_batch_in_a_store_of_an_earlier_version() {
    let Store {
        place: _place,
        dir,
        engine,
    } = store();
    drop(engine);
    fs::write(dir.join("in-use"), "").expect("is written");
    let marker = fs::read(dir.join("version")).expect("is there");
    fs::remove_file(dir.join("version")).expect("is removed");
    let opened = DurableEngine::open(&dir);
    assert!(matches!(opened, Err(OpenError::Corrupt { .. })), "{opened:?}");
    drop(opened);
    fs::write(dir.join("version"), marker).expect("is written");
    assert_same("is back", stored_in(&dir), &expected([1, 2]));
}
