//! The link to one peer: opens its stream, hands answers to the calls that wait for them, and tracks its
//! health.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::millis;
use crate::names::{MemberId, NodeId};
use crate::net::{DialError, Dialer, Pipe};
use crate::node::limits::CONNECT_LIMIT;
use crate::node::peers::callee::{Unfit, check_name};
use crate::node::peers::outbox::Outbox;
use crate::node::runtime::signal::Signal;
use crate::node::runtime::tasks::Tasks;
use crate::wire::peer::{Answer, Body, Frame, Greeting, decode_frame, decode_greeting, encode_greeting};
use crate::wire::pieces::Joiner;

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The question was not sent: it has certainly not been acted upon.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// It was sent, and the link broke or the time ran out: the outcome is unknown.
    #[error("the peer did not answer")]
    Silent,
    /// The process that was asked before is gone, and its memory with it.
    #[error("the peer was restarted")]
    Rebooted,
}

/// What the links need from the node: its greeting, its stamp on outgoing frames, and its check of
/// incoming ones.
pub(crate) trait Identity: Send + Sync + std::fmt::Debug {
    /// The greeting for `peer`.
    fn greeting(&self, peer: &NodeId) -> Greeting;

    /// Refuses a peer that this node cannot talk to, with the reason.
    fn check(&self, peer: &Greeting) -> Result<(), Unfit>;

    /// This node's present life.
    fn life(&self) -> MemberId;

    /// Stamps an outgoing frame.
    fn frame(&self, id: u64, body: Body) -> Frame;

    /// Takes note of the clock, the epoch and the position of a frame from the peer with this greeting.
    /// Refuses a time that no clock can show, which ends the stream.
    fn observe(&self, from: &Greeting, frame: &Frame) -> Result<(), String>;

    /// Called when the peer answers again after it was away.
    fn returned(&self, peer: &NodeId);
}

/// The link to one peer.
#[derive(Debug)]
pub(crate) struct PeerLink {
    pub(crate) node: NodeId,
    pub(crate) state: Mutex<State>,
    pub(crate) next_id: AtomicU64,
    /// When the peer last answered, in milliseconds since the node started.
    pub(crate) heard_ms: AtomicU64,
    pub(crate) away: AtomicBool,
    /// True if the last attempt to open a stream was refused: no process listens at the address.
    pub(crate) is_refused: AtomicBool,
    pub(crate) outstanding: AtomicUsize,
    /// A complaint is logged once, until the peer answers again.
    pub(crate) complained: AtomicBool,
    /// Why the peer's last greeting was refused, and when.
    pub(crate) unfit: Mutex<Option<(Unfit, Instant)>>,
    /// The name of the node that answered at this address last, if it is not the one that was called.
    pub(crate) other_name: Mutex<Option<NodeId>>,
    /// Held by the one knock that is under way.
    pub(crate) knocking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
pub(crate) enum State {
    Down { since: Option<Instant> },
    Dialing(Arc<Signal>),
    Up(Arc<Connection>),
}

#[derive(Debug)]
pub(crate) struct Connection {
    /// How the peer greeted.
    pub(crate) peer: Greeting,
    pub(crate) outbox: Outbox,
    pub(crate) pending: Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>,
    /// How many pieces of long answers have arrived.
    pub(crate) pieces: AtomicU64,
    /// Cancelled when this side closes the link.
    pub(crate) closed: CancellationToken,
}

impl Connection {
    /// Closes the stream; the next question opens another.
    pub(crate) fn hang_up(&self) {
        self.closed.cancel();
    }
}

/// A pending question. Dropping it discards the answer.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) link: Arc<PeerLink>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) id: u64,
    pub(crate) answer: oneshot::Receiver<Answer>,
    /// How many pieces had arrived when it was asked.
    pub(crate) pieces: u64,
    pub(crate) returned: Arc<dyn Identity>,
    pub(crate) born: Instant,
}

impl PeerLink {
    pub(crate) fn fell_silent(&self) {
        self.away.store(true, Ordering::Release);
    }

    /// Takes note that the peer opened a stream to us: it is alive and may be dialled again at once,
    /// whatever our last attempt to reach it said.
    pub(crate) fn note_arrival(&self, born: Instant, identity: &dyn Identity) {
        self.retry_at_once();
        self.note_heard(born, identity);
    }

