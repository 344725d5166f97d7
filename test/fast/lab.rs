//! A lab as people and programs use it: real processes, stopped in good order and killed.

#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use support::history::History;
use support::oracle::{Rules, judge};

const CAUSEWAY: &str = env!("CARGO_BIN_EXE_causeway");

/// Nothing here takes more than a second or two on a machine that does nothing else.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A child that a test which fails does not leave behind.
struct Process(Child);

/// A lab that runs, and what it said of itself when its nodes served.
struct Lab {
    process: Process,
    said: PathBuf,
    nodes: Vec<Node>,
    spares: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    address: String,
    role: String,
    pid: i32,
    log: String,
}

impl Process {
    fn signal(&self, signal: Signal) {
        kill(self.0.id().cast_signed(), signal);
    }

    /// Waits for its end, however it comes.
    fn ended(&mut self) -> ExitStatus {
        wait_for("the end of a process", || self.0.try_wait().expect("is a child"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Lab {
    /// Three nodes, two of them the replicas of the only partition, in a folder that is not there yet.
    fn new(folder: &Path) -> Self {
        let base_port = base_port().to_string();
        Self::start(folder, &["--nodes", "3", "--k", "2", "--base-port", &base_port])
    }

    /// The lab that is in the folder, as it was left.
    fn again(folder: &Path) -> Self {
        Self::start(folder, &[])
    }

    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let said = folder.with_extension("said");
        let mut process = Command::new(CAUSEWAY)
            .env_clear()
            .args(["lab", "--json", "--dir"])
            .arg(folder)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(
                std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&said)
                    .expect("is opened"),
            )
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("is piped");
        // Ends without a line when the lab gives up, which it does by itself.
        BufReader::new(stdout).read_line(&mut line).expect("is text");
        let mut lab = Self {
            process: Process(process),
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

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).expect("is text")
    }

    /// Stops it as a service manager does, and sees that all is well and nothing is left.
    fn stop(mut self) {
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

/// Below the ports that the kernel gives to clients, and another one for each test, also of other runs at
/// the same time; the lab itself passes over those that are taken.
fn base_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let of_run = u16::try_from(std::process::id() % 200).expect("is below 200");
    12_000 + of_run * 100 + NEXT.fetch_add(10, Ordering::Relaxed)
}

#[track_caller]
#[expect(clippy::disallowed_methods, reason = "real processes take real time")]
fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(POLL);
    }
}

fn kill(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("is not 0");
    kill_process(pid, signal).expect("it runs");
}

/// Whether a process is there; one that has ended and that nobody has asked about yet is not.
fn lives(pid: i32) -> bool {
    let there = test_kill_process(Pid::from_raw(pid).expect("is not 0")).is_ok();
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    there && !state.contains(") Z ")
}

/// Runs a client command against one node.
fn ask(node: &Node, arguments: &[&str]) -> Output {
    let mut command = Command::new(CAUSEWAY);
    let command = command
        .env_clear()
        .args(arguments)
        .args(["--node", &node.address]);
    command.stdin(Stdio::null()).output().expect("the program starts")
}

/// What the command prints; it must have done what it was told.
#[track_caller]
fn done(node: &Node, arguments: &[&str]) -> String {
    let output = ask(node, arguments);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?} at {}: {out}{err}",
        node.address
    );
    out.into_owned()
}

/// What a read prints. A node may say that it cannot answer for now (a busy machine is silent for longer
/// than nodes wait for each other), but never that there is no such key.
#[track_caller]
fn read(node: &Node, arguments: &[&str]) -> Option<String> {
    let output = ask(node, arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Some(1) if complaint.contains("503") => None,
        code => panic!("{arguments:?} at {}: {code:?}, {complaint}", node.address),
    }
}

fn keys_held(node: &Node) -> Option<u64> {
    let output = ask(node, &["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).ok()?;
    status["keys"].as_u64()
}

#[test]
fn a_key_outlives_a_killed_node_and_the_lab() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab_folder = folder.path().join("lab");
    let session = folder.path().join("session");
    let session = session.to_str().expect("is text");

    let lab = Lab::new(&lab_folder);
    let [first, second, proxy] = &lab.nodes[..] else {
        panic!("{:?}", lab.nodes);
    };
    let roles = [first, second, proxy].map(|node| node.role.as_str());
    assert_eq!(roles, ["replica", "replica", "proxy"]);

    done(first, &["put", "x", "1", "--session", session]);
    let get = || read(proxy, &["get", "x", "--session", session]);
    assert_eq!(wait_for("the proxy's answer", get), "1");
    // The write is acknowledged with one copy if the machine is too busy for a second one in time.
    wait_for("the second copy", || keys_held(second).filter(|keys| *keys == 1));

    kill(first.pid, Signal::KILL);
    for survivor in [proxy, second] {
        let get = || read(survivor, &["get", "x", "--session", session]);
        assert_eq!(wait_for("a survivor's answer", get), "1");
    }
    wait_for("the news", || lab.said().contains("has ended").then_some(()));
    let before = lab.nodes.clone();
    lab.stop();

    let lab = Lab::again(&lab_folder);
    for (node, before) in lab.nodes.iter().zip(&before) {
        assert_eq!((&node.address, &node.role), (&before.address, &before.role));
        let get = || read(node, &["get", "x", "--session", session]);
        assert_eq!(wait_for("an answer", get), "1");
    }
    lab.stop();
}

#[test]
fn a_killed_lab_leaves_no_node_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab_folder = folder.path().join("lab");
    let mut lab = Lab::new(&lab_folder);
    done(&lab.nodes[0], &["put", "x", "1"]);

    lab.process.signal(Signal::KILL);
    assert_eq!(lab.process.ended().code(), None);
    wait_for("the end of every node", || {
        lab.nodes.iter().all(|node| !lives(node.pid)).then_some(())
    });

    let lab = Lab::again(&lab_folder);
    assert_eq!(done(&lab.nodes[0], &["get", "x"]), "1");
    lab.stop();
}

