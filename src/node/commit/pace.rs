//! Limits how much of the disk background work gets. Copies and deletions share one committer and one disk with
//! clients' writes, and must not delay them.
//!
//! A batch takes at most one background job. As long as batches are stored quickly, that job may be large and the
//! next one follows at once. When batches grow slow, the disk has a backlog: the jobs become smaller, and between two
//! of them clients have the disk to themselves for as long as the last one took.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The most bytes of records in one background job, and their number when the disk is slow.
const BYTES_MAX: usize = 256 * 1024;
const BYTES_MIN: usize = 8 * 1024;

/// The growth of the budget with each batch that is stored quickly: it takes many to make up for a slow one.
const BYTES_STEP: usize = 8 * 1024;

/// A batch that takes longer is slow: a client's write waits for the one before it as well as for its own.
const SLOW: Duration = Duration::from_millis(40);

/// The longest rest, so that background work ends however slow the disk is.
const REST_MAX: Duration = Duration::from_secs(2);

/// The present budget of background work.
#[derive(Debug)]
pub(crate) struct Pace(AtomicUsize);

impl Default for Pace {
    fn default() -> Self {
        Self(AtomicUsize::new(BYTES_MAX))
    }
}

impl Pace {
    /// The bytes of records that the next background job may store.
    pub(crate) fn budget(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Adapts the budget to a batch that took this long to store.
    pub(crate) fn took(&self, took: Duration) {
        let budget = self.budget();
        let next = if took > SLOW {
            (budget / 2).max(BYTES_MIN)
        } else {
            (budget + BYTES_STEP).min(BYTES_MAX)
        };
        self.0.store(next, Ordering::Relaxed);
    }
}

/// How long background work rests after a batch with a job of it took this long.
pub(crate) fn rest_after(took: Duration) -> Duration {
    if took > SLOW {
        took.min(REST_MAX)
    } else {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_shrink_while_batches_are_slow_and_grow_again_but_never_stop() {
        let pace = Pace::default();
        assert_eq!(pace.budget(), BYTES_MAX);
        pace.took(SLOW + Duration::from_millis(1));
        assert_eq!(pace.budget(), BYTES_MAX / 2);
        for _ in 0..20 {
            pace.took(SLOW * 10);
        }
        assert_eq!(pace.budget(), BYTES_MIN);
        pace.took(SLOW);
        assert_eq!(pace.budget(), BYTES_MIN + BYTES_STEP);
        for _ in 0..100 {
            pace.took(Duration::ZERO);
        }
        assert_eq!(pace.budget(), BYTES_MAX);
    }

    #[test]
    fn after_a_slow_job_clients_have_as_much_time_as_it_took() {
        assert_eq!(rest_after(SLOW), Duration::ZERO);
        assert_eq!(rest_after(SLOW * 3), SLOW * 3);
        assert_eq!(rest_after(REST_MAX * 3), REST_MAX);
    }
}
