//! Serves one connection: reads HTTP, hands whole requests to the host, writes replies. A peer may turn it
//! into a stream.
//!
//! One timer per connection bounds slow clients. It is checked when it fires and not reset for each
//! request: a timer for each request costs a fifth of a GET.
#![expect(
    clippy::disallowed_types,
    reason = "the door to the clients: sockets are read here"
)]

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, EXPECT, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Host;
use super::bounds::{BodyRoom, Bounds};
use super::pieces::{Pieces, Sending};
use super::refusal::{Guard, Socket};
use crate::api::{Rejected, refuse_unoffered, turn_away};
use crate::net::stream::{PEER_PATH, PEER_PROTOCOL, PEER_PROTOCOLS, PEER_VERSION, VERSION, carry};

/// The longest spelling of a byte: a JSON escape, such as `\u0000`.
const SPELLING_BYTES_MAX: usize = 6;

/// Room in a body for everything except the value.
const BODY_OVERHEAD_BYTES_MAX: usize = 64 * 1024;

/// The rest of an oversized body is read and discarded, up to this much and for this long: most clients
/// read no answer before they have sent everything.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;
const DISCARD_DEADLINE: Duration = Duration::from_secs(2);

/// How long a stopping connection may wait for the rest of a head.
const LEAVE_LIMIT: Duration = Duration::from_millis(500);

/// What one connection's requests share.
#[derive(Debug)]
pub(super) struct Connection<H> {
    host: Arc<H>,
    bounds: Arc<Bounds>,
    requests: AtomicU64,
    is_busy: AtomicBool,
    sending: Arc<Sending>,
    upgrade: Mutex<Option<OnUpgrade>>,
    guard: Guard,
}

impl<H: Host> Connection<H> {
    pub(super) fn new(host: Arc<H>, bounds: Arc<Bounds>) -> Arc<Self> {
        Arc::new(Self {
            host,
            bounds,
            requests: AtomicU64::new(0),
            is_busy: AtomicBool::new(false),
            sending: Arc::default(),
            upgrade: Mutex::new(None),
            guard: Guard::default(),
        })
    }

