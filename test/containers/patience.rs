//! Time, as the outside of a cluster has it: stopwatches, and polling with a deadline.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests watch real processes, so they read a real clock"
)]

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Within this, a request that can be served has its answer, whatever the other nodes do.
pub(crate) const PROMPT: Duration = Duration::from_secs(1);
/// Within this after a cut heals, replicas agree.
pub(crate) const HEALED: Duration = Duration::from_secs(5);
/// For what has no promised time, such as the start of containers on a busy machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

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

/// Tries until it succeeds; what it said last is what the failure says.
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
            Err(_) => sleep(Duration::from_millis(30)),
        }
    }
}

/// Lets time pass where the passing itself is the test: a node that comes late, a fault that lasts.
pub(crate) fn let_pass(seconds: f64) {
    sleep(Duration::from_secs_f64(seconds));
}
