//! Runs proxies and data servers as processes, and a client of them.

use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::pairs::{asked, found, pairs};
use crate::support::request::{Reply, Request, until_ok};
use crate::support::running::{CAUSEWAY, Running, command};
use crate::support::waiting::PATIENCE;

/// The processes of one test have a loopback address to themselves: a port that one of them had is free
/// when it restarts, whatever else runs at the same time.
pub(crate) struct Stage {
    folder: TempDir,
    ip: String,
}

/// A process and the address on which it listens.
pub(crate) struct Process {
    child: Running,
    pub(crate) address: String,
}

impl Stage {
    pub(crate) fn new() -> Self {
        static STAGES: AtomicU8 = AtomicU8::new(1);
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        Self {
            folder: TempDir::new().expect("a folder"),
            ip: format!("127.{}.{}.{number}", 1 + (process >> 8) % 250, process % 256),
        }
    }

    pub(crate) fn address(&self, port: u16) -> String {
        format!("{}:{port}", self.ip)
    }

    /// Starts a data server, or restarts it with its data.
    pub(crate) fn data_server(&self, port: u16) -> Process {
        self.data_server_with(port, port)
    }

    /// Starts a data server with the data of the one on another port.
    pub(crate) fn data_server_with(&self, port: u16, kept: u16) -> Process {
        self.data_server_on(&self.address(port), port, kept)
    }

    /// Starts a data server that listens on every address of this machine.
    pub(crate) fn data_server_everywhere(&self, port: u16) -> Process {
        self.data_server_on(&format!("0.0.0.0:{port}"), port, port)
    }

    fn data_server_on(&self, listen: &str, port: u16, kept: u16) -> Process {
        let dir = self.folder.path().join(kept.to_string());
        let dir = dir.to_str().expect("is text").to_owned();
        let process = self.start(listen, port, &["data-server", "--data-dir", &dir]);
        process.wait_until_alive();
        process
    }

    /// What a process wrote to standard error, over all its starts.
    pub(crate) fn said_on(&self, port: u16) -> String {
        let log = self.folder.path().join(format!("{port}.log"));
        std::fs::read_to_string(log).expect("is text")
    }

    pub(crate) fn data_servers<const COUNT: usize>(&self) -> [Process; COUNT] {
        std::array::from_fn(|n| self.data_server(port(n)))
    }

    /// Starts a proxy of the data servers with these numbers.
    pub(crate) fn proxy(&self, port: u16, servers: &[usize]) -> Process {
        let servers: Vec<String> = servers.iter().map(|n| self.address(self::port(*n))).collect();
        let process = self.start_proxy(port, &servers.join(","));
        process.wait_until_alive();
        process
    }

    /// Starts a proxy of the servers with these names, which it may reject.
    pub(crate) fn start_proxy(&self, port: u16, servers: &str) -> Process {
        self.start(&self.address(port), port, &["proxy", "--servers", servers])
    }

    fn start(&self, listen: &str, port: u16, arguments: &[&str]) -> Process {
        let address = self.address(port);
        let mut command = command(CAUSEWAY);
        command
            .args(arguments)
            .args(["--listen", listen, "--exit-with-parent"]);
        let log = self.folder.path().join(format!("{port}.log"));
        let child = Running::start_logging(command.stdin(Stdio::piped()), &log);
        Process { child, address }
    }
}

/// The port of the data server with a number.
pub(crate) fn port(number: usize) -> u16 {
    9001 + u16::try_from(number).expect("is small")
}

impl Process {
    pub(crate) fn wait_until_alive(&self) {
        until_ok(&*self.address, "/livez");
    }

    /// One request on a connection of its own; `None` if there was no complete answer.
    pub(crate) fn try_ask(&self, method: &str, path: &str, body: &str) -> Option<Reply> {
        ask(&self.address, method, path, body)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Reply {
        let reply = self.try_ask(method, path, &body.to_string());
        reply.unwrap_or_else(|| panic!("{method} {path} at {}: no answer", self.address))
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        let reply = self.try_ask("GET", path, "");
        reply.unwrap_or_else(|| panic!("GET {path} at {}: no answer", self.address))
    }

    /// Stores pairs, all of which must be accepted.
    #[track_caller]
    pub(crate) fn set(&self, pairs: &Value) {
        let reply = self.ask("PUT", "/set", pairs);
        assert_eq!(reply.status, 200, "{reply}");
    }

    /// The data of the values of string keys, in order.
    pub(crate) fn values(&self, keys: &[String]) -> Vec<Option<String>> {
        let reply = self.ask("POST", "/fetch", &asked(keys));
        assert!([200, 206].contains(&reply.status), "{reply}");
        found(&reply.json()).unwrap_or_else(|| panic!("some are not to be had: {reply}"))
    }

    /// The number of pairs.
    pub(crate) fn len(&self) -> usize {
        let reply = self.get("/fetch");
        assert_eq!(reply.status, 200, "{reply}");
        reply.list().len()
    }

    /// True if it lists this many servers, and no key is moving to one of them.
    pub(crate) fn has_settled(&self, servers: usize) -> bool {
        let reply = self.get("/servers");
        let listed = reply.json().as_array().map(Vec::len);
        listed == Some(servers) && reply.header("causeway-moving").is_none()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(self) {
        self.child.kill();
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.ended()
    }
}

/// One request, as curl sends it: with the form type.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: &str) -> Option<Reply> {
    let request = Request::new(method, path).body("application/x-www-form-urlencoded", body);
    request.deadline(PATIENCE).send(address).ok()
}

/// Sets the same keys to increasing numbers until told to stop; returns the last confirmed one. `way` is
/// `/set`, plain or atomic.
pub(crate) fn set_on(
    address: &str,
    way: &str,
    keys: &[String],
    stop: &AtomicBool,
    next: &AtomicUsize,
) -> usize {
    let mut confirmed = 0;
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let body = pairs(keys, &number.to_string()).to_string();
        if ask(address, "PUT", way, &body).is_some_and(|reply| reply.status == 200) {
            confirmed = number;
        }
    }
    confirmed
}
