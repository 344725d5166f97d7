//! One `redis-server` process: how it is started, ended, and kept from outliving this process.
//!
//! The kernel ends it: `setpriv` asks for the death signal and becomes a shell, the shell makes sure that
//! the parent has not died before that and becomes the `redis-server`, for which the signal stays set. It
//! is one process id all the way. The signal comes when the *thread* that started the server ends, so all
//! are started by the thread that owns them.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::SharderError;

/// Given the parent's process id and the arguments: becomes a redis-server, unless the parent is gone.
const UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$0" ] && exec redis-server "$@""#;

const LOG: &str = "redis.log";
/// Lines of the log that are shown when a server does not start.
const TAIL_LINES: usize = 4;

/// A child that is killed when this is dropped, and its directory, which is removed then.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) port: u16,
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts a server that will listen on this port.
    pub(super) fn start(port: u16) -> Result<Self, SharderError> {
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
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "/bin/sh", "-c", UNLESS_ORPHANED])
            .arg(std::process::id().to_string())
            .args(arguments(port, folder.path()))
            .current_dir(folder.path())
            // Ctrl-C in a terminal is for the sharder, which then ends its servers.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .spawn();
        match child {
            Ok(child) => Ok(Self { port, child, folder }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing("setpriv", "util-linux")),
            Err(error) => Err(failed(error)),
        }
    }

    /// The process id, which is the server's own.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        // That it cannot be waited for means that it is not there.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGKILL. The number is surely its own: until it has been waited for, nobody else gets it.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// The last lines that it logged.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join(" / ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// Whether there is a `redis-server` to be started.
pub(super) fn find_redis() -> Result<(), SharderError> {
    let version = Command::new("redis-server")
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    match version {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(missing("redis-server", "redis-server")),
    }
}

fn missing(program: &'static str, package: &'static str) -> SharderError {
    SharderError::NotInstalled { program, package }
}

/// Memory only, this machine only, one database, and never a key dropped to make room.
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
