//! One `redis-server` process: how it is started, ended, and kept from outliving this process.
//!
//! The kernel ends it: `setpriv` requests the death signal and becomes a shell. The shell checks that the
//! parent has not died before that, and becomes the `redis-server`, for which the signal stays set. The
//! process id stays the same. The signal comes when the *thread* that started the server ends, so the
//! thread that owns the servers starts them all.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::SharderError;
use super::program::Programs;

/// Takes the parent's process id, and a program with its arguments: becomes that program, unless the
/// parent is gone.
const UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

const LOG: &str = "redis.log";
/// The last lines of the log are shown when a server does not start.
const TAIL_LINES: usize = 4;
const TAIL_BYTES: u64 = 2048;

/// A child process and its directory. Dropping this kills the one and removes the other.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) port: u16,
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts a server that will listen on this port.
    pub(super) fn start(port: u16, programs: &Programs) -> Result<Self, SharderError> {
        let failed = |error: io::Error| SharderError::CannotStart {
            port,
            reason: error.to_string(),
        };
        let prefix = format!("causeway-redis-{port}-");
        let folder = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir()
            .map_err(failed)?;
        let mut log = OpenOptions::new();
        let log = log
            .create(true)
            .append(true)
            .open(folder.path().join(LOG))
            .map_err(failed)?;
        let child = Command::new(&programs.setpriv)
            .args(["--pdeathsig", "KILL", "/bin/sh", "-c", UNLESS_ORPHANED])
            .arg(std::process::id().to_string())
            .arg(&programs.redis)
            .args(arguments(port, folder.path()))
            .current_dir(folder.path())
            // Ctrl-C in a terminal is for the sharder, which then ends its servers.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .spawn();
        let child = child.map_err(|error| SharderError::CannotStart {
            port,
            reason: format!("{}: {error}", programs.setpriv.display()),
        })?;
        Ok(Self { port, child, folder })
    }

    /// The process id, which is the server's own.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        // An error means that there is no such process.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, if it has.
    pub(super) fn how_it_ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Sends SIGKILL to it and to its children: a script may have its name. The process id is certainly
    /// its own: the kernel does not reuse it before it has been waited for.
    pub(super) fn kill(&mut self) {
        if !self.has_ended() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
    }

    /// The last lines that it logged, on one line.
    pub(super) fn last_words(&self) -> String {
        let text = self.tail().unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let printable = |line: &str| line.replace(|c: char| c.is_control(), " ").trim().to_owned();
        let lines: Vec<String> = text
            .split(['\n', '\r'])
            .map(printable)
            .filter(|line| !line.is_empty())
            .collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join(" / ")
    }

    fn tail(&self) -> io::Result<Vec<u8>> {
        let mut log = OpenOptions::new().read(true).open(self.folder.path().join(LOG))?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut tail = Vec::new();
        log.take(TAIL_BYTES).read_to_end(&mut tail)?;
        Ok(tail)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// Memory only, this machine only, one database, and no eviction of keys.
fn arguments(port: u16, folder: &Path) -> Vec<String> {
    let (port, folder) = (port.to_string(), folder.display().to_string());
    let words = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--protected-mode",
        "yes",
        "--databases",
        "1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--maxmemory-policy",
        "noeviction",
        "--daemonize",
        "no",
        "--logfile",
        "",
        "--dir",
        &folder,
    ];
    words.map(str::to_owned).to_vec()
}
