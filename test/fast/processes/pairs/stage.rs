//! Proxies and data servers as processes, and a client that speaks to them.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::running::Running;
use crate::waiting::{PATIENCE, wait_for};

/// The processes of one test have an address of the machine's own to themselves: whatever else runs
/// beside them, a port that one of them had is free when it is started again.
pub(crate) struct Stage {
    folder: TempDir,
    ip: String,
}

/// A process and where it listens.
pub(crate) struct Process {
    child: Running,
    pub(crate) address: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
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

    /// Starts a data server, or starts it again with what it kept.
    pub(crate) fn data_server(&self, port: u16) -> Process {
        self.data_server_with(port, port)
    }

    /// Starts a data server with what the one on another port kept.
    pub(crate) fn data_server_with(&self, port: u16, kept: u16) -> Process {
        self.data_server_on(&self.address(port), port, kept)
    }

    /// Starts a data server that is reached by every address of this machine.
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

    /// What a process said on standard error, over all its starts.
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

    /// Starts a proxy of the servers with these names, which may refuse them.
    pub(crate) fn start_proxy(&self, port: u16, servers: &str) -> Process {
        self.start(&self.address(port), port, &["proxy", "--servers", servers])
    }

    fn start(&self, listen: &str, port: u16, arguments: &[&str]) -> Process {
        let address = self.address(port);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join(format!("{port}.log")));
        let child = Command::new(env!("CARGO_BIN_EXE_causeway"))
            .env_clear()
            .args(arguments)
            .args(["--listen", listen, "--exit-with-parent"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.expect("is opened"))
            .spawn()
            .expect("the program starts");
        Process {
            child: Running(child),
            address,
        }
    }
}

/// The port of the data server with a number.
pub(crate) fn port(number: usize) -> u16 {
    9001 + u16::try_from(number).expect("is small")
}

impl Process {
    pub(crate) fn wait_until_alive(&self) {
        wait_for("a process that answers", || {
            self.try_ask("GET", "/livez", "")
                .filter(|reply| reply.status == 200)
        });
    }

    /// One request on a connection of its own; nothing if there was no whole answer.
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

    /// Stores pairs, all of which must be taken.
    #[track_caller]
    pub(crate) fn set(&self, pairs: &Value) {
        let reply = self.ask("PUT", "/set", pairs);
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// The data of the values of string keys, in order.
    pub(crate) fn values(&self, keys: &[String]) -> Vec<Option<String>> {
        let asked: Vec<Value> = keys.iter().map(|key| string(key)).collect();
        let reply = self.ask("POST", "/fetch", &json!(asked));
        assert!([200, 206].contains(&reply.status), "{reply:?}");
        let pairs = reply.body.as_array().expect("is a list");
        let unavailable = pairs.iter().any(|pair| pair.get("error").is_some());
        assert!(!unavailable, "{reply:?}");
        pairs
            .iter()
            .map(|pair| pair["value"]["data"].as_str().map(str::to_owned))
            .collect()
    }

    /// How many pairs there are.
    pub(crate) fn len(&self) -> usize {
        let reply = self.get("/fetch");
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body.as_array().expect("is a list").len()
    }

    /// It lists so many servers, and no key is on its way to one of them.
    pub(crate) fn has_settled(&self, servers: usize) -> bool {
        let reply = self.get("/servers");
        let listed = reply.body.as_array().map(Vec::len);
        listed == Some(servers) && !reply.head.contains("causeway-moving")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// The end of a power cut.
    pub(crate) fn kill(self) {
        self.child.kill();
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.ended()
    }
}

/// One request, the way curl sends it: with the form type.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: &str) -> Option<Reply> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).ok()?;
    let mut reply = String::new();
    socket.read_to_string(&mut reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = serde_json::from_str(body).ok()?;
    let head = head.to_lowercase();
    Some(Reply { status, head, body })
}

pub(crate) fn string(data: &str) -> Value {
    json!({"encoding": "string", "data": data})
}

pub(crate) fn binary(data: &str) -> Value {
    json!({"encoding": "binary", "data": data})
}

pub(crate) fn pair(key: &str, value: &str) -> Value {
    json!({"key": string(key), "value": string(value)})
}

/// Keys with a prefix and a number.
pub(crate) fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

/// These keys, each with one value.
pub(crate) fn pairs(keys: &[String], value: &str) -> Value {
    keys.iter().map(|key| pair(key, value)).collect()
}

/// Sets the same keys to one number after the other until it is told to stop; the last that was confirmed.
/// `way` is `/set`, as it is or atomic.
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
