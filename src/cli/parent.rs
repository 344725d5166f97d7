//! `serve --exit-with-parent`: a node that belongs to another process and must not outlive it.
//!
//! The parent holds the other end of standard input. However it ends, SIGKILL included, the kernel
//! closes that end, and the node stops as if it had been told to.
#![expect(
    clippy::disallowed_methods,
    reason = "a thread that waits for the end of standard input, for the life of the process"
)]

use std::io::{copy, sink, stdin};

use rustix::process::{Signal, getpid, kill_process};

/// Sends this process SIGTERM when standard input ends.
pub fn stop_with_parent() {
    std::thread::spawn(|| {
        // An error is an end as well: whatever was there to hold this node is gone.
        let _ = copy(&mut stdin().lock(), &mut sink());
        let _ = kill_process(getpid(), Signal::TERM);
    });
}
