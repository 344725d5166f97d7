//! The processes of one test: a master and servers on ports of their own, and clients of them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use causeway::apps::master_svr::decisions::{Beat, Layout, Server};
use causeway::apps::master_svr::messages::encode;

use crate::ports::free_ports;
use crate::running::Running;
use crate::waiting::wait_for;

pub(crate) const MASTER: &str = env!("CARGO_BIN_EXE_master-svr");
pub(crate) const SVR: &str = env!("CARGO_BIN_EXE_svr");
pub(crate) const CLT: &str = env!("CARGO_BIN_EXE_clt");

/// A client gives up within 5 seconds; a busy machine may let it wait for its turn.
pub(crate) const GIVES_UP: Duration = Duration::from_secs(6);

pub(crate) fn start(program: &str, arguments: &[&str], output: fn() -> Stdio) -> Running {
    let mut command = Command::new(program);
    let command = command.env_clear().args(arguments).stdin(Stdio::null());
    let child = command.stdout(output()).stderr(output()).spawn();
    Running(child.expect("the program starts"))
}

/// A master and its servers, by their ports.
pub(crate) struct Trio {
    pub(crate) master_port: u16,
    pub(crate) master: Option<Running>,
    pub(crate) servers: BTreeMap<u16, Running>,
}

impl Trio {
    /// Nothing yet, on a port of its own.
    pub(crate) fn nobody() -> Self {
        Self::of(free_ports())
    }

    fn of(master_port: u16) -> Self {
        Self {
            master_port,
            master: None,
            servers: BTreeMap::new(),
        }
    }

    /// The same master for another thread, which starts and ends nothing.
    pub(crate) fn observer(&self) -> Self {
        Self::of(self.master_port)
    }

    /// A master without servers.
    pub(crate) fn new() -> Self {
        let mut trio = Self::nobody();
        trio.start_master();
        trio
    }

    /// A master and so many servers, which have joined in the order of the ports that come with it.
    pub(crate) fn with(count: usize) -> (Self, Vec<u16>) {
        let mut trio = Self::new();
        let ports: Vec<u16> = (0..count).map(|_| trio.join()).collect();
        (trio, ports)
    }

    pub(crate) fn start_master(&mut self) {
        let port = self.master_port.to_string();
        self.master = Some(start(MASTER, &["-p", &port], Stdio::null));
    }

    pub(crate) fn kill_master(&mut self) {
        self.master.take().expect("runs").kill();
    }

    pub(crate) fn start(&mut self, port: u16) {
        let (own, master) = (port.to_string(), self.master_port.to_string());
        let svr = start(SVR, &["-p", &own, "-m", &master], Stdio::null);
        self.servers.insert(port, svr);
    }

    /// One more server, which has joined.
    pub(crate) fn join(&mut self) -> u16 {
        let port = free_ports();
        self.start(port);
        self.await_shards(port);
        port
    }

    /// Waits until `newest`, which was started last, has a shard of its own: the last one.
    pub(crate) fn await_shards(&self, newest: u16) {
        let last = i64::try_from(self.servers.len()).expect("are few") - 1;
        wait_for("a server that joins", || {
            (self.owner(last) == Some(newest)).then_some(())
        });
    }

    /// The port of the owner of a key, as the master knows it.
    pub(crate) fn owner(&self, key: i64) -> Option<u16> {
        let address = format!("127.0.0.1:{}", self.master_port);
        let mut stream = std::net::TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(GIVES_UP)).ok()?;
        write!(
            stream,
            "GET /owner/{key} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let reply = std::io::read_to_string(stream).ok()?;
        reply.split("\r\n\r\n").nth(1)?.trim().parse().ok()
    }

    /// Calls the master as a server that has just been started.
    pub(crate) fn call_as(&self, server: Server) {
        let beat = encode(&Beat {
            server,
            age_ms: 0,
            layout: Layout::default(),
            is_drained: true,
        });
        let address = format!("127.0.0.1:{}", self.master_port);
        let mut stream = std::net::TcpStream::connect(address).expect("the master listens");
        let head = format!(
            "POST /beat HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            beat.len()
        );
        stream
            .write_all(&[head.as_bytes(), &beat].concat())
            .expect("the master reads");
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).expect("the master answers");
        assert!(reply.starts_with(b"HTTP/1.1 200"), "{reply:?}");
    }

    /// A client that goes by the master.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        clt(&[arguments, &["-m", &self.master_port.to_string(), "-d", "0"]].concat())
    }

    /// A client that asks one server only.
    pub(crate) fn straight(&self, port: u16, arguments: &[&str]) -> Output {
        clt(&[arguments, &["-p", &port.to_string(), "-d", "1"]].concat())
    }

    #[track_caller]
    pub(crate) fn put(&self, key: i64, value: &str) {
        let output = self.ask(&["-o", "PUT", "-k", &key.to_string(), "-v", value]);
        assert_eq!(output.status.code(), Some(0), "put {key}: {}", complaint(&output));
    }

    #[track_caller]
    pub(crate) fn get(&self, key: i64) -> Option<String> {
        let output = self.ask(&["-o", "GET", "-k", &key.to_string()]);
        match output.status.code() {
            Some(0) => Some(value(&output)),
            Some(2) => None,
            code => panic!("get {key}: {code:?}, {}", complaint(&output)),
        }
    }
}

pub(crate) fn clt(arguments: &[&str]) -> Output {
    let mut command = Command::new(CLT);
    command
        .env_clear()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// What a GET printed, without the end of the line.
pub(crate) fn value(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).expect("is text");
    text.strip_suffix('\n').expect("ends its line").to_owned()
}

pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What something gave, and how long it took.
#[expect(clippy::disallowed_methods, reason = "real processes take real time")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}
