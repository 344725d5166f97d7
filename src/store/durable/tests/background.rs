//! The database's background thread: it must not take the cores from clients' writes.

use std::fs;
use std::iter::repeat_with;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::process::threads::LOW_PRIORITY;

/// The niceness of this process's threads that write out and merge, from `/proc/self/task/…/stat`.
fn niceness() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").expect("is there");
    // A thread of another test may end meanwhile.
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let of_database = stats.filter(|stat| stat.contains("(fjall:worker)"));
    let nice = |stat: String| {
        let (_, behind_name) = stat.rsplit_once(')').expect("has a name");
        let field = behind_name.split_whitespace().nth(16).expect("has a niceness");
        field.parse().expect("is a number")
    };
    of_database.map(nice).collect()
}

#[test]
fn writing_out_and_merging_yield_to_everything_else() {
    let dir = TempDir::new().expect("a directory");
    let engine = DurableEngine::open(dir.path()).expect("opens");
    // A thread gives itself its name when it first runs. The kernel may also leave threads out of the list while
    // others end.
    let began = Instant::now();
    let mut looks = repeat_with(niceness).take_while(|_| began.elapsed() < Duration::from_secs(60));
    let found = looks
        .find(|found| !found.is_empty())
        .expect("the thread runs within a minute");
    // The tests themselves may run at another priority; 19 is the lowest.
    let lowered = rustix::process::nice(0).expect("has a priority") + LOW_PRIORITY;
    assert!(found.iter().all(|nice| *nice == lowered.min(19)), "{found:?}");
    drop(engine);
}

/// A part is synced as a whole while no batch gets in. The journal of a large disk has room for several.
#[test]
fn memory_is_written_out_in_small_parts() {
    const GIB: u64 = 1024 * 1024 * 1024;
    let large = Limits::for_disk(1024 * GIB);
    assert!(!large.is_small() && large.write_out_bytes() * 4 <= large.journal_bytes);
    let small = Limits::for_disk(GIB / 16);
    assert_eq!(small.write_out_bytes(), small.journal_bytes);
}
