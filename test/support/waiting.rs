//! Waiting for real processes: for a condition, never for a time, and not for ever.
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

use std::time::{Duration, Instant};

/// Longer than any of it takes on a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// Looks until there is something to be found, or fails.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(POLL);
    }
}
