//! One thread a core: each takes the next seed, and what came of it goes to the one who counts.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Results that may wait for the one who counts: histories are large.
const WAITING: usize = 16;

/// How often the one who counts looks up while nothing comes.
const TICK: Duration = Duration::from_millis(200);

/// Whether the crew goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    Home,
}

/// Does `job` for every seed, and hands the results over as they come; `None` when a moment has passed
/// without one. Ends early when `take` says so: what is under way is finished and handed over too.
pub(crate) fn work<T: Send>(
    seeds: Range<u64>,
    job: impl Fn(u64) -> T + Sync,
    mut take: impl FnMut(Option<T>) -> Go,
) {
    let next = AtomicU64::new(seeds.start);
    let home = AtomicBool::new(false);
    let (sender, results) = sync_channel(WAITING);
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            let (sender, next, home, job) = (sender.clone(), &next, &home, &job);
            scope.spawn(move || {
                while !home.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || sender.send(job(seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        // Dropped by a panic in `take` too: nobody goes on to work or waits for room then.
        let results = results;
        loop {
            let result = match results.recv_timeout(TICK) {
                Ok(result) => Some(result),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if take(result) == Go::Home {
                home.store(true, Ordering::Relaxed);
            }
        }
    });
}
