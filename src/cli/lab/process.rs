//! A node of the lab: a real process of this program, its log, its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::folder::Folder;
use crate::names::NodeId;
use crate::process::system;
use crate::terminal::Failure;

/// Lines of a log that are shown when its node fails.
const TAIL_LINES: usize = 12;

/// One node, while the lab runs it.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) node: NodeId,
    pub(super) pid: u32,
    pub(super) log: PathBuf,
    pub(super) data_dir: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
    /// It holds the node's standard input open, so the node ends with this process, however that ends.
    child: Child,
}

impl Process {
    /// Starts the node with this number, from 1: one of the first view, or one that waits to be added.
    pub(super) fn start(
        program: &Path,
        folder: &Folder,
        number: usize,
        node: NodeId,
        view: Option<&[NodeId]>,
    ) -> Result<Self, Failure> {
        let (log, data_dir) = (folder.log(number), folder.data_dir(number));
        let arguments = arguments(folder, &node, view, &data_dir);
        let failed = |error: std::io::Error| {
            Failure::Failed(format!("cannot start {node}: {}", system::explain(&error)))
        };
        let output = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(failed)?;
        let child = Command::new(program)
            .args(&arguments)
            .arg("--exit-with-parent")
            .stdin(Stdio::piped())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            // Ctrl-C in the terminal is for the lab, which then stops its nodes in good order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pid = child.id().expect("it has not been waited for");
        Ok(Self {
            node,
            pid,
            log,
            data_dir,
            program: program.to_owned(),
            arguments,
            child,
        })
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to stop.
    pub(super) fn terminate(&mut self) {
        // The process id is certainly its own only while it has not been waited for.
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits for its end.
    pub(super) async fn gone(&mut self) {
        let _ = self.child.wait().await;
    }

    pub(super) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// The command that starts it again, to be pasted.
    pub(super) fn command_line(&self) -> String {
        let program = self.program.display().to_string();
        let words = std::iter::once(&program)
            .chain(&self.arguments)
            .map(|word| quoted(word));
        words.collect::<Vec<_>>().join(" ")
    }

    /// The last lines of its log.
    pub(super) fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        last.iter().map(|line| format!("\n  {line}")).collect()
    }
}

fn arguments(folder: &Folder, node: &NodeId, view: Option<&[NodeId]>, data_dir: &Path) -> Vec<String> {
    let store = if folder.layout.memory { "memory" } else { "durable" };
    let data_dir = data_dir.display().to_string();
    let mut words = ["serve", "--ipport", node.as_str(), "--listen", node.as_str()]
        .map(str::to_owned)
        .to_vec();
    // A node that waits to be added learns the view, and K with it, from the members.
    if let Some(view) = view {
        let view: Vec<&str> = view.iter().map(NodeId::as_str).collect();
        let replicas = folder.layout.replicas.to_string();
        words.extend(["--k".to_owned(), replicas, "--view".to_owned(), view.join(",")]);
    }
    words.extend(["--store", store, "--data-dir", &data_dir].map(str::to_owned));
    words
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,=@+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        for (word, expected) in [
            ("--view", "--view"),
            ("127.0.0.1:1,127.0.0.1:2", "127.0.0.1:1,127.0.0.1:2"),
            ("my lab/node-1", "'my lab/node-1'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
