//! `serve --exit-with-parent`: a node that belongs to another process and must not outlive it.
//!
//! The parent holds the other end of standard input. However it ends, SIGKILL included, the kernel
//! closes that end, and the node stops as if it had been told to.
use std::io::{copy, sink, stdin};
use std::thread;

use rustix::process::{Signal, getpid, kill_process};

use super::Failure;
use crate::process::system;

/// Sends this process SIGTERM when standard input ends.
pub fn stop_with_parent() -> Result<(), Failure> {
    let started = thread::Builder::new().name("parent".into()).spawn(|| {
        // An error is an end as well: the parent that held this node is gone.
        let _ = copy(&mut stdin().lock(), &mut sink());
        let _ = kill_process(getpid(), Signal::TERM);
    });
    started.map(drop).map_err(|error| {
        let why = system::explain(&error);
        Failure::Failed(format!("the thread that watches the parent cannot start: {why}"))
    })
}
