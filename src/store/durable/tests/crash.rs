//! A process that is killed while it commits: every batch that it acknowledged is there.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

const DIR: &str = "CAUSEWAY_TEST_CRASH_DIR";

/// Not a test by itself: the process that is killed. It prints the number of each stored batch.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the parent test hands its directory over"
)]
fn victim() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let limits = Limits {
        journal_bytes: 1024 * 1024,
        keeps_reserve: true,
    };
    let engine = DurableEngine::open_within(Path::new(&dir), limits).expect("opens");
    let begin = engine.state.lock().stored + 1;
    for number in begin.. {
        commit(&engine, &large(number)).expect("is stored");
        println!("\nstored {number}");
    }
}

// Large enough that the journal is emptied several times before the kill.
fn large(number: u64) -> Batch {
    let mut batch = numbered(number);
    batch.records.push(record(
        &format!("large-{}", number % 7),
        Some(&[b'x'; 20_000]),
        number,
    ));
    batch
}

/// Lets a process commit `batches` batches, kills it, and returns the last one that it acknowledged.
fn killed_after(dir: &Path, batches: usize) -> u64 {
    let mut victim = Command::new(std::env::current_exe().expect("runs"))
        .args(["--exact", "store::durable::tests::crash::victim", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(victim.stdout.take().expect("is piped")).lines();
    let number = |line: String| line.strip_prefix("stored ")?.parse::<u64>().ok();
    let mut stored = lines.by_ref().filter_map(|line| number(line.ok()?));
    let acknowledged = stored.nth(batches).expect("goes on until it is killed");
    victim.kill().expect("is running");
    victim.wait().expect("ends");
    // It may have acknowledged more between our last look and its end.
    stored.last().unwrap_or(acknowledged)
}

#[test]
fn whatever_was_acknowledged_before_a_kill_is_there() {
    let dir = TempDir::new().expect("a directory");
    for batches in [0, 1, 10, 60, 120, 7, 90] {
        let acknowledged = killed_after(dir.path(), batches);
        let found = stored_in(dir.path());
        let counter = found.notes.iter().find(|(name, _)| name == "counter");
        let bytes = counter.expect("is stored").1.as_slice().try_into();
        let last = u64::from_le_bytes(bytes.expect("a number"));
        // The batch after the acknowledged one may be there, whole.
        assert!(
            (acknowledged..=acknowledged + 1).contains(&last),
            "{acknowledged}, {last}"
        );
        let expected = (1..=last)
            .map(large)
            .fold(Recovered::default(), |stored, batch| apply(stored, &batch));
        assert_same("after a kill", found, &expected);
    }
}
