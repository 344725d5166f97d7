//! The processes of one test: a master and servers on ports of their own, and their clients.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::Duration;

use causeway::apps::master_svr::decisions::{Beat, Layout, Server};
use causeway::apps::master_svr::messages::encode;

use crate::support::ports::free_ports;
use crate::support::request::Request;
use crate::support::running::{CLT, MASTER, Running, SVR, command, complaint, run};
use crate::support::waiting::until;

/// A client gives up within 5 seconds; a busy machine may delay it.
pub(crate) const GIVES_UP: Duration = Duration::from_secs(6);

pub(crate) fn start(program: &str, arguments: &[&str], output: fn() -> Stdio) -> Running {
    let mut command = command(program);
    Running::start(command.args(arguments).stdout(output()).stderr(output()))
}

/// A master and its servers, by their ports.
pub(crate) struct Trio {
    pub(crate) master_port: u16,
    pub(crate) master: Option<Running>,
    pub(crate) servers: BTreeMap<u16, Running>,
}

impl Trio {
    /// No process yet; only a port for the master.
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

    /// The same master for another thread, which starts and ends no process.
    pub(crate) fn observer(&self) -> Self {
        Self::of(self.master_port)
    }

    /// A master without servers.
    pub(crate) fn new() -> Self {
        let mut trio = Self::nobody();
        trio.start_master();
        trio
    }

    /// A master and `count` servers, which have joined in the order of the returned ports.
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

    /// Starts one more server and waits until it has joined.
    pub(crate) fn join(&mut self) -> u16 {
        let port = free_ports();
        self.start(port);
        self.await_shards(port);
        port
    }

    /// Waits until `newest`, which was started last, has a shard of its own: the last one.
    pub(crate) fn await_shards(&self, newest: u16) {
        let last = i64::try_from(self.servers.len()).expect("are few") - 1;
        until("a server that joins", || self.owner(last) == Some(newest));
    }

    /// The port of a key's owner according to the master.
    pub(crate) fn owner(&self, key: i64) -> Option<u16> {
        let request = Request::new("GET", &format!("/owner/{key}")).deadline(GIVES_UP);
        let reply = request.send(("127.0.0.1", self.master_port)).ok()?;
        reply.lossy().trim().parse().ok()
    }

    /// Calls the master like a newly started server.
    pub(crate) fn call_as(&self, server: Server) {
        let beat = encode(&Beat {
            server,
            age_ms: 0,
            layout: Layout::default(),
            is_drained: true,
        });
        let request = Request::new("POST", "/beat").untyped(beat);
        let reply = request.send(("127.0.0.1", self.master_port));
        reply.expect("the master answers").expect(200);
    }

    /// A client that asks the master for the owner.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        clt(&[arguments, &["-m", &self.master_port.to_string(), "-d", "0"]].concat())
    }

    /// A client that asks only one server.
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
    run(command(CLT).args(arguments))
}

/// What a GET printed, without the end of the line.
pub(crate) fn value(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).expect("is text");
    text.strip_suffix('\n').expect("ends its line").to_owned()
}
