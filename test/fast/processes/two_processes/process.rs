//! Two or three processes with a configuration file each, and a client of them.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::ports::free_ports;
use crate::support::request::{Reply, Request, Sent, until_ok};
use crate::support::running::{CAUSEWAY, Running, command};
use crate::support::waiting::until;

/// A process with its file; it ends with the test.
pub(crate) struct Process {
    folder: PathBuf,
    pub(crate) port: u16,
    child: Option<Running>,
}

impl Process {
    /// The file of one process whose peers have other ports; it is not started.
    pub(crate) fn with_file(folder: &Path, port: u16, peers: &[u16]) -> Self {
        let process = Self {
            folder: folder.to_path_buf(),
            port,
            child: None,
        };
        process.goes_by(port, peers);
        process
    }

    /// Rewrites its file with its own address and those of its peers.
    pub(crate) fn goes_by(&self, name: u16, peers: &[u16]) {
        let Self { folder, port, .. } = self;
        let data = folder.join(format!("n{port}"));
        let factor = peers.len() + 1;
        let peers: Vec<String> = peers.iter().map(|peer| format!("localhost:{peer}")).collect();
        let address = if name == *port {
            String::new()
        } else {
            format!("address = \"localhost:{name}\"\n")
        };
        let file = format!(
            "port = {port}\n{address}peers = {peers:?}\nreplication_factor = {factor}\ndata_dir = {data:?}\n"
        );
        std::fs::write(self.file("toml"), file).expect("is written");
    }

    pub(crate) fn start(&mut self) {
        let (file, log) = (self.file("toml"), self.file("log"));
        let mut command = command(CAUSEWAY);
        command.args(["serve", "--config"]).arg(file);
        self.child = Some(Running::start_logging(&mut command, &log));
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.port))
    }

    /// A handle for requests, usable while another thread kills and starts the process.
    pub(crate) fn to_be_asked(&self) -> Self {
        Self {
            folder: self.folder.clone(),
            port: self.port,
            child: None,
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.take().expect("runs").kill();
    }

    /// Freezes the process until [`Self::go_on`].
    pub(crate) fn freeze(&self) {
        self.child.as_ref().expect("runs").signal(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.child.as_ref().expect("runs").signal(Signal::CONT);
    }

    /// Waits until this process considers `count` others unreachable.
    #[track_caller]
    pub(crate) fn until_away(&self, count: usize) {
        let believes = || {
            let status = self.ask("GET", "/status", b"").ok()?.json();
            Some(status["away"].as_array()?.len() == count)
        };
        until("it believes others away", || believes() == Some(true));
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Reply> {
        self.begin(method, path, body)?.reply()
    }

    /// Sends a request. A frozen process finds it when it thaws.
    pub(crate) fn begin(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Sent> {
        let request = Request::new(method, path).untyped(body);
        request.begin(("127.0.0.1", self.port))
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) {
        let reply = self.ask("POST", &format!("/set/{key}"), value);
        let reply = reply.expect("is answered").expect(200);
        assert_eq!(reply.lossy(), "OK\n", "set {key} at {}", self.port);
    }

    #[track_caller]
    pub(crate) fn assert_has(&self, key: &str, value: &[u8]) {
        let reply = self.ask("GET", &format!("/get/{key}"), b"");
        let reply = reply.expect("is answered").expect(200);
        assert!(reply.body == value, "at {}: {reply}", self.port);
    }

    pub(crate) fn until_serving(&self) {
        until_ok(("127.0.0.1", self.port), "/readyz");
    }
}

/// Both files in a folder of their own; nothing runs.
pub(crate) fn pair() -> (tempfile::TempDir, Process, Process) {
    let folder = tempfile::tempdir().expect("a folder");
    let one = free_ports();
    let other = one + 1;
    let first = Process::with_file(folder.path(), one, &[other]);
    let second = Process::with_file(folder.path(), other, &[one]);
    (folder, first, second)
}

/// Three processes with replication factor 3, which serve.
pub(crate) fn three_serving() -> (tempfile::TempDir, [Process; 3]) {
    let folder = tempfile::tempdir().expect("a folder");
    let first = free_ports();
    let mut three = [0, 1, 2].map(|own| {
        let peers = [0, 1, 2].into_iter().filter(|peer| *peer != own);
        let peers: Vec<u16> = peers.map(|peer| first + peer).collect();
        Process::with_file(folder.path(), first + own, &peers)
    });
    three.iter_mut().for_each(Process::start);
    three.iter().for_each(Process::until_serving);
    (folder, three)
}

pub(crate) fn serving() -> (tempfile::TempDir, Process, Process) {
    let (folder, mut one, mut other) = pair();
    one.start();
    other.start();
    one.until_serving();
    other.until_serving();
    (folder, one, other)
}
