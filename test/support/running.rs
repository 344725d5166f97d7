//! Starts the programs under test. Each ends with the test that started it, however the test ends.
#![expect(clippy::disallowed_types, reason = "what a process says goes to a file")]

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::process::{Pid, Signal, kill_process};

use super::waiting::wait_for;

pub(crate) const CAUSEWAY: &str = env!("CARGO_BIN_EXE_causeway");
pub(crate) const MASTER: &str = env!("CARGO_BIN_EXE_master-svr");
pub(crate) const SVR: &str = env!("CARGO_BIN_EXE_svr");
pub(crate) const CLT: &str = env!("CARGO_BIN_EXE_clt");

/// A program without environment variables or input, whose output is discarded.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs a program to its end and keeps its output.
pub(crate) fn run(command: &mut Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.output().expect("the program starts")
}

/// Runs `causeway` to its end.
pub(crate) fn causeway(arguments: &[&str]) -> Output {
    run(command(CAUSEWAY).args(arguments))
}

/// What a program printed.
pub(crate) fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a program wrote to standard error.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that it ended with this code and wrote all these parts to standard error.
#[track_caller]
pub(crate) fn assert_ends(output: &Output, code: i32, parts: &[&str]) {
    let text = complaint(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing from:\n{text}");
    }
}

/// A child process that is not left behind when its test fails.
pub(crate) struct Running(pub(crate) Child, Counted);

/// Counts the running children.
struct Counted;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// Waits until no test has a child; no test starts one until the guard is dropped. `causeway health`
/// asks any of our programs that it finds near process 1, such as the child of another test.
pub(crate) fn alone() -> MutexGuard<'static, usize> {
    let mut running = RUNNING.lock();
    ENDED.wait_while(&mut running, |running| *running > 0);
    running
}

impl Counted {
    fn begin() -> Self {
        *RUNNING.lock() += 1;
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *RUNNING.lock() -= 1;
        ENDED.notify_all();
    }
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let counted = Counted::begin();
        Self(command.spawn().expect("the program starts"), counted)
    }

    /// Starts a program whose standard error goes to the end of a file.
    pub(crate) fn start_logging(command: &mut Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log);
        Self::start(command.stderr(log.expect("is opened")))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(self.0.id().cast_signed(), signal);
    }

    /// Kills with SIGKILL: the process cannot clean up.
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
