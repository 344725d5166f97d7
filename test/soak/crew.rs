//! Runs one thread for each core: each takes the next seed and sends its result to the receiver.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Results that may wait for the receiver; few, since histories are large.
const WAITING: usize = 16;

/// How often the receiver wakes up without a result.
const TICK: Duration = Duration::from_millis(200);

/// Whether the crew goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    Home,
}

/// Runs `job` for every seed, and passes each result to `take`, or `None` after a tick without one. When
/// `take` returns [`Go::Home`], it starts no further seed; pending ones are finished and passed on, too.
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
        // A panic in `take` drops it too: then no thread goes on working or waits for room.
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
