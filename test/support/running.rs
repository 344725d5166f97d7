//! Processes of a test, which end with it however it ends.

#![allow(dead_code, reason = "each test target uses its own part of it")]

use std::process::{Child, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};

use crate::waiting::wait_for;

/// A child that a test which fails does not leave behind.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(self.0.id().cast_signed(), signal);
    }

    /// With SIGKILL: it has no time for anything.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    /// Waits for its end, however it comes.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        wait_for("the end of a process", || self.0.try_wait().expect("is a child"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn signal_to(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("is not 0");
    kill_process(pid, signal).expect("it runs");
}
