//! Runs Docker through its command line: every step is a command that a person can repeat.
//!
//! Keeps a journal of the commands of one cluster. Every object is created with the labels of the run
//! and of the cluster, and removed by them.
#![expect(
    clippy::disallowed_methods,
    reason = "the run id and the image come from the environment of the one who runs the tests"
)]

use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex};

use crate::patience::Stopwatch;

/// Part of all names of this process. `scripts/check` sets it, to remove the leftovers of a killed run.
static RUN: LazyLock<String> = LazyLock::new(|| {
    std::env::var("CAUSEWAY_TEST_RUN").unwrap_or_else(|_| format!("t{}", std::process::id()))
});

/// The image under test: the one in the environment, or one built now from the current sources.
static IMAGE: LazyLock<String> = LazyLock::new(|| {
    if let Ok(named) = std::env::var("CAUSEWAY_IMAGE") {
        return named;
    }
    let tag = "causeway:test";
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/image");
    let built = Command::new(script)
        .args(["--profile", "release", "--tag", tag])
        .output();
    let built = built.expect("scripts/image can be started");
    assert!(
        built.status.success(),
        "scripts/image: {}",
        String::from_utf8_lossy(&built.stderr)
    );
    tag.into()
});

pub(crate) fn image() -> &'static str {
    &IMAGE
}