#[test]
fn the_command_that_is_shown_starts_a_killed_node_again() {
    let folder = tempfile::tempdir().expect("a folder");
    // With a blank, which the command must quote.
    let lab = Lab::new(&folder.path().join("my lab"));
    let node = &lab.nodes[1];
    kill(node.pid, Signal::KILL);
    let command = wait_for("the command", || {
        let said = lab.said();
        let line = said.lines().find(|line| line.contains("serve --ipport"))?;
        Some(line.trim().to_owned())
    });

    let restarted = Command::new("/bin/sh")
        .args(["-c", &format!("exec {command}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the shell starts");
    let mut restarted = Process(restarted);
    wait_for("the news", || {
        lab.said()
            .contains(&format!("{} answers again", node.address))
            .then_some(())
    });
    done(node, &["put", "x", "1"]);
    restarted.signal(Signal::TERM);
    assert_eq!(restarted.ended().code(), Some(0));
    lab.stop();
}

#[test]
fn a_spare_waits_to_be_added_and_still_does_when_the_lab_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab_folder = folder.path().join("lab");
    let base_port = base_port().to_string();
    let arguments = [
        "--nodes",
        "2",
        "--k",
        "2",
        "--spare",
        "2",
        "--base-port",
        &base_port,
    ];
    let mut lab = Lab::start(&lab_folder, &arguments);
    let addresses: Vec<String> = lab.spares.iter().map(|spare| spare.address.clone()).collect();
    for _ in 0..2 {
        assert_eq!((lab.nodes.len(), lab.spares.len()), (2, 2));
        for (spare, address) in lab.spares.iter().zip(&addresses) {
            assert_eq!((spare.role.as_str(), &spare.address), ("waiting", address));
            let view = done(spare, &["view"]);
            assert!(view.contains("in no view"), "{view}");
            let put = ask(spare, &["put", "x", "1"]);
            assert_eq!(put.status.code(), Some(1), "a spare takes no keys");
        }
        let view = done(&lab.nodes[0], &["view"]);
        assert!(
            view.contains(&lab.nodes[1].address) && !view.contains(&addresses[0]),
            "{view}"
        );
        lab.stop();
        lab = Lab::again(&lab_folder);
    }
    lab.stop();
}

#[test]
fn a_bench_counts_what_it_asked_and_what_was_answered_wrongly() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Lab::new(&folder.path().join("lab"));
    let node = &lab.nodes[2];
    let bench = ["bench", "--clients", "2", "--seconds", "1", "--json"];
    let with = |more: &[&'static str]| [&bench[..], more].concat();

    let told = done(node, &with(&["--keys", "20", "--fill", "--each-second"]));
    let parts: Vec<Value> = told.lines().map(|line| line.parse().expect("is JSON")).collect();
    let [filled, ran] = &parts[..] else {
        panic!("{told}");
    };
    assert_eq!(
        (&filled["part"], &filled["waits"]["requests"]),
        (&"fill".into(), &20.into())
    );
    assert_eq!(
        (&ran["failed"], &ran["reasons"]),
        (&0.into(), &Value::Array(Vec::new()))
    );
    let seconds = ran["each_second"].as_array().expect("is a list");
    let of_seconds = seconds
        .iter()
        .map(|second| second["requests"].as_u64().expect("a number"));
    assert_eq!(ran["waits"]["requests"].as_u64(), Some(of_seconds.sum()));

    // Half of these keys were never written, and it is said that all were.
    let output = ask(node, &with(&["--keys", "40", "--filled", "--writes", "0"]));
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    let reason = told["reasons"][0].as_str().expect("a reason is given");
    assert!(reason.contains("no such key"), "{reason}");
    lab.stop();
}

#[test]
fn a_bench_leaves_a_history_that_can_be_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Lab::new(&folder.path().join("lab"));
    let file = folder.path().join("history");
    let path = file.to_str().expect("is text");
    let all: Vec<&str> = lab.nodes.iter().map(|node| node.address.as_str()).collect();
    let nodes = all.join(",");
    let bench = [
        "bench",
        "--clients",
        "2",
        "--keys",
        "8",
        "--seconds",
        "1",
        "--fill",
    ];
    let output = Command::new(CAUSEWAY)
        .env_clear()
        .args(bench)
        .args(["--node", &nodes, "--history", path])
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let history: History = std::fs::read_to_string(&file)
        .expect("is text")
        .parse()
        .expect("is a history");
    let verdict = judge(&history, &Rules::default());
    assert!(verdict.is_clean(), "{}", verdict.explain(&history));
    assert!(
        verdict.counts.acknowledged > 8 && verdict.counts.bound > 8,
        "{verdict}"
    );
    lab.stop();
}

#[test]
fn a_bench_that_is_interrupted_tells_what_it_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Lab::new(&folder.path().join("lab"));
    let node = &lab.nodes[0];
    let mut bench = Command::new(CAUSEWAY)
        .env_clear()
        .args([
            "bench",
            "--seconds",
            "600",
            "--keys",
            "10",
            "--json",
            "--node",
            &node.address,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .map(Process)
        .expect("the program starts");
    wait_for("its first write", || keys_held(node).filter(|keys| *keys > 0));
    bench.signal(Signal::INT);
    assert_eq!(bench.ended().code(), Some(0));
    let told = std::io::read_to_string(bench.0.stdout.take().expect("is piped")).expect("is text");
    let told: Value = told.parse().expect("is JSON");
    assert!(told["waits"]["requests"].as_u64() > Some(0), "{told}");
    lab.stop();
}
