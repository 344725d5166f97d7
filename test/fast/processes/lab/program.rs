//! Runs a lab, its nodes, and client commands.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::Value;

use crate::support::ports::free_ports;
use crate::support::running::{CAUSEWAY, Running, causeway, command, complaint, printed};

/// A running lab, and what it printed when its nodes served.
pub(crate) struct Lab {
    pub(crate) process: Running,
    said: PathBuf,
    pub(crate) nodes: Vec<Node>,
    pub(crate) spares: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) role: String,
    pub(crate) pid: i32,
    log: String,
}

impl Lab {
    /// Three nodes, two of them the replicas of the only partition, in a new folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let base_port = free_ports().to_string();
        Self::start(folder, &["--nodes", "3", "--k", "2", "--base-port", &base_port])
    }

    /// The lab of an existing folder, in the state in which it was left.
    pub(crate) fn again(folder: &Path) -> Self {
        Self::start(folder, &[])
    }

    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let said = folder.with_extension("said");
        let mut command = command(CAUSEWAY);
        command
            .args(["lab", "--json", "--dir"])
            .arg(folder)
            .args(arguments);
        let mut process = Running::start_logging(command.stdout(Stdio::piped()), &said);
        let mut line = String::new();
        let stdout = process.0.stdout.take().expect("is piped");
        // Ends without a line when the lab gives up, which it does by itself.
        BufReader::new(stdout).read_line(&mut line).expect("is text");
        let mut lab = Self {
            process,
            said,
            nodes: Vec::new(),
            spares: Vec::new(),
        };
        let Ok(json) = serde_json::from_str::<Value>(&line) else {
            panic!("no JSON in {line:?}; the lab said:\n{}", lab.said());
        };
        assert_eq!(json["k"], 2);
        let list = |field: &str| {
            let nodes = json[field].as_array().expect("is a list");
            nodes.iter().map(Node::from_json).collect()
        };
        (lab.nodes, lab.spares) = (list("nodes"), list("spares"));
        lab
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).expect("is text")
    }

    /// Stops it as a service manager does, and checks that it succeeded and left nothing running.
    pub(crate) fn stop(mut self) {
        self.process.signal(Signal::TERM);
        assert_eq!(self.process.ended().code(), Some(0), "{}", self.said());
        let all = self.nodes.iter().chain(&self.spares);
        let left: Vec<&Node> = all.filter(|node| lives(node.pid)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the lab said:\n{}", self.said());
            for node in self.nodes.iter().chain(&self.spares) {
                let log = std::fs::read_to_string(&node.log).unwrap_or_default();
                eprintln!("{} logged:\n{log}", node.address);
            }
        }
    }
}

impl Node {
    fn from_json(json: &Value) -> Self {
        let text = |field: &str| json[field].as_str().expect("is text").to_owned();
        let pid = json["pid"].as_i64().expect("is a number");
        Self {
            address: text("address"),
            role: text("role"),
            log: text("log"),
            pid: pid.try_into().expect("is a process"),
        }
    }
}

/// True if a process runs; a zombie does not.
pub(crate) fn lives(pid: i32) -> bool {
    let there = test_kill_process(Pid::from_raw(pid).expect("is not 0")).is_ok();
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    there && !state.contains(") Z ")
}

/// Runs a client command against one node.
pub(crate) fn ask(node: &Node, arguments: &[&str]) -> Output {
    causeway(&[arguments, &["--node", &node.address]].concat())
}

/// The output of a command that must succeed.
#[track_caller]
pub(crate) fn done(node: &Node, arguments: &[&str]) -> String {
    let output = ask(node, arguments);
    let (out, err) = (printed(&output), complaint(&output));
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?} at {}: {out}{err}",
        node.address
    );
    out
}

/// What a read prints. A node may answer that it is unavailable (a busy machine is silent for longer
/// than nodes wait for each other), but never that the key is absent.
#[track_caller]
pub(crate) fn read(node: &Node, arguments: &[&str]) -> Option<String> {
    let output = ask(node, arguments);
    let complaint = complaint(&output);
    match output.status.code() {
        Some(0) => Some(printed(&output)),
        Some(1) if complaint.contains("503") => None,
        code => panic!("{arguments:?} at {}: {code:?}, {complaint}", node.address),
    }
}

pub(crate) fn keys_held(node: &Node) -> Option<u64> {
    let output = ask(node, &["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).ok()?;
    status["keys"].as_u64()
}
