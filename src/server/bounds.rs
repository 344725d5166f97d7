//! Bounds the resources that clients may use, and counts those in use. Shared by all listeners, and
//! separate from them because each request takes its share and returns it when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::config::Limits;

/// The longest head of a request, with its headers. A payload in a header and one in the query fit.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The memory for all bodies that are arriving or being answered. Bodies of one piece, which most are, do
/// not count: the kernel already holds them.
const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The resources that clients may use, for all listeners together unless stated otherwise.
#[derive(Debug)]
pub struct Bounds {
    /// The largest value, in bytes; a body is read up to its longest spelling.
    pub value_bytes_max: usize,
    /// Requests that are answered at a time; more are refused.
    pub requests_max: usize,
    /// Connections of one listener; for more, the oldest ones are closed.
    pub connections_max: usize,
    pub head_bytes_max: usize,
    /// Bytes of bodies that are arriving or being answered; a request with more is refused.
    pub bodies_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_deadline: Duration,
    /// A client that takes nothing of a long reply for this long is cut off, after twice as long at the
    /// latest: the reply takes room that others need.
    pub reply_deadline: Duration,
    /// A connection without a whole request for this long is closed, after twice as long at the latest.
    pub quiet_max: Duration,
    /// How long requests may take to finish once the listener stops.
    pub drain_deadline: Duration,
    requests: AtomicUsize,
    bodies_bytes: AtomicUsize,
    /// The tasks that carry the streams of peers: they outlive the listener, because requests that are
    /// still being answered need the peers.
    pub(super) carriers: TaskTracker,
}

impl Bounds {
    pub fn new(limits: &Limits) -> Self {
        Self {
            value_bytes_max: limits.value_bytes_max,
            requests_max: limits.requests_max,
            // About 20 KiB each when idle: 160 MiB at the worst.
            connections_max: 8192,
            head_bytes_max: HEAD_BYTES_MAX,
            bodies_bytes_max: BODIES_BYTES_MAX,
            body_deadline: Duration::from_secs(20),
            reply_deadline: Duration::from_secs(20),
            quiet_max: Duration::from_secs(60),
            // An end within a second is promised, and the node needs some of it to flush.
            drain_deadline: Duration::from_millis(400),
            requests: AtomicUsize::new(0),
            bodies_bytes: AtomicUsize::new(0),
            carriers: TaskTracker::new(),
        }
    }

    /// Admits one more request, if there is room.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Admission> {
        // Made first, so that its count is given back even if there is no room.
        let admission = Admission(Arc::clone(self));
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        (before < self.requests_max).then_some(admission)
    }
}

/// A request's place among those that are being answered.
#[derive(Debug)]
pub(super) struct Admission(Arc<Bounds>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The room that the body of one request takes.
#[derive(Debug)]
pub(super) struct BodyRoom {
    bounds: Arc<Bounds>,
    bytes: usize,
}

impl BodyRoom {
    pub(super) fn none(bounds: &Arc<Bounds>) -> Self {
        Self {
            bounds: Arc::clone(bounds),
            bytes: 0,
        }
    }

    /// Takes room for more bytes; false if there is none.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let before = self.bounds.bodies_bytes.fetch_add(bytes, Ordering::Relaxed);
        before + bytes <= self.bounds.bodies_bytes_max
    }
}

impl Drop for BodyRoom {
    fn drop(&mut self) {
        self.bounds.bodies_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
