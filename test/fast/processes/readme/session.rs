//! Runs the commands of a document in a folder of its own, like a user who has this program in
//! `target/release`.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use super::compare::{ANYTHING, is_shown, masked, payloads};
use super::document::Command;
use crate::support::ports::{BLOCK, free_ports};
use crate::support::running::Running;
use crate::support::waiting::wait_for;

/// The path of the program in the documents.
const PROGRAM: &str = "target/release/causeway";
const CARGO_RUN: &str = "cargo run --release --";

/// Commands that serve until they are stopped. A user gives each a terminal.
const SERVERS: [&str; 2] = ["causeway lab", "causeway serve"];

/// Parts of replies while a node is silent, which on a busy machine happens to each of them. The
/// processes of a pair that do not reach each other in time do not find each other's keys.
const SIGNS_OF_A_FROZEN_NODE: [&str; 11] = [
    r#""code":"unavailable""#,
    r#""code":"behind""#,
    r#""code":"starting""#,
    r#""code":"not_in_view""#,
    r#""code":"not_ready""#,
    r#""code":"no_majority""#,
    r#""code":"unreachable_node""#,
    r#""code":"unknown_outcome""#,
    r#""code":"key_not_found""#,
    " away",
    "not ready",
];

pub(crate) struct Session {
    // Dropped from the top: servers end before their folder.
    servers: Vec<Server>,
    folder: TempDir,
    /// Ports in the document, and those of this run.
    ports: Vec<(String, String)>,
    /// Payloads in the document, and those of this run.
    payloads: Vec<(String, String)>,
}

struct Server {
    process: Running,
    said: PathBuf,
}

struct Printed {
    text: String,
    complaints: String,
    is_done: bool,
}

impl Session {
    pub(crate) fn new(shown_ports: &[u16]) -> Self {
        // On the program's file system, so that a hard link reaches it.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let program = folder.path().join(PROGRAM);
        std::fs::create_dir_all(program.parent().expect("has one")).expect("a folder");
        // A symbolic link would reveal the program's real path.
        std::fs::hard_link(env!("CARGO_BIN_EXE_causeway"), program).expect("is on the same disk");
        std::fs::write(folder.path().join(".curlrc"), "silent\nshow-error\n").expect("is written");
        assert!(shown_ports.len() <= usize::from(BLOCK));
        let ports = shown_ports.iter().zip(free_ports()..);
        Self {
            servers: Vec::new(),
            folder,
            ports: ports
                .map(|(shown, ours)| (shown.to_string(), ours.to_string()))
                .collect(),
            payloads: Vec::new(),
        }
    }

    /// Starts what a document assumes to be running.
    pub(crate) fn start(&mut self, text: &str) {
        let command = Command {
            line: 0,
            text: text.to_owned(),
            shown: "…\nCtrl-C stops the nodes.…".into(),
        };
        self.run(&command).expect("it starts");
    }

    /// Runs a command until it prints what is shown. It retries only failures that a busy machine and a
    /// silent node explain: each command of the documents may be repeated.
    pub(crate) fn run(&mut self, command: &Command) -> Result<(), String> {
        let text = command.text.replacen(CARGO_RUN, "causeway", 1);
        if SERVERS.iter().any(|server| text.starts_with(server)) {
            return self.serve(&text, &command.shown);
        }
        if let Some(name) = text.strip_prefix("cat ") {
            self.write_file(name, &command.shown);
        }
        let text = swapped(&swapped(&text, &self.payloads), &self.ports);
        let mut before = String::new();
        wait_for("a command that succeeds", || {
            let printed = self.print(&text);
            if printed.is_done && is_shown(&command.shown, &printed.text) {
                let new = payloads(&command.shown).into_iter().zip(payloads(&printed.text));
                self.payloads.extend(new);
                return Some(Ok(()));
            }
            let problem = difference(&command.shown, &printed);
            if !printed.may_pass(&command.shown) {
                return Some(Err(problem));
            }
            // Shown only if the test fails in the end.
            if problem != before {
                println!("{problem}\nonce more:");
                before = problem;
            }
            None
        })
    }

    /// Creates a file that a document shows.
    fn write_file(&self, name: &str, shown: &str) {
        let text = swapped(shown, &self.ports);
        std::fs::write(self.folder.path().join(name), text).expect("is written");
    }

    /// The text with the ports of the document.
    fn as_shown(&self, text: &str) -> String {
        let back = self
            .ports
            .iter()
            .map(|(shown, ours)| (ours.clone(), shown.clone()));
        swapped(text, &back.collect::<Vec<_>>())
    }

