//! Tests disks that are really full: small in-memory file systems. Needs the right to mount; without it,
//! says loudly that it checked nothing.

use std::io::Write;
use std::process::Command;

use super::*;

const MIB: usize = 1024 * 1024;

/// A separate file system, unmounted when it is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(mib: usize) -> Option<Self> {
        let dir = TempDir::new().expect("a directory");
        let size = format!("size={mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "causeway-test"])
            .arg(dir.path())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("SKIPPED, NOTHING CHECKED: a test of full disks needs the right to mount a tmpfs");
        }
        mounted.then_some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all room except `left` bytes.
    fn fill(&self, left: u64) {
        let available = Disk::of(self.path()).expect("answers").available;
        let taken = vec![1; usize::try_from(available.saturating_sub(left)).expect("fits")];
        let file = File::options()
            .append(true)
            .create(true)
            .open(self.path().join("ballast"));
        file.and_then(|mut file| file.write_all(&taken))
            .expect("there is room");
    }

    /// Frees the room, and waits for it: a process that another test forks off may still hold the file.
    fn free(&self) {
        let ballast = self.path().join("ballast");
        let taken = fs::metadata(&ballast).expect("was filled").len();
        let available = || Disk::of(self.path()).expect("answers").available;
        let before = available();
        fs::remove_file(ballast).expect("was filled");
        let mut pauses = (0..5_000).map(|_| std::thread::sleep(Duration::from_millis(2)));
        while available() < before + taken {
            pauses.next().expect("the room shows within ten seconds");
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// What must be stored after all batches below this one.
fn all_before(number: u64, bytes: usize) -> Recovered {
    let mut batches = (1..number).map(|number| large(number, bytes));
    let mut stored = Recovered::default();
    let Some(last) = batches.next_back() else {
        return stored;
    };
    for mut batch in batches {
        batch.records.retain(|record| record.key() != "counter");
        stored.records.append(&mut batch.records);
    }
    apply(stored, &last)
}

fn large(number: u64, bytes: usize) -> Batch {
    let mut batch = numbered(number);
    let filler = vec![b'x'; bytes];
    batch
        .records
        .push(record(&format!("large-{number}"), Some(&filler), number));
    batch
}

fn runs_into_the_end_of_the_disk(journal_bytes: u64) -> Limits {
    Limits {
        journal_bytes,
        keeps_reserve: false,
    }
}

/// Commits until one is refused; returns the number of that one.
fn commit_until_refused(engine: &DurableEngine, bytes: usize) -> u64 {
    for number in 1.. {
        match commit(engine, &large(number, bytes)) {
            Ok(()) => {}
            Err(StoreError::Refused(_)) => return number,
            Err(error) => panic!("batch {number}: {error}"),
        }
    }
    unreachable!("a disk has an end")
}

#[test]
fn a_disk_that_fills_in_the_middle_of_batches_refuses_whole_ones_and_recovers() {
    for journal_bytes in [MIB as u64, 1 << 40] {
        for bytes in [100, 5_000, 300_000] {
            let Some(disk) = SmallDisk::mount(24) else { return };
            let limits = runs_into_the_end_of_the_disk(journal_bytes);
            let engine = DurableEngine::open_within(disk.path(), limits).expect("opens");
            disk.fill(2 * MIB as u64);
            let refused = commit_until_refused(&engine, bytes);
            assert!(refused > 2, "{bytes} bytes: some were stored");
            for _ in 0..3 {
                let refusal = commit(&engine, &large(refused, 3 * MIB));
                assert!(matches!(refusal, Err(StoreError::Refused(_))), "{refusal:?}");
            }
            disk.free();
            for number in refused..refused + 3 {
                commit(&engine, &large(number, bytes)).expect("there is room again");
            }
            drop(engine);
            let expected = all_before(refused + 3, bytes);
            assert_same("exactly the acknowledged", stored_in(disk.path()), &expected);
        }
    }
}

#[test]
fn a_database_that_stopped_in_the_background_is_opened_again() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let engine = DurableEngine::open_within(disk.path(), runs_into_the_end_of_the_disk(1 << 40));
    let engine = engine.expect("opens");
    commit(&engine, &large(1, MIB)).expect("there is room");
    disk.fill(100_000);
    let written_out = engine.state.lock().tables.as_mut().expect("is open").write_out();
    assert!(written_out.is_err(), "there was no room");
    commit(&engine, &large(2, 100)).expect("there is room for this one");
    disk.fill(0);
    let refusal = commit(&engine, &large(3, MIB));
    assert!(matches!(refusal, Err(StoreError::Refused(_))), "{refusal:?}");
    disk.free();
    commit(&engine, &large(3, MIB)).expect("there is room again");
    drop(engine);
    let keys = |recovered: Recovered| recovered.records.len();
    assert_eq!(keys(stored_in(disk.path())), 1 + 2 * 3);
}

#[test]
fn a_store_on_a_full_disk_opens_and_can_be_read() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let expected = [large(1, 100_000), large(2, 10)];
    let engine = DurableEngine::open(disk.path()).expect("opens");
    for batch in &expected {
        commit(&engine, batch).expect("there is room");
    }
    drop(engine);
    disk.fill(0);
    let expected = expected.iter().fold(Recovered::default(), apply);
    assert_same("on a full disk", stored_in(disk.path()), &expected);
    let engine = DurableEngine::open(disk.path()).expect("opens");
    let refusal = commit(&engine, &numbered(3));
    assert!(matches!(refusal, Err(StoreError::Refused(_))), "{refusal:?}");
    disk.free();
    commit(&engine, &numbered(3)).expect("there is room again");
}

#[test]
fn a_new_store_on_a_full_disk_says_so_and_opens_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    disk.fill(0);
    let dir = disk.path().join("data");
    for left in [4096, 8192, 12288, 16384, 32768] {
        let opened = DurableEngine::open(&dir);
        assert!(
            matches!(&opened, Err(OpenError::NoRoom { .. }) | Ok(_)),
            "{opened:?}"
        );
        drop(opened);
        disk.free();
        disk.fill(left);
    }
    disk.free();
    let engine = DurableEngine::open(&dir).expect("opens");
    commit(&engine, &numbered(1)).expect("there is room");
}

#[test]
fn refusing_early_keeps_room_to_go_on() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let engine = DurableEngine::open(disk.path()).expect("opens");
    let refused = commit_until_refused(&engine, 100_000);
    let stored = refused as usize * 100_000;
    assert!(stored > 16 * MIB, "only {stored} bytes fit");
    let disk_left = Disk::of(disk.path()).expect("answers").available;
    assert!(disk_left > 16 * MIB as u64, "{disk_left} bytes are left");
    drop(engine);
    let expected = all_before(refused, 100_000);
    assert_same("exactly the acknowledged", stored_in(disk.path()), &expected);
}

#[test]
fn a_small_disk_takes_any_number_of_writes_to_few_keys() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let engine = DurableEngine::open(disk.path()).expect("opens");
    let value = vec![b'x'; 100_000];
    for number in 1..600 {
        let key = format!("key-{}", number % 10);
        let batch = Batch {
            records: vec![record(&key, Some(&value), number)],
            ..Batch::default()
        };
        commit(&engine, &batch).unwrap_or_else(|error| panic!("batch {number}: {error}"));
    }
    drop(engine);
    assert_eq!(stored_in(disk.path()).records.len(), 10);
}
