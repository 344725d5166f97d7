//! Opens real pipes: TCP connections to the peer's own port, upgraded from HTTP to frames.
//!
//! ```text
//! dialer   ── GET /causeway/peer, Upgrade: causeway-peer/1 ──▶   server (connection)
//!          ◀── 101 ───────────────────────────────────────────
//!          ◀═══════════════ frames, both ways ═══════════════▶
//! ```
//!
//! One task carries a pipe in both directions, so that when one direction ends both do, and no task is left.
#![expect(
    clippy::disallowed_types,
    reason = "the door to the peers: sockets are opened here"
)]

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::frames::{Batch, next_frame};
use super::{DialError, Dialer, FRAME_BYTES_MAX, PIPE_FRAMES, Pipe};
use crate::names::NodeId;

/// The path at which nodes ask each other for a stream.
pub const PEER_PATH: &str = "/causeway/peer";

/// The protocol after the upgrade. A version that cannot talk to this one uses another name.
pub const PEER_PROTOCOL: &str = "causeway-peer/1";

/// The common prefix of the protocols of all versions.
pub const PEER_PROTOCOLS: &str = "causeway-peer/";

/// The header in which both sides state the version of their program.
pub const PEER_VERSION: &str = "causeway-version";

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The longest head of an answer to the upgrade. A longer one ends the attempt.
const ANSWER_BYTES_MAX: usize = 4096;

/// A stream ends if the peer's machine acknowledges nothing for this long. By itself TCP backs off:
/// after a partition of ten seconds it may be silent for ten more, and so is everything that waits for the
/// stream. A new stream connects as soon as the network heals. The machine of a frozen or slow peer still
/// acknowledges, so that peer keeps its stream.
const UNACKNOWLEDGED_MAX_MS: u32 = 2000;

/// How long frames that were queued before the pipe was dropped may take to leave.
const LINGER: Duration = Duration::from_millis(500);

/// Opens pipes over TCP, and owns the tasks that carry them.
#[derive(Debug, Default)]
pub struct HttpDialer {
    carriers: TaskTracker,
    logged: Arc<LoggedVersions>,
}

/// The last logged text about each peer's version: peers are dialled again and again, and each version is
/// logged once.
#[derive(Debug, Default)]
struct LoggedVersions(Mutex<BTreeMap<NodeId, String>>);

impl LoggedVersions {
    fn is_new(&self, node: &NodeId, text: &str) -> bool {
        self.0.lock().insert(node.clone(), text.to_owned()).as_deref() != Some(text)
    }
}

impl HttpDialer {
    pub fn new(carriers: TaskTracker) -> Self {
        Self {
            carriers,
            logged: Arc::default(),
        }
    }
}

impl Dialer for HttpDialer {
    fn dial(&self, node: NodeId) -> BoxFuture<'static, Result<Pipe, DialError>> {
        let (carriers, logged) = (self.carriers.clone(), Arc::clone(&self.logged));
        Box::pin(async move {
            let (socket, read) = call(&node, &logged)
                .await
                .map_err(|error| not_reached(&node, &error))?;
            let (pipe, carrier) = carry(socket, read);
            carriers.spawn(carrier);
            Ok(pipe)
        })
    }
}

fn not_reached(node: &NodeId, error: &io::Error) -> DialError {
    let text = format!("{node} cannot be reached: {error}");
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DialError::Refused(text),
        _ => DialError::Failed(text),
    }
}

/// Connects and upgrades; returns the socket and the bytes that arrived after the answer.
async fn call(node: &NodeId, logged: &LoggedVersions) -> io::Result<(TcpStream, BytesMut)> {
    let mut socket = TcpStream::connect(node.as_str()).await?;
    socket.set_nodelay(true)?;
    let request = format!(
        "GET {PEER_PATH} HTTP/1.1\r\nHost: {node}\r\nConnection: Upgrade\r\nUpgrade: {PEER_PROTOCOL}\r\n\
         {PEER_VERSION}: {VERSION}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut read = BytesMut::with_capacity(ANSWER_BYTES_MAX);
    let end = loop {
        if let Some(at) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        if read.len() >= ANSWER_BYTES_MAX || socket.read_buf(&mut read).await? == 0 {
            return Err(io::Error::other("it does not answer as a node does"));
        }
    };
    let answer = read.split_to(end);
    let answer = String::from_utf8_lossy(&answer);
    let version = header(&answer, PEER_VERSION);
    if !answer.starts_with("HTTP/1.1 101 ") {
        if let Some(why) = other_protocol(&answer, version) {
            if logged.is_new(node, &why) {
                tracing::warn!(%node, "cannot open a stream to this peer: {why}");
            }
            return Err(io::Error::other(why));
        }
        let line = answer.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!(
            "it answered {line:?} instead of opening a stream"
        )));
    }
    if let Some(version) = version.filter(|version| *version != VERSION)
        && logged.is_new(node, version)
    {
        tracing::info!(%node, version, own_version = VERSION, "this peer runs another version");
    }
    Ok((socket, read))
}