    fn shell(&self, text: &str) -> Process {
        let mut shell = Process::new("bash");
        let home = self.folder.path();
        let ours = home.join(PROGRAM);
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin",
            ours.parent().expect("has one").display()
        );
        let shell_text = format!("set -o pipefail; {text}");
        shell
            .env_clear()
            .env("PATH", path)
            .env("HOME", home)
            .current_dir(home);
        shell.args(["-c", &shell_text]).stdin(Stdio::null());
        shell
    }

    fn print(&self, text: &str) -> Printed {
        let mut shell = self.shell(text);
        let mut process = Running::start(shell.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let status = process.ended();
        let out = process.0.stdout.take().map(std::io::read_to_string);
        let err = process.0.stderr.take().map(std::io::read_to_string);
        let [out, err] = [out, err].map(|text| text.expect("is piped").expect("is text"));
        Printed {
            text: self.as_shown(&out),
            complaints: err,
            is_done: status.success(),
        }
    }

    /// Leaves a server running as soon as it has printed what is shown, on either of its two outputs.
    fn serve(&mut self, text: &str, shown: &str) -> Result<(), String> {
        let port = &self.ports.first().expect("the document has ports").1;
        let text = match text.starts_with("causeway lab") {
            true => format!("{text} --base-port {port}"),
            false => text.to_owned(),
        };
        let said = self
            .folder
            .path()
            .join(format!("server-{}.said", self.servers.len()));
        let mut file = OpenOptions::new();
        let file = file.create(true).append(true).open(&said).expect("is opened");
        let mut shell = self.shell(&format!("exec {text}"));
        let both = file.try_clone().expect("a second handle");
        let mut server = Server {
            process: Running::start(shell.stdout(both).stderr(file)),
            said,
        };
        let outcome = wait_for("a server that says what is shown", || {
            let printed = Printed {
                text: self.as_shown(&server.says()),
                complaints: String::new(),
                is_done: true,
            };
            if shown.is_empty() || is_shown(shown, &printed.text) {
                return Some(Ok(()));
            }
            let has_ended = server.process.0.try_wait().expect("is a child").is_some();
            let ends = |text: &str| text.matches('\n').count();
            let says_all = !shown.contains(ANYTHING) && ends(&printed.text) >= ends(shown);
            (has_ended || says_all).then(|| Err(difference(shown, &printed)))
        });
        self.servers.push(server);
        outcome
    }

    /// The output of the servers.
    pub(crate) fn background(&self) -> String {
        let said = self
            .servers
            .iter()
            .map(|server| format!("\n\na server said:\n{}", server.says()));
        said.collect()
    }

    /// Stops the servers as a user does. They would end without it, too.
    pub(crate) fn stop(mut self) {
        for server in &mut self.servers {
            server.process.signal(Signal::INT);
            assert_eq!(server.process.ended().code(), Some(0), "{}", server.says());
        }
    }
}

impl Server {
    fn says(&self) -> String {
        std::fs::read_to_string(&self.said).expect("is text")
    }
}

impl Printed {
    /// True if a retry may succeed although the document is right: there was no answer yet, an error
    /// that is not shown and that a frozen node explains, or a view of the cluster with a node missing.
    fn may_pass(&self, shown: &str) -> bool {
        let is_new = |sign: &str| self.text.contains(sign) && !shown.contains(sign);
        let is_error = SIGNS_OF_A_FROZEN_NODE.iter().any(|sign| is_new(sign));
        let has_no_answer = !self.is_done && self.text.is_empty();
        let is_refused = ["503", "504", "connect"]
            .iter()
            .any(|sign| self.complaints.contains(sign));
        is_error || has_no_answer && is_refused
    }
}

fn difference(shown: &str, printed: &Printed) -> String {
    format!(
        "--- shown\n{}\n--- printed\n{}\n{}--- shown, masked\n{}\n--- printed, masked\n{}",
        shown,
        printed.text,
        printed.complaints,
        masked(shown),
        masked(&printed.text),
    )
}

/// Replaces each word of `words` by its counterpart, all at once: replacements are not replaced again.
fn swapped(text: &str, words: &[(String, String)]) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let mut swapped = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let start = rest.find(is_word).unwrap_or(rest.len());
        let (between, tail) = rest.split_at(start);
        let end = tail.find(|c| !is_word(c)).unwrap_or(tail.len());
        let (word, after) = tail.split_at(end);
        let other = words.iter().find(|(one, _)| one == word);
        swapped = swapped + between + other.map_or(word, |(_, other)| other);
        rest = after;
    }
    swapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_swapped_whole_and_once() {
        let words = [("8081", "8082"), ("8082", "9")].map(|(one, other)| (one.to_owned(), other.to_owned()));
        assert_eq!(
            swapped("a:8081,b:8082;18081 8081-", &words),
            "a:8082,b:9;18081 8081-"
        );
    }
}
