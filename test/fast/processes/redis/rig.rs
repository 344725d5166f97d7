//! Drives a shell through pipes, with its servers as processes, and reads the servers directly.

use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::ports::{BLOCK, free_ports};
use crate::support::running::{CAUSEWAY, Running};

/// A shell with ports and a folder for temporary files of its own.
pub(crate) struct Shell {
    process: Running,
    commands: Option<ChildStdin>,
    answers: Box<dyn BufRead + Send>,
    pub(crate) base_port: u16,
    folder: TempDir,
}

impl Shell {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::on(free_ports(), arguments)
    }

    pub(crate) fn on(base_port: u16, arguments: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut command = command(base_port, folder.path(), arguments);
        let mut process = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        Self {
            commands: process.0.stdin.take(),
            answers: Box::new(BufReader::new(process.0.stdout.take().expect("is piped"))),
            process,
            base_port,
            folder,
        }
    }

    /// A shell with running servers.
    pub(crate) fn up(servers: u16, capacity: u64, level: u16, arguments: &[&str]) -> Self {
        let mut shell = Self::start(arguments);
        shell.bring_up(servers, capacity, level);
        shell
    }

    #[track_caller]
    pub(crate) fn bring_up(&mut self, servers: u16, capacity: u64, level: u16) {
        let answer = self.ask(&format!("bringUp({servers},{capacity},{level})"));
        let ports = self
            .ports(servers)
            .fold("ok".to_owned(), |line, port| format!("{line} {port}"));
        assert_eq!(answer, ports);
    }

    /// The first ports, one for each server.
    pub(crate) fn ports(&self, servers: u16) -> Range<u16> {
        self.base_port..self.base_port + servers
    }

    /// The line that answers a command.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(&format!("{command}\n"));
        self.answer()
    }

    #[track_caller]
    pub(crate) fn tell(&mut self, text: &str) {
        let commands = self.commands.as_mut().expect("is open");
        commands.write_all(text.as_bytes()).expect("the shell listens");
    }

    #[track_caller]
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("is text");
        assert!(line.ends_with('\n'), "no answer but {line:?}");
        line.trim_end_matches('\n').to_owned()
    }

    /// Sends commands, and expects these answers.
    #[track_caller]
    pub(crate) fn expect(&mut self, dialogue: &[(&str, &str)]) {
        for (command, answer) in dialogue {
            assert_eq!(self.ask(command), *answer, "{command}");
        }
    }

    #[track_caller]
    pub(crate) fn status(&mut self) -> Value {
        self.ask("status").parse().expect("is JSON")
    }

    /// The process id of the server on a port.
    #[track_caller]
    pub(crate) fn pid_of(&mut self, port: u16) -> i32 {
        let status = self.status();
        let mut servers = status["servers"].as_array().expect("a list").iter();
        let server = servers.find(|server| server["port"] == port).expect("is listed");
        i32::try_from(server["pid"].as_i64().expect("a number")).expect("is a process")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Closes the pipe of the answers, as a reader that has seen enough.
    pub(crate) fn stop_reading(&mut self) {
        self.answers = Box::new(std::io::empty());
    }

    pub(crate) fn close_input(&mut self) {
        self.commands = None;
    }

    /// Waits for its end, of any kind.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.process.ended()
    }

    /// It has ended with this code, and left nothing: no answer, no server, no file.
    #[track_caller]
    pub(crate) fn assert_ended(&mut self, code: i32) {
        assert_eq!(self.ended().code(), Some(code));
        let mut rest = String::new();
        self.answers.read_to_string(&mut rest).expect("is text");
        assert_eq!(rest, "");
        assert_eq!(servers_on(self.block()), [""; 0], "servers are left");
        self.assert_no_files();
    }

    #[track_caller]
    pub(crate) fn assert_no_files(&self) {
        let files = std::fs::read_dir(self.folder.path()).expect("can be listed");
        assert_eq!(files.count(), 0, "files are left");
    }

    pub(crate) fn block(&self) -> Range<u16> {
        self.base_port..self.base_port + BLOCK
    }
}

/// The program with these ports and arguments. It reacts to the end of its terminal, even if the
/// environment of the tests ignores SIGHUP.
pub(crate) fn command(base_port: u16, folder: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/env");
    command.args(["--default-signal=HUP", CAUSEWAY]);
    command
        .args(["redis", "--base-port", &base_port.to_string()])
        .args(arguments);
    command.env("TMPDIR", folder);
    command
}

/// The command lines of processes that are a server on one of these ports, or are about to become one.
pub(crate) fn servers_on(ports: Range<u16>) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("can be listed").flatten();
    // A zombie has no command line.
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    let is_on = |line: &str, port: u16| {
        // As a server titles itself, or as it is started.
        line.contains(&format!("127.0.0.1:{port} ")) || line.contains(&format!("--port {port} "))
    };
    let is_server = |line: &String| {
        line.contains("redis-server") && ports.clone().any(|port| is_on(&format!("{line} "), port))
    };
    lines.filter(is_server).collect()
}

/// A direct connection to a server, without the sharder.
pub(crate) fn inside(port: u16) -> redis::Connection {
    let client = redis::Client::open(("127.0.0.1", port)).expect("is an address");
    client.get_connection().expect("the server answers")
}

pub(crate) fn keys_in(port: u16) -> u64 {
    redis::cmd("DBSIZE")
        .query(&mut inside(port))
        .expect("is a number")
}

/// What each of these servers has for a key.
pub(crate) fn copies(ports: impl IntoIterator<Item = u16>, key: i64) -> Vec<i64> {
    let value = |port| -> Option<i64> {
        let mut get = redis::cmd("GET");
        get.arg(key)
            .query(&mut inside(port))
            .expect("is a number or nothing")
    };
    ports.into_iter().filter_map(value).collect()
}