    /// Lets the next call dial at once. A peer that opened a stream to us in an unknown life may not be
    /// the one at this address: only its answer shows that it is there.
    pub(crate) fn retry_at_once(&self) {
        if let State::Down { since } = &mut *self.state.lock() {
            *since = None;
        }
    }

    /// Notes whether the peer's last greeting was refused. A peer that cannot be asked counts as fit.
    pub(crate) fn judged(&self, fit: Result<(), Unfit>) {
        *self.unfit.lock() = fit.err().map(|unfit| (unfit, Instant::now()));
    }

    /// Logs once: a peer that sends invalid frames is redialled again and again, and fails each time.
    fn complain(&self, reason: &str) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(peer = %self.node, reason, "closed the stream to a peer");
        }
    }

    /// Takes note of the name that answers at the address. A name other than the called one is logged
    /// once, until something else is found there.
    fn leads_to(&self, theirs: Option<&NodeId>, why: &str) {
        let other = theirs
            .filter(|theirs| !theirs.is_same_address(&self.node))
            .cloned();
        let before = std::mem::replace(&mut *self.other_name.lock(), other.clone());
        if let Some(other) = other.filter(|other| before.as_ref() != Some(other)) {
            tracing::error!(called = %self.node, answers_as = %other, "closed the stream to a peer: {why}");
        }
    }

    pub(crate) fn hang_up(&self) {
        if let State::Up(connection) = &*self.state.lock() {
            connection.hang_up();
        }
    }

    /// Switches the link to a stream on which the peer has just greeted. Calls that wait for the replaced
    /// stream fail now; calls that wait for a dial go on with this stream.
    ///
    /// Returns false if this node began another life since: its greeting names one that is over.
    pub(crate) fn goes_up(
        self: &Arc<Self>,
        Met { pipe, greeting, life }: Met,
        identity: Arc<dyn Identity>,
        tasks: &Tasks,
    ) -> bool {
        let connection = Arc::new(Connection {
            peer: greeting,
            outbox: Outbox::new(pipe.sender),
            pending: Mutex::default(),
            pieces: AtomicU64::new(0),
            closed: tasks.child(),
        });
        // Set the state before reading: a stream that ends at once takes the link down again.
        let before = {
            let mut state = self.state.lock();
            if identity.life() != life {
                return false;
            }
            std::mem::replace(&mut *state, State::Up(Arc::clone(&connection)))
        };
        match before {
            State::Up(replaced) => replaced.hang_up(),
            State::Dialing(dialed) => dialed.happen(),
            State::Down { .. } => {}
        }
        tasks.spawn(read_answers(
            Arc::clone(self),
            connection,
            pipe.receiver,
            identity,
        ));
        true
    }

    /// Takes the link down, unless another stream has replaced the one that ended or never opened.
    fn goes_down(&self, is_current: impl FnOnce(&State) -> bool, since: Option<Instant>) {
        let mut state = self.state.lock();
        if is_current(&state) {
            *state = State::Down { since };
        }
    }

    pub(crate) fn note_heard(&self, born: Instant, identity: &dyn Identity) {
        self.heard_ms.store(millis(born.elapsed()), Ordering::Release);
        self.is_refused.store(false, Ordering::Release);
        if self.away.swap(false, Ordering::AcqRel) {
            self.complained.store(false, Ordering::Relaxed);
            identity.returned(&self.node);
        }
    }
}

