//! Real time, as tests of real processes have it: stopwatches, and waiting for a condition, never for a
//! time, and not for ever.
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than any of it takes on a machine that does other things too.
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

/// What something gave, and how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let watch = Stopwatch::start();
    let done = work();
    (done, watch.elapsed())
}

/// Tries until it succeeds; what it said last is what the failure says.
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

/// Looks until there is something to be found, or fails.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    eventually(PATIENCE, what, || {
        found().ok_or_else(|| "nothing is there".to_owned())
    })
}

/// Looks again and again until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

/// Lets time pass where the passing itself is the test: a node that comes late, a fault that lasts.
pub(crate) fn let_pass(seconds: f64) {
    sleep(Duration::from_secs_f64(seconds));
}
