//! Stops loops in scoped threads even when the test fails. A scope waits for its threads before a panic
//! propagates, so a loop that is not stopped would turn a failure into a hang.

use std::sync::atomic::{AtomicBool, Ordering};

/// Tells loops to end when it is dropped, also by a panic.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