impl Pending {
    /// Waits for the answer. A peer that misses the deadline counts as away, unless it is busy sending
    /// long answers.
    pub(crate) async fn answer(mut self, deadline: Instant) -> Result<Answer, CallError> {
        match tokio::time::timeout_at(deadline, &mut self.answer).await {
            Ok(Ok(answer)) => {
                self.link.note_heard(self.born, self.returned.as_ref());
                Ok(answer)
            }
            _ => {
                if self.connection.pieces.load(Ordering::Relaxed) == self.pieces {
                    self.link.fell_silent();
                }
                Err(CallError::Silent)
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.connection.pending.lock().remove(&self.id);
        self.link.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) async fn dial(
    link: Arc<PeerLink>,
    identity: Arc<dyn Identity>,
    dialer: Arc<dyn Dialer>,
    tasks: Tasks,
    dialed: Arc<Signal>,
) {
    let opened = timeout(2 * CONNECT_LIMIT, open(&link, identity.as_ref(), dialer.as_ref())).await;
    match opened {
        Ok(Ok(met)) => {
            if link.goes_up(met, Arc::clone(&identity), &tasks) {
                return;
            }
        }
        Ok(Err(reason)) if !link.complained.swap(true, Ordering::Relaxed) => {
            tracing::debug!(peer = %link.node, %reason, "no link to peer");
        }
        Ok(Err(_)) | Err(_) => {}
    }
    let is_current =
        |state: &State| matches!(state, State::Dialing(current) if Arc::ptr_eq(current, &dialed));
    link.goes_down(is_current, Some(Instant::now()));
    link.fell_silent();
    dialed.happen();
}

pub(crate) async fn open(
    link: &PeerLink,
    identity: &dyn Identity,
    dialer: &dyn Dialer,
) -> Result<Met, String> {
    // An attempt that times out was not refused.
    link.is_refused.store(false, Ordering::Release);
    let met = meet(&link.node, identity, dialer).await;
    let met = met.map_err(|error| {
        let is_refused = matches!(error, DialError::Refused(_));
        link.is_refused.store(is_refused, Ordering::Release);
        link.judged(Ok(()));
        link.leads_to(None, "");
        error.to_string()
    })?;
    let theirs = &met.greeting;
    let named = check_name(&link.node, &identity.greeting(&link.node), theirs);
    let why = named.as_ref().err().map_or("", |unfit| unfit.text.as_str());
    link.leads_to(Some(&theirs.member.node), why);
    let fit = named.and_then(|()| identity.check(theirs));
    link.judged(fit.clone());
    fit.map(|()| met).map_err(|unfit| unfit.text)
}

/// A stream on which both sides have greeted.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) pipe: Pipe,
    pub(crate) greeting: Greeting,
    /// The life in which this node greeted, or the one before it.
    life: MemberId,
}

/// Opens a stream and exchanges greetings, without checking the peer's.
pub(crate) async fn meet(
    node: &NodeId,
    identity: &dyn Identity,
    dialer: &dyn Dialer,
) -> Result<Met, DialError> {
    let failed = |reason: &str| DialError::Failed(reason.to_owned());
    let life = identity.life();
    let mut pipe = dialer.dial(node.clone()).await?;
    let ours = encode_greeting(&identity.greeting(node));
    pipe.sender
        .send(ours)
        .await
        .map_err(|_| failed("the peer closed the stream"))?;
    let theirs = pipe
        .receiver
        .recv()
        .await
        .ok_or_else(|| failed("the peer closed the stream without a greeting"))?;
    let greeting = decode_greeting(&theirs).map_err(|error| failed(&error.to_string()))?;
    Ok(Met { pipe, greeting, life })
}

/// Hands answers to the calls that wait for them until the pipe ends; then the remaining calls fail.
async fn read_answers(
    link: Arc<PeerLink>,
    connection: Arc<Connection>,
    mut frames: mpsc::Receiver<Bytes>,
    identity: Arc<dyn Identity>,
) {
    let mut joiner = Joiner::default();
    while let Some(Some(bytes)) = connection.closed.run_until_cancelled(frames.recv()).await {
        let frame = match hear(&mut joiner, bytes, &connection.peer, identity.as_ref()) {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                connection.pieces.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Err(reason) => {
                link.complain(&reason);
                break;
            }
        };
        if let Body::Answer(answer) = frame.body
            && let Some(reply) = connection.pending.lock().remove(&frame.id)
        {
            let _ = reply.send(answer);
        }
    }
    let is_current = |state: &State| matches!(state, State::Up(current) if Arc::ptr_eq(current, &connection));
    link.goes_down(is_current, None);
    connection.pending.lock().clear();
}

/// Returns a frame once its last piece has arrived and `identity` has taken note of it.
pub(crate) fn hear(
    joiner: &mut Joiner,
    bytes: Bytes,
    from: &Greeting,
    identity: &dyn Identity,
) -> Result<Option<Frame>, String> {
    let message = joiner.take(bytes).map_err(|error| error.to_string())?;
    let Some(message) = message else { return Ok(None) };
    let frame = decode_frame(&message).map_err(|error| error.to_string())?;
    identity.observe(from, &frame)?;
    Ok(Some(frame))
}