    /// Serves the connection until either side ends it.
    pub(super) async fn serve(self: Arc<Self>, socket: TcpStream, stop: CancellationToken) {
        let asked = Arc::clone(&self);
        let service = service_fn(move |request| Arc::clone(&asked).answer(request));
        let connection = http1::Builder::new()
            // A client may close its sending side and still wait for the answer.
            .half_close(true)
            // Replies are small: one buffer is cheaper than a list of them. (`pipeline_flush`, which does
            // the same, holds a reply back while the next request is still arriving.)
            .writev(false)
            .max_header_size(self.bounds.head_bytes_max)
            .serve_connection(TokioIo::new(Socket::new(socket, self.guard.clone())), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let mut stopped = pin!(stop.cancelled());
        let mut is_stopping = false;
        let pause = self.bounds.quiet_max.min(self.bounds.reply_deadline);
        let mut look = pin!(tokio::time::sleep(pause));
        let (mut seen, mut quiet_since, mut taken) = (0, Instant::now(), None);
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => {
                    log_end(ended);
                    break;
                }
                () = &mut stopped, if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                    (seen, taken) = (self.requests.load(Ordering::Relaxed), None);
                    look.as_mut().reset(Instant::now() + LEAVE_LIMIT);
                }
                () = &mut look => {
                    let requests = self.requests.load(Ordering::Relaxed);
                    let is_busy = self.is_busy.load(Ordering::Relaxed) || self.sending.taken().is_some();
                    let is_quiet = requests == seen && !is_busy;
                    if is_quiet && (is_stopping || quiet_since.elapsed() >= self.bounds.quiet_max) {
                        return;
                    }
                    if !is_quiet {
                        (seen, quiet_since) = (requests, Instant::now());
                    }
                    let taken_before = std::mem::replace(&mut taken, self.sending.taken());
                    if taken.is_some() && taken == taken_before {
                        tracing::debug!("a client does not read its reply");
                        return;
                    }
                    look.as_mut().reset(Instant::now() + pause);
                }
            }
        }
        self.open_stream().await;
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Pieces>, Infallible> {
        self.is_busy.store(true, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        let reply = match is_own_stream(&request) {
            None => self.respond(request).await,
            Some(true) => {
                *self.upgrade.lock() = Some(hyper::upgrade::on(request));
                switching_protocols()
            }
            Some(false) => other_version(),
        };
        self.guard.note_reply(&reply);
        self.is_busy.store(false, Ordering::Relaxed);
        Ok(reply.map(|body| Pieces::of(body, &self.sending)))
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Bytes> {
        let Some(_admission) = self.bounds.admit() else {
            return turn_away(Rejected::Overloaded);
        };
        let (parts, body) = request.into_parts();
        let waits_for_continue = parts.headers.contains_key(EXPECT);
        let mut room = BodyRoom::none(&self.bounds);
        match read_body(body, waits_for_continue, &self.bounds, &mut room).await {
            Ok(body) => match refuse_unoffered(&parts, !body.is_empty()) {
                Some(refusal) => refusal,
                None => self.host.respond(Request::from_parts(parts, body)).await,
            },
            Err(reason) => {
                let mut reply = turn_away(reason);
                reply
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
                reply
            }
        }
    }

    /// Hands the peer's stream to the host, if this connection was upgraded to one.
    async fn open_stream(&self) {
        let Some(upgrade) = self.upgrade.lock().take() else {
            return;
        };
        let Ok(upgraded) = upgrade.await else { return };
        let parts = upgraded
            .downcast::<TokioIo<Socket>>()
            .expect("every connection is made of this");
        let (pipe, carrier) = carry(parts.io.into_inner().into_inner(), parts.read_buf);
        self.bounds.carriers.spawn(carrier);
        self.host.accept_peer(pipe);
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// `None` if no peer asks for a stream here; true if it asks for the protocol of this version.
fn is_own_stream(request: &Request<Incoming>) -> Option<bool> {
    let wanted = request.headers().get(UPGRADE)?;
    let is_peers = wanted.as_bytes().starts_with(PEER_PROTOCOLS.as_bytes());
    let is_asked = is_peers && request.uri().path() == PEER_PATH && request.method() == Method::GET;
    is_asked.then(|| wanted == PEER_PROTOCOL)
}

/// Tells a peer of another version which version this is; both nodes log it.
fn other_version() -> Response<Bytes> {
    let mut reply = switching_protocols();
    *reply.status_mut() = StatusCode::UPGRADE_REQUIRED;
    reply
}

fn switching_protocols() -> Response<Bytes> {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PEER_PROTOCOL));
    headers.insert(PEER_VERSION, HeaderValue::from_static(VERSION));
    reply
}

/// The whole body, if it is small enough and arrives in time.
async fn read_body(
    body: Incoming,
    waits_for_continue: bool,
    bounds: &Bounds,
    room: &mut BodyRoom,
) -> Result<Bytes, Rejected> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let bytes_max = bounds.value_bytes_max.saturating_mul(SPELLING_BYTES_MAX) + BODY_OVERHEAD_BYTES_MAX;
    let announced_bytes = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    // A client that waits for `100 Continue` gets the refusal at once.
    if announced_bytes > bytes_max && waits_for_continue {
        return Err(too_large(bounds));
    }
    let collected = collect(body, announced_bytes, bytes_max, room);
    match tokio::time::timeout(bounds.body_deadline, collected).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Interrupted::Broken)) => Err(Rejected::BodyBroken),
        Ok(Err(Interrupted::TooLarge(rest))) => {
            let _ = tokio::time::timeout(DISCARD_DEADLINE, discard(rest)).await;
            Err(too_large(bounds))
        }
        Ok(Err(Interrupted::NoRoom)) => Err(Rejected::Overloaded),
        Err(_) => Err(Rejected::BodyTooSlow),
    }
}

fn too_large(bounds: &Bounds) -> Rejected {
    Rejected::BodyTooLarge {
        value_bytes_max: bounds.value_bytes_max,
    }
}

enum Interrupted {
    Broken,
    /// Other bodies take all the room.
    NoRoom,
    /// Holds the rest of the body.
    TooLarge(Incoming),
}

async fn collect(
    mut body: Incoming,
    announced_bytes: usize,
    bytes_max: usize,
    room: &mut BodyRoom,
) -> Result<Bytes, Interrupted> {
    if announced_bytes > bytes_max {
        return Err(Interrupted::TooLarge(body));
    }
    let Some(first) = next_piece(&mut body).await? else {
        return Ok(Bytes::new());
    };
    // Most bodies come in one piece, which is passed on as it is.
    if body.is_end_stream() && first.len() <= bytes_max {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(announced_bytes.max(first.len()));
    whole.extend_from_slice(&first);
    let mut has_room = room.grow(first.len());
    while let Some(piece) = next_piece(&mut body).await? {
        if whole.len() + piece.len() > bytes_max {
            return Err(Interrupted::TooLarge(body));
        }
        has_room &= room.grow(piece.len());
        if !has_room {
            return Err(Interrupted::NoRoom);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// The next bytes of the body; trailers are skipped.
async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, Interrupted> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Interrupted::Broken)?;
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

async fn discard(mut body: Incoming) {
    let mut discarded_bytes = 0;
    while let Ok(Some(piece)) = next_piece(&mut body).await {
        discarded_bytes += piece.len();
        if discarded_bytes > DISCARDED_BYTES_MAX {
            return;
        }
    }
}
