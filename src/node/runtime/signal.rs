//! A repeated event, and tasks that wait for its next occurrence.
//!
//! Always wakes its waiters in the order in which they came: `tokio`'s `watch` draws lots, and a simulated
//! run would not repeat from its seed.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts the events.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    count: AtomicU64,
    happened: Notify,
}

impl Signal {
    pub(crate) fn happen(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.happened.notify_waiters();
    }

    /// How often it has happened.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until it has happened more often than `seen`, and returns the count.
    pub(crate) async fn beyond(&self, seen: u64) -> u64 {
        loop {
            let mut happens = std::pin::pin!(self.happened.notified());
            // Listen before looking: no event between the two is missed.
            happens.as_mut().enable();
            let count = self.count();
            if count > seen {
                return count;
            }
            happens.await;
        }
    }
}
