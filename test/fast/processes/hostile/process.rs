//! Runs a node as a cluster of its own, and one honest client of it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::ports::free_ports;
use crate::support::request::{Request, until_ok};
use crate::support::running::{CAUSEWAY, Running, command};

/// A wait beyond this time would never end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An honest client is answered within milliseconds; on a machine with other load, within this time. A
/// client that is shut out waits a minute, until the server closes other connections.
const PROMPT: Duration = Duration::from_secs(5);

pub(crate) struct Process {
    child: Running,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl Process {
    /// A cluster of one node, which serves.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_ports()));
        // Few open files, the default of many systems.
        let start = "ulimit -S -n 256 && exec \"$0\" serve --exit-with-parent";
        let mut command = command("/bin/sh");
        command.args(["-c", start, CAUSEWAY]).stdin(Stdio::piped());
        for name in ["IPPORT", "LISTEN", "VIEW"] {
            command.env(name, address.to_string());
        }
        command.env("K", "1").env("DATA_DIR", folder.path().join("data"));
        let process = Self {
            child: Running::start_logging(&mut command, &folder.path().join("log")),
            address,
            folder,
        };
        until_ok(address, "/readyz");
        process
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("is text")
    }

    /// The resident memory of the process.
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

    /// Its open files: connections, and a few more.
    pub(crate) fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.0.id());
        std::fs::read_dir(path).expect("the process runs").count()
    }

    /// A connection from another loopback address.
    pub(crate) async fn connect_from(&self, last_byte: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("there are file descriptors left");
        socket
            .bind(SocketAddr::from(([127, 0, 0, last_byte], 0)))
            .expect("is this machine's");
        let connected = tokio::time::timeout(PATIENCE, socket.connect(self.address)).await;
        connected.expect("is accepted").expect("is accepted")
    }

    /// An honest client: it gets an answer, and at once.
    pub(crate) fn ask(&self, method: &str, path: &str, form: &str) -> Value {
        let request = Request::new(method, path).body("application/x-www-form-urlencoded", form);
        let reply = request.deadline(PATIENCE).send(self.address);
        let reply = reply.unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.log()));
        let reply = reply.within(PROMPT);
        assert!([200, 201].contains(&reply.status), "{reply}");
        reply.json()
    }

    /// The state that attacks must not change.
    pub(crate) fn state(&self) -> Value {
        let mut status = self.ask("GET", "/status", "");
        let read = self.ask("GET", "/kv-store/kept", "");
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
