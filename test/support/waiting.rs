//! Real time, for tests of real processes: stopwatches, and waiting for a condition with a limit instead
//! of for a fixed time.
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than any of these waits takes on a machine with other load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The result of some work, and how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let watch = Stopwatch::start();
    let done = work();
    (done, watch.elapsed())
}

/// Retries until it succeeds; the failure message contains the last error.
#[track_caller]
pub(crate) fn eventually<T>(
    limit: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> T {
    let watch = Stopwatch::start();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(why) if watch.elapsed() >= limit => panic!("not within {limit:?}: {what}: {why}"),
            Err(_) => sleep(POLL),
        }
    }
}

/// Polls until something is found, or fails.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    eventually(PATIENCE, what, || {
        found().ok_or_else(|| "nothing is there".to_owned())
    })
}

/// Polls until the condition holds.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

/// Lets time pass where that itself is the test: a node that starts late, a fault that lasts.
pub(crate) fn let_pass(seconds: f64) {
    sleep(Duration::from_secs_f64(seconds));
}
