//! A small HTTP client: one request at a time over connections that are kept.
//!
//! hyper's ready-made client pools connections in a background task. Here the call that uses a connection
//! drives it, so nothing runs while no call waits. The error says whether the request can have reached the
//! other side: the caller must know that to repeat a request safely.
#![expect(
    clippy::disallowed_types,
    reason = "opens the connections of clients; the only place beside peer streams that does"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::names::NodeId;
use crate::process::system;

/// A running node accepts at once; an attempt to connect to an unreachable one would hang for seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);

/// For looking up a node's address. A slow look-up says nothing about the node: the name server (in
/// Docker, the engine) may be busy.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// Idle connections kept per node; further concurrent callers open their own.
const IDLE_PER_NODE: usize = 8;

/// A listing page or a large value, with room for the JSON around it.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why there is no reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    /// The request was not sent: any request can safely go to another node.
    #[error("{node} cannot be reached: {reason}")]
    NotSent { node: NodeId, reason: String },
    /// The request may have been carried out.
    #[error("{node} was asked and did not answer: {reason}")]
    NoReply { node: NodeId, reason: String },
}

type Connection = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// An open connection: the handle that takes requests, and the future that moves its bytes.
struct Wire {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection>>,
}

/// Sends requests to nodes.
#[derive(Default)]
pub struct HttpClient {
    idle: Mutex<BTreeMap<NodeId, Vec<Wire>>>,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpClient")
    }
}

impl HttpClient {
    /// Sends a request and reads the whole reply, all within `limit`.
    ///
    /// A kept connection may have died unnoticed. If it died before anything was sent, another one is
    /// used; if the request was under way, the caller decides.
    pub async fn send(
        &self,
        node: &NodeId,
        mut request: Request<Bytes>,
        limit: Duration,
    ) -> Result<Response<Bytes>, SendError> {
        let deadline = Instant::now() + limit;
        let host = HeaderValue::from_str(node.as_str()).expect("a node's name is a header value");
        request.headers_mut().entry(header::HOST).or_insert(host);
        let mut request = request.map(Full::new);
        while let Some(wire) = self.take_idle(node) {
            match self.exchange(node, wire, request, deadline).await {
                Err(Broken::BeforeSending(unsent)) => request = *unsent,
                Err(Broken::Other(error)) => return Err(error),
                Ok(response) => return Ok(response),
            }
        }
        let wire = connect(node, deadline).await?;
        match self.exchange(node, wire, request, deadline).await {
            Ok(response) => Ok(response),
            Err(Broken::Other(error)) => Err(error),
            Err(Broken::BeforeSending(_)) => Err(not_sent(node, "it closed the connection")),
        }
    }

    async fn exchange(
        &self,
        node: &NodeId,
        wire: Wire,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, Broken> {
        let done = timeout_at(deadline, wire.exchange(request)).await;
        let no_reply = |reason: String| {
            let node = node.clone();
            Broken::Other(SendError::NoReply { node, reason })
        };
        match done {
            Ok(Ok((response, wire))) => {
                if let Some(wire) = wire {
                    self.keep(node, wire);
                }
                Ok(response)
            }
            Ok(Err(Failed::BeforeSending(request))) => Err(Broken::BeforeSending(request)),
            Ok(Err(Failed::Underway(reason))) => Err(no_reply(reason)),
            Err(_) => Err(no_reply("no answer in time".to_owned())),
        }
    }

    fn take_idle(&self, node: &NodeId) -> Option<Wire> {
        let mut idle = self.idle.lock();
        let wires = idle.get_mut(node)?;
        while let Some(wire) = wires.pop() {
            if !wire.sender.is_closed() {
                return Some(wire);
            }
        }
        None
    }

    fn keep(&self, node: &NodeId, wire: Wire) {
        let mut idle = self.idle.lock();
        let wires = idle.entry(node.clone()).or_default();
        if !wire.sender.is_closed() && wires.len() < IDLE_PER_NODE {
            wires.push(wire);
        }
    }
}

enum Broken {
    BeforeSending(Box<Request<Full<Bytes>>>),
    Other(SendError),
}

enum Failed {
    BeforeSending(Box<Request<Full<Bytes>>>),
    Underway(String),
}

impl Wire {
    /// Sends one request and reads the whole reply, while it drives the connection. Returns the connection
    /// too, if it can take another request.
    async fn exchange(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Bytes>, Option<Self>), Failed> {
        let Self {
            mut sender,
            connection,
        } = self;
        let mut connection = Some(connection);
        let reply = {
            let reply = exchange(&mut sender, request);
            tokio::pin!(reply);
            loop {
                tokio::select! {
                    biased;
                    reply = &mut reply => break reply?,
                    _ = ended(&mut connection), if connection.is_some() => {
                        // Dropped at once, which tells the waiting reply that nothing more will come.
                        connection = None;
                    }
                }
            }
        };
        let wire = connection.map(|connection| Self { sender, connection });
        Ok((reply, wire))
    }
}

async fn ended(connection: &mut Option<Pin<Box<Connection>>>) {
    if let Some(connection) = connection {
        // The reply tells how it ended.
        let _ = connection.await;
    }
}

async fn exchange(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Failed> {
    if sender.ready().await.is_err() {
        return Err(Failed::BeforeSending(Box::new(request)));
    }
    let sent = sender.try_send_request(request).await;
    let response = sent.map_err(|mut error| match error.take_message() {
        Some(request) => Failed::BeforeSending(Box::new(request)),
        None => Failed::Underway(error.into_error().to_string()),
    })?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, REPLY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| Failed::Underway(format!("its reply broke off: {error}")))?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}

async fn connect(node: &NodeId, deadline: Instant) -> Result<Wire, SendError> {
    let until = |limit| deadline.min(Instant::now() + limit);
    let name = (node.host().trim_matches(['[', ']']), node.port());
    let addresses = timeout_at(until(LOOKUP_TIMEOUT), lookup_host(name)).await;
    let addresses = addresses.map_err(|_| not_sent(node, "its address was not found in time"))?;
    let addresses = addresses.map_err(|error| not_sent(node, error.to_string()))?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    let stream = timeout_at(until(CONNECT_TIMEOUT), TcpStream::connect(&addresses[..])).await;
    let stream = stream.map_err(|_| not_sent(node, "no answer"))?;
    let stream = stream.map_err(|error| not_sent(node, connect_text(&error)))?;
    // Requests are small, and a caller waits for each.
    stream
        .set_nodelay(true)
        .map_err(|error| not_sent(node, error.to_string()))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| not_sent(node, error.to_string()))?;
    let connection = Box::pin(connection);
    Ok(Wire { sender, connection })
}

fn connect_text(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "nothing listens there".into(),
        _ => system::explain(error),
    }
}

fn not_sent(node: &NodeId, reason: impl Into<String>) -> SendError {
    SendError::NotSent {
        node: node.clone(),
        reason: reason.into(),
    }
}