/// The reason, if the peer speaks another version of the protocol.
fn other_protocol(answer: &str, version: Option<&str>) -> Option<String> {
    let protocol = header(answer, "upgrade").filter(|protocol| *protocol != PEER_PROTOCOL)?;
    let version = version.unwrap_or("unknown");
    Some(format!(
        "it runs version {version} and speaks {protocol}, this node runs {VERSION} and speaks {PEER_PROTOCOL}; run \
         versions that speak the same"
    ))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim())
}

/// A pipe over an upgraded socket, and the task that carries it. `read` are bytes already read. The task ends
/// when the peer hangs up, when either half of the pipe is dropped, or when the peer sends an invalid frame.
pub fn carry(
    socket: TcpStream,
    read: impl Into<BytesMut>,
) -> (Pipe, impl Future<Output = ()> + Send + 'static) {
    let (sender, outgoing) = mpsc::channel(PIPE_FRAMES);
    let (incoming, receiver) = mpsc::channel(PIPE_FRAMES);
    let peer = socket.peer_addr();
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&socket, UNACKNOWLEDGED_MAX_MS) {
        tracing::warn!(?peer, %error, "cannot set the TCP user timeout: a broken link to this peer will be detected late");
    }
    let read = read.into();
    let carrier = async move {
        if let Err(error) = carry_frames(socket, read, outgoing, incoming).await {
            tracing::info!(?peer, %error, "a stream to a peer ended");
        }
    };
    (Pipe { sender, receiver }, carrier)
}

async fn carry_frames(
    socket: TcpStream,
    read: BytesMut,
    outgoing: mpsc::Receiver<Bytes>,
    incoming: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let (reading, writing) = socket.into_split();
    let mut writer = Writer {
        writing,
        outgoing,
        batch: Batch::default(),
    };
    let ended = tokio::select! {
        ended = read_frames(reading, read, &incoming) => ended,
        ended = writer.write_frames() => return ended,
        () = incoming.closed() => Ok(()),
    };
    // Either side hung up: frames that were queued before still go out, if they leave quickly.
    writer.outgoing.close();
    drop(incoming);
    let rest = tokio::time::timeout(LINGER, writer.write_frames()).await;
    ended.and(rest.unwrap_or(Ok(())))
}

async fn read_frames(
    mut reading: OwnedReadHalf,
    mut read: BytesMut,
    incoming: &mpsc::Sender<Bytes>,
) -> io::Result<()> {
    loop {
        while let Some(frame) = next_frame(&mut read).map_err(io::Error::other)? {
            if incoming.send(frame).await.is_err() {
                return Ok(());
            }
        }
        if reading.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
}

struct Writer {
    writing: OwnedWriteHalf,
    outgoing: mpsc::Receiver<Bytes>,
    batch: Batch,
}

impl Writer {
    /// Writes until the pipe is dropped. May be interrupted and called again.
    async fn write_frames(&mut self) -> io::Result<()> {
        loop {
            if self.batch.is_empty() {
                match self.outgoing.recv().await {
                    Some(frame) => self.push(frame)?,
                    None => return self.writing.shutdown().await,
                }
            }
            // All queued frames go out in one write.
            while !self.batch.is_full() {
                match self.outgoing.try_recv() {
                    Ok(frame) => self.push(frame)?,
                    Err(_) => break,
                }
            }
            self.writing.write_all_buf(&mut self.batch.unwritten()).await?;
        }
    }

    fn push(&mut self, frame: Bytes) -> io::Result<()> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(io::Error::other(format!(
                "a frame of {} bytes is too long to send",
                frame.len()
            )));
        }
        self.batch.push(frame);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_of_another_version_is_named_with_both_versions() {
        let answer =
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: causeway-peer/2\r\nCauseway-Version: 9.9\r\n\r\n";
        let text = other_protocol(answer, header(answer, PEER_VERSION)).expect("speaks another one");
        for part in ["version 9.9", "causeway-peer/2", VERSION, PEER_PROTOCOL] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let not_a_node = "HTTP/1.1 404 Not Found\r\n\r\n";
        assert_eq!(other_protocol(not_a_node, None), None);
    }

    #[test]
    fn the_version_of_a_peer_is_logged_once_until_it_changes() {
        let (logged, node) = (LoggedVersions::default(), "a:1".parse().expect("is a node"));
        let new = ["2", "2", "3"].map(|version| logged.is_new(&node, version));
        assert_eq!(new, [true, false, true]);
    }
}
