//! Two processes or three with a configuration file each, and a client that speaks to them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::ports::free_ports;
use crate::running::Running;
use crate::waiting::wait_for;

pub(crate) const CAUSEWAY: &str = env!("CARGO_BIN_EXE_causeway");

/// A process with its file; ended when the test ends.
pub(crate) struct Process {
    folder: PathBuf,
    pub(crate) port: u16,
    child: Option<Running>,
}

/// Status, type, body.
pub(crate) type Reply = (u16, String, Vec<u8>);

impl Process {
    /// The file of one process whose peers are at other ports; it is not started.
    pub(crate) fn with_file(folder: &Path, port: u16, peers: &[u16]) -> Self {
        let process = Self {
            folder: folder.to_path_buf(),
            port,
            child: None,
        };
        process.goes_by(port, peers);
        process
    }

    /// Writes its file anew: by which address it goes, and by which its peers.
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
        std::fs::write(folder.join(format!("{port}.toml")), file).expect("is written");
    }

    pub(crate) fn start(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join(format!("{}.log", self.port)))
            .expect("is opened");
        let child = Command::new(CAUSEWAY)
            .env_clear()
            .args(["serve", "--config"])
            .arg(self.folder.join(format!("{}.toml", self.port)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        self.child = Some(Running(child));
    }

    /// Where it is asked, for whoever asks while it is killed and started.
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

    /// Waits until this process believes so many others away.
    #[track_caller]
    pub(crate) fn until_away(&self, count: usize) {
        let believes = || {
            let status = self.ask("GET", "/status", b"").ok()?;
            let status: Value = serde_json::from_slice(&status.2).ok()?;
            Some(status["away"].as_array()?.len() == count)
        };
        until("it believes others away", || believes() == Some(true));
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Reply> {
        finish(self.begin(method, path, body)?)
    }

    /// Sends a request; a process that is frozen finds it when it goes on.
    pub(crate) fn begin(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        Ok(stream)
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) {
        let reply = self
            .ask("POST", &format!("/set/{key}"), value)
            .expect("is answered");
        let text = String::from_utf8_lossy(&reply.2).into_owned();
        assert_eq!(
            (reply.0, text.as_str()),
            (200, "OK\n"),
            "set {key} at {}",
            self.port
        );
    }

    #[track_caller]
    pub(crate) fn assert_has(&self, key: &str, value: &[u8]) {
        let (status, _, body) = self.ask("GET", &format!("/get/{key}"), b"").expect("is answered");
        assert!(
            (status, body.as_slice()) == (200, value),
            "{key} at {}: {status}, {} bytes",
            self.port,
            body.len()
        );
    }

    pub(crate) fn until_serving(&self) {
        let serves = || self.ask("GET", "/readyz", b"").is_ok_and(|reply| reply.0 == 200);
        until("a process serves", serves);
    }
}

/// Reads the reply to a request that was sent.
pub(crate) fn finish(mut stream: TcpStream) -> std::io::Result<Reply> {
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    read(&reply).ok_or_else(|| std::io::Error::other("no reply"))
}

/// Looks again and again until it is so.
#[track_caller]
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

fn read(reply: &[u8]) -> Option<Reply> {
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&reply[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: "));
    Some((
        status,
        kind.unwrap_or_default().to_owned(),
        reply[end + 4..].to_vec(),
    ))
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