/// The output of a command; on failure the command, as one would type it, and its complaint.
fn run(command: &str, arguments: &[&str]) -> Result<Output, String> {
    let line = format!(
        "{command} {}",
        arguments.iter().map(|a| quoted(a)).collect::<Vec<_>>().join(" ")
    );
    let output = Command::new(command)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| format!("$ {line}\n{error}; is {command} installed?"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(format!(
            "$ {line}\n{}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        )),
    }
}

fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@".contains(c);
    match !argument.is_empty() && argument.chars().all(plain) {
        true => argument.into(),
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    }
}

/// The result of a container that ran to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a container of the image in the foreground, with no network, until it ends.
pub(crate) fn run_to_end(options: &[&str], arguments: &[&str]) -> Ended {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let name = format!("causeway-{}-alone-{}", *RUN, NEXT.fetch_add(1, Ordering::Relaxed));
    let label = format!("causeway.run={}", *RUN);
    let mut words = vec!["run", "--name", &name, "--network=none", "--label", &label];
    words.extend_from_slice(options);
    words.push(image());
    words.extend_from_slice(arguments);
    // A container that refuses to start must end by itself; `timeout` ends one that runs on by mistake.
    let output = Command::new("timeout")
        .args(["--kill-after=2", "20", "docker"])
        .args(&words)
        .stdin(Stdio::null())
        .output();
    // Removed here and not by `--rm`: when `timeout` has to end docker, the container lives on.
    if let Err(why) = run("docker", &["rm", "--force", &name]) {
        eprintln!("left behind: {why}");
    }
    let output = output.expect("docker and timeout can be started");
    Ended {
        exit: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// One cluster's part of Docker: its name, its network, its journal.
#[derive(Debug)]
pub(crate) struct Corner {
    name: String,
    /// The first three bytes of every address in it, such as `10.77.3`.
    pub(crate) prefix: String,
    journal: Mutex<Vec<String>>,
    since: Stopwatch,
}

impl Corner {
    /// Creates a network on an unused subnet.
    pub(crate) fn open() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut corner = Self {
            name: format!("causeway-{}-{number}", *RUN),
            prefix: String::new(),
            journal: Mutex::default(),
            since: Stopwatch::start(),
        };
        // Start at a place of its own, so that two concurrent runs seldom want the same subnet.
        let first = u32::from(number) + std::process::id().wrapping_mul(37);
        for candidate in (0..4096).map(|step| first.wrapping_add(step) % (64 * 256)) {
            corner.prefix = format!("10.{}.{}", 64 + candidate / 256, candidate % 256);
            match corner.create_network() {
                Err(why) if why.contains("overlaps") || why.contains("already exists") => continue,
                Err(why) => panic!("{why}"),
                Ok(_) => return corner,
            }
        }
        panic!("no free subnet in 10.64.0.0/10");
    }

    fn create_network(&self) -> Result<String, String> {
        let subnet = format!("{}.0/24", self.prefix);
        let mut words = vec!["network", "create", "--subnet", &subnet];
        let labels = self.labels();
        words.extend(labels.iter().flat_map(|label| ["--label", label]));
        words.push(&self.name);
        self.try_docker(&words)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name of a container, also for the others on its network.
    pub(crate) fn node(&self, index: usize) -> String {
        format!("{}-n{}", self.name, index + 1)
    }

    pub(crate) fn address(&self, index: usize) -> String {
        format!("{}.{}:8080", self.prefix, 21 + index)
    }

    pub(crate) fn labels(&self) -> [String; 2] {
        [
            format!("causeway.run={}", *RUN),
            format!("causeway.cluster={}", self.name),
        ]
    }

    /// Runs a docker command and returns its output; the test fails if the command does.
    #[track_caller]
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        self.try_docker(arguments).unwrap_or_else(|why| panic!("{why}"))
    }

    pub(crate) fn try_docker(&self, arguments: &[&str]) -> Result<String, String> {
        self.host("docker", arguments)
    }

    /// Runs a command on this machine, and records it.
    pub(crate) fn host(&self, command: &str, arguments: &[&str]) -> Result<String, String> {
        let words: Vec<_> = arguments.iter().map(|word| quoted(word)).collect();
        let line = format!(
            "{:7.2}s  {command} {}",
            self.since.elapsed().as_secs_f64(),
            words.join(" ")
        );
        self.journal.lock().expect("no panic while it is held").push(line);
        let output = run(command, arguments)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Prints the commands and the logs of every container of this cluster.
    pub(crate) fn tell(&self) {
        let journal = self
            .journal
            .lock()
            .map(|lines| lines.join("\n"))
            .unwrap_or_default();
        eprintln!("\n==== what was done to {} ====\n{journal}", self.name);
        let mine = format!("label=causeway.cluster={}", self.name);
        let listed = run(
            "docker",
            &["ps", "--all", "--filter", &mine, "--format", "{{.Names}}"],
        );
        let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        for container in listed.unwrap_or_default().lines() {
            let state = run("docker", &["inspect", "--format", "{{json .State}}", container]);
            let logs = run("docker", &["logs", "--timestamps", "--tail=200", container]);
            if let (Ok(state), Ok(logs)) = (state, logs) {
                eprintln!(
                    "==== {container} ==== {}",
                    String::from_utf8_lossy(&state.stdout).trim_end()
                );
                eprint!(
                    "{}{}",
                    String::from_utf8_lossy(&logs.stdout),
                    String::from_utf8_lossy(&logs.stderr)
                );
            }
        }
    }
}

impl Drop for Corner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        // By label, not from memory: a container whose creation failed half-way is removed, too.
        let mine = format!("label=causeway.cluster={}", self.name);
        for (list, remove) in [
            (
                vec!["ps", "--all", "--quiet", "--filter", &mine],
                vec!["rm", "--force", "--volumes"],
            ),
            (
                vec!["volume", "ls", "--quiet", "--filter", &mine],
                vec!["volume", "rm", "--force"],
            ),
            (
                vec!["network", "ls", "--quiet", "--filter", &mine],
                vec!["network", "rm"],
            ),
        ] {
            let listed = run("docker", &list)
                .map(|output| output.stdout)
                .unwrap_or_default();
            let listed = String::from_utf8_lossy(&listed).into_owned();
            let removal: Vec<_> = remove.into_iter().chain(listed.lines()).collect();
            if let (false, Err(why)) = (listed.is_empty(), run("docker", &removal)) {
                eprintln!("left behind: {why}");
            }
        }
    }
}
