//! A node of a cluster of its own, and one honest client of it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::ports::free_ports;
use crate::running::Running;

/// Who waits longer waits for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An honest client's answer comes within milliseconds; on a machine that does other things too, within
/// this. Who is kept out waits a minute for others to be hung up on.
const PROMPT: Duration = Duration::from_secs(5);

pub(crate) struct Process {
    child: Running,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl Process {
    /// A cluster of one node, which serves.
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_ports()));
        let log = std::fs::File::create(folder.path().join("log")).expect("is opened");
        // Few open files, as many systems have it for processes that do not ask for more.
        let start = "ulimit -S -n 256 && exec \"$0\" serve --exit-with-parent";
        let child = Command::new("/bin/sh")
            .args(["-c", start, env!("CARGO_BIN_EXE_causeway")])
            .env_clear()
            .env("IPPORT", address.to_string())
            .env("LISTEN", address.to_string())
            .env("VIEW", address.to_string())
            .env("K", "1")
            .env("DATA_DIR", folder.path().join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let process = Self {
            child: Running(child),
            address,
            folder,
        };
        let began = Instant::now();
        while !process
            .try_ask("GET", "/readyz", "")
            .await
            .is_some_and(|reply| reply.starts_with("HTTP/1.1 200 "))
        {
            assert!(began.elapsed() < PATIENCE, "is not ready:\n{}", process.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("is text")
    }

    /// What the process has in memory.
    pub(crate) fn resident_bytes(&self) -> usize {
        let path = format!("/proc/{}/status", self.child.0.id());
        let status = std::fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        1024 * number
            .expect("is there")
            .trim()
            .parse::<usize>()
            .expect("is a number")
    }

    /// What it has open: connections, and a few more.
    pub(crate) fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.0.id());
        std::fs::read_dir(path).expect("the process runs").count()
    }

    /// A connection from an address of the machine's own.
    pub(crate) async fn connect_from(&self, last_byte: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("there are file descriptors left");
        socket
            .bind(SocketAddr::from(([127, 0, 0, last_byte], 0)))
            .expect("is this machine's");
        let connected = tokio::time::timeout(PATIENCE, socket.connect(self.address)).await;
        connected.expect("is accepted").expect("is accepted")
    }

    /// One request on a connection of its own; nothing if there was no whole answer.
    pub(crate) async fn try_ask(&self, method: &str, path: &str, form: &str) -> Option<String> {
        let mut socket = TcpStream::connect(self.address).await.ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut reply = String::new();
        socket.read_to_string(&mut reply).await.ok()?;
        Some(reply)
    }

    /// An honest client: its answer is there, and at once.
    pub(crate) async fn ask(&self, method: &str, path: &str, form: &str) -> Value {
        let began = Instant::now();
        let reply = tokio::time::timeout(PATIENCE, self.try_ask(method, path, form)).await;
        let reply = reply.ok().flatten();
        let reply = reply.unwrap_or_else(|| panic!("{method} {path}: no answer\n{}", self.log()));
        let took = began.elapsed();
        assert!(took <= PROMPT, "{method} {path} took {took:?}");
        let (head, body) = reply.split_once("\r\n\r\n").expect("is a reply");
        assert!(head.starts_with("HTTP/1.1 20"), "{method} {path}: {reply}");
        serde_json::from_str(body).expect("is JSON")
    }

    /// What must not change by what strangers do.
    pub(crate) async fn state(&self) -> Value {
        let mut status = self.ask("GET", "/status", "").await;
        let read = self.ask("GET", "/kv-store/kept", "").await;
        let lasting = [
            "epoch",
            "partitions",
            "proxies",
            "keys",
            "storage_failure",
            "incarnation",
        ];
        let fields = lasting.map(|name| (name.to_owned(), status[name].take()));
        let mut state: serde_json::Map<String, Value> = fields.into_iter().collect();
        state.insert("kept".into(), read["value"].clone());
        Value::Object(state)
    }
}
