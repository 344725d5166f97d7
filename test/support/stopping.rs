//! Ends loops in scoped threads also when the test fails: a scope waits for its threads before a panic
//! goes on, so a loop that nobody stops would turn a failure into a hang.

use std::sync::atomic::{AtomicBool, Ordering};

/// Tells loops to end when it is dropped, by a panic too.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
