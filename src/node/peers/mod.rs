//! Calls peers over one link each, opened on demand, and tracks each peer's health.
//!
//! A failed call says whether the question was sent, because a write whose answer is lost may have been
//! done. A silent peer is *away* until it answers again; heartbeats detect both.

pub(super) mod callee;
pub(super) mod link;
pub(super) mod log_once;
pub(super) mod outbox;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::millis;
use crate::names::{Member, NodeId};
use crate::net::Dialer;
use crate::node::limits::{CONNECT_LIMIT, FRESH};
use crate::node::peers::callee::Unfit;
use crate::node::peers::link::{CallError, Connection, Identity, PeerLink, Pending, State, dial, meet, open};
use crate::node::peers::outbox::Closed;
use crate::node::runtime::signal::Signal;
use crate::node::runtime::tasks::Tasks;
use crate::wire::peer::{Answer, Body, Greeting, Question, encode_frame};
use crate::wire::pieces::count;

/// The pause after a failed attempt, so that no caller waits for a dead peer twice in a row.
const REDIAL_PAUSE: Duration = Duration::from_millis(100);

/// The time for one knock. Within twice this time a caller makes or shares one that began after it came.
const KNOCK_LIMIT: Duration = Duration::from_millis(50);

/// A peer heard or first called within this time may be on its way: starting, or on a busy machine.
pub(crate) const ON_ITS_WAY_FOR: Duration = Duration::from_secs(2);

/// A live peer greets several times within this time.
const ESTRANGED_FOR: Duration = Duration::from_secs(3);

/// The outcome of a knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knocked {
    /// The link is up, or was found up meanwhile.
    Answered,
    /// The peer is dead, or cannot be talked to.
    Refused,
    /// The peer is frozen or cut off.
    Silent,
}

/// The links to all peers.
#[derive(Debug)]
pub(crate) struct Peers {
    identity: Arc<dyn Identity>,
    dialer: Arc<dyn Dialer>,
    tasks: Tasks,
    links: Mutex<BTreeMap<NodeId, Arc<PeerLink>>>,
    born: Instant,
}

impl Peers {
    pub(crate) fn new(identity: Arc<dyn Identity>, dialer: Arc<dyn Dialer>, tasks: Tasks) -> Self {
        Self {
            identity,
            dialer,
            tasks,
            links: Mutex::default(),
            born: Instant::now(),
        }
    }

    /// Asks a peer and waits for its answer, `limit` at the most.
    pub(crate) async fn call(
        &self,
        node: &NodeId,
        question: Question,
        limit: Duration,
    ) -> Result<Answer, CallError> {
        Ok(self.call_known(node, question, limit).await?.0)
    }

    /// The same, with the incarnation that answered.
    pub(crate) async fn call_known(
        &self,
        node: &NodeId,
        question: Question,
        limit: Duration,
    ) -> Result<(Answer, Member), CallError> {
        let (answer, asked) = self.call_if(node, question, limit, |_| Ok(())).await?;
        Ok((answer, asked.peer.member.clone()))
    }

    /// Asks a member. Another life at its address is not asked: it does not hold what the member holds.
    pub(crate) async fn call_member(
        &self,
        member: &Member,
        question: Question,
        limit: Duration,
    ) -> Result<Answer, CallError> {
        Ok(self.call_process_of(member, question, limit).await?.0)
    }

    /// The same, with the `boot` of the process that answered.
    pub(crate) async fn call_process_of(
        &self,
        member: &Member,
        question: Question,
        limit: Duration,
    ) -> Result<(Answer, u64), CallError> {
        let is_it = |connection: &Connection| leads_to(connection, member);
        let (answer, asked) = self.call_if(&member.node, question, limit, is_it).await?;
        Ok((answer, asked.peer.boot))
    }

    /// Asks the process that answers at an address, if its connection `fits`.
    async fn call_if(
        &self,
        node: &NodeId,
        question: Question,
        limit: Duration,
        fits: impl Fn(&Connection) -> Result<(), CallError>,
    ) -> Result<(Answer, Arc<Connection>), CallError> {
        let deadline = Instant::now() + limit;
        let connection = self.connection(node, limit.min(CONNECT_LIMIT)).await?;
        fits(&connection)?;
        let pending = self.send(node, connection, question, deadline).await?;
        let asked = Arc::clone(&pending.connection);
        Ok((pending.answer(deadline).await?, asked))
    }

    /// Returns the greeting of the process that answers at an address, on a new stream: a link that is up
    /// may lead to a dead process.
    pub(crate) async fn who_answers_at(&self, node: &NodeId) -> Option<Greeting> {
        let met = meet(node, self.identity.as_ref(), self.dialer.as_ref());
        let met = timeout(2 * CONNECT_LIMIT, met).await.ok()?.ok()?;
        Some(met.greeting)
    }

    /// The `boot` of the process that the link leads to, if the link is up.
    pub(crate) fn boot(&self, node: &NodeId) -> Option<u64> {
        match &*self.link(node).state.lock() {
            State::Up(connection) => Some(connection.peer.boot),
            _ => None,
        }
    }

    /// Asks a peer, if its process is the one that was asked before: a restarted process has forgotten the
    /// question.
    pub(crate) async fn call_same_boot(
        &self,
        node: &NodeId,
        boot: u64,
        question: Question,
        limit: Duration,
    ) -> Result<Answer, CallError> {
        let is_it = |connection: &Connection| {
            (connection.peer.boot == boot)
                .then_some(())
                .ok_or(CallError::Rebooted)
        };
        Ok(self.call_if(node, question, limit, is_it).await?.0)
    }

    /// Sends a member a question at once and in the caller's order, if the link is up and not full.
    pub(crate) fn begin(&self, member: &Member, question: Question) -> Result<Pending, CallError> {
        let link = self.link(&member.node);
        let connection = match &*link.state.lock() {
            State::Up(connection) => Arc::clone(connection),
            _ => return Err(CallError::Unreachable),
        };
        leads_to(&connection, member)?;
        let (pending, frame) = self.prepare(link, connection, question);
        let sent = pending.connection.outbox.try_send(frame);
        sent.map_err(|Closed| CallError::Unreachable)?;
        Ok(pending)
    }

    async fn send(
        &self,
        node: &NodeId,
        connection: Arc<Connection>,
        question: Question,
        deadline: Instant,
    ) -> Result<Pending, CallError> {
        let (pending, frame) = self.prepare(self.link(node), connection, question);
        let is_long = count(frame.len()) > 1;
        let sent = if is_long {
            timeout_at(deadline, self.send_long(&pending, frame)).await
        } else {
            timeout_at(deadline, pending.connection.outbox.send(0, || frame)).await
        };
        match sent {
            Ok(Ok(())) => return Ok(pending),
            // The stream takes no more messages, even if the peer has not closed the other direction yet.
            Ok(Err(Closed)) => pending.connection.hang_up(),
            Err(_) => {}
        }
        pending.link.fell_silent();
        // The rest of a long question may still arrive.
        Err(if is_long && sent.is_err() {
            CallError::Silent
        } else {
            CallError::Unreachable
        })
    }

    /// Sends a long question in a task of its own, because it must not be cancelled halfway.
    async fn send_long(&self, pending: &Pending, frame: Bytes) -> Result<(), Closed> {
        let connection = Arc::clone(&pending.connection);
        let (reply, sent) = oneshot::channel();
        self.tasks.spawn(async move {
            let _ = reply.send(connection.outbox.send(frame.len(), || frame).await);
        });
        sent.await.unwrap_or(Err(Closed))
    }

    fn prepare(
        &self,
        link: Arc<PeerLink>,
        connection: Arc<Connection>,
        question: Question,
    ) -> (Pending, Bytes) {
        let id = link.next_id.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        connection.pending.lock().insert(id, reply);
        link.outstanding.fetch_add(1, Ordering::Relaxed);
        let frame = encode_frame(&self.identity.frame(id, Body::Ask(question)));
        let returned = Arc::clone(&self.identity);
        let pieces = connection.pieces.load(Ordering::Relaxed);
        (
            Pending {
                link,
                connection,
                pieces,
                id,
                answer,
                returned,
                born: self.born,
            },
            frame,
        )
    }

    /// Why the peer's last greeting was refused.
    pub(crate) fn refusal(&self, node: &NodeId) -> Option<Unfit> {
        let link = self.link(node);
        let unfit = link.unfit.lock();
        unfit.as_ref().map(|(unfit, _)| unfit.clone())
    }

    /// Says which other node answers at the address of `node`, and what to do about it.
    pub(crate) fn misled(&self, node: &NodeId) -> Option<String> {
        let link = self.link(node);
        let is_misled = link.other_name.lock().is_some();
        self.refusal(node).filter(|_| is_misled).map(|unfit| unfit.text)
    }

    /// Takes note that a peer that greeted us cannot be talked to. That says nothing about another life
    /// that answers at its address.
    pub(crate) fn found_unfit(&self, peer: &Member, unfit: &Unfit) {
        let link = self.link(&peer.node);
        let is_elsewhere =
            matches!(&*link.state.lock(), State::Up(connection) if connection.peer.member != *peer);
        if !is_elsewhere {
            link.judged(Err(unfit.clone()));
        }
    }

    /// True if the peer serves another cluster and greeted lately.
    pub(crate) fn is_estranged(&self, node: &NodeId) -> bool {
        let link = self.link(node);
        let unfit = link.unfit.lock();
        unfit
            .as_ref()
            .is_some_and(|(unfit, at)| unfit.is_other_cluster && at.elapsed() < ESTRANGED_FOR)
    }

    /// Closes every link, because this node begins another life and must greet again.
    pub(crate) fn hang_up(&self) {
        let links: Vec<_> = self.links.lock().values().cloned().collect();
        for link in links {
            link.hang_up();
        }
    }

    /// Takes note that a peer opened a stream to us. A stranger is another life than the one that the view
    /// lists: a call shows which of the two is at the address.
    pub(crate) fn greeted_by(&self, node: &NodeId, is_stranger: bool) {
        let link = self.link(node);
        if is_stranger {
            return link.retry_at_once();
        }
        link.judged(Ok(()));
        link.note_arrival(self.born, self.identity.as_ref());
    }

    /// True if the peer did not answer the last time it was asked.
    pub(crate) fn is_away(&self, node: &NodeId) -> bool {
        self.link(node).away.load(Ordering::Acquire)
    }

    /// True if the peer is away, but has not been silent long enough to be given up.
    pub(crate) fn is_on_its_way(&self, node: &NodeId) -> bool {
        self.is_away(node) && self.silence(node) < ON_ITS_WAY_FOR
    }

    /// True if the link to the peer is up, and it answered the last time it was asked.
    pub(crate) fn is_up(&self, node: &NodeId) -> bool {
        self.boot(node).is_some() && !self.is_away(node)
    }

    /// True if the peer is away and its address refuses connections: its process is dead.
    pub(crate) fn is_dead(&self, node: &NodeId) -> bool {
        let link = self.link(node);
        link.away.load(Ordering::Acquire) && link.is_refused.load(Ordering::Acquire)
    }

    pub(crate) fn outstanding(&self, node: &NodeId) -> usize {
        self.link(node).outstanding.load(Ordering::Relaxed)
    }

    /// True if a peer was heard a moment ago, or answers within `limit`.
    pub(crate) async fn is_alive(&self, node: &NodeId, limit: Duration) -> bool {
        // A peer that connected to us may not have been called yet.
        let is_fresh = self.is_up(node) && self.silence(node) < FRESH;
        is_fresh || self.call(node, Question::Ping, limit).await.is_ok()
    }

    /// How long the peer has been silent.
    pub(crate) fn silence(&self, node: &NodeId) -> Duration {
        let heard = Duration::from_millis(self.link(node).heard_ms.load(Ordering::Acquire));
        self.born.elapsed().saturating_sub(heard)
    }

    /// Peers that are away at the moment.
    pub(crate) fn away(&self) -> Vec<NodeId> {
        let links = self.links.lock();
        let away = links.values().filter(|link| link.away.load(Ordering::Acquire));
        away.map(|link| link.node.clone()).collect()
    }

    /// Opens another stream to a peer that is believed away, and replaces the silent one with it.
    ///
    /// For questions that must be asked anyway. After the network heals, the stream of a silent peer may
    /// stay in TCP's backoff for seconds, and a pending dial may have lost its first packet. One knock at
    /// a time; each caller makes its own, so that it begins after the caller came.
    pub(crate) async fn knock(&self, node: &NodeId) -> Knocked {
        let link = self.link(node);
        let _turn = link.knocking.lock().await;
        if !self.is_away(node) {
            return Knocked::Answered;
        }
        let opened = timeout(
            KNOCK_LIMIT,
            open(&link, self.identity.as_ref(), self.dialer.as_ref()),
        )
        .await;
        match opened {
            Ok(Ok(met)) => {
                if !link.goes_up(met, Arc::clone(&self.identity), &self.tasks) {
                    return Knocked::Refused;
                }
                link.note_heard(self.born, self.identity.as_ref());
                Knocked::Answered
            }
            Ok(Err(_)) => Knocked::Refused,
            Err(_) => Knocked::Silent,
        }
    }

    fn link(&self, node: &NodeId) -> Arc<PeerLink> {
        let mut links = self.links.lock();
        if let Some(link) = links.get(node) {
            return Arc::clone(link);
        }
        let link = Arc::new(PeerLink {
            node: node.clone(),
            state: Mutex::new(State::Down { since: None }),
            next_id: AtomicU64::new(1),
            heard_ms: AtomicU64::new(millis(self.born.elapsed())),
            away: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
            outstanding: AtomicUsize::new(0),
            complained: AtomicBool::new(false),
            unfit: Mutex::default(),
            other_name: Mutex::default(),
            knocking: tokio::sync::Mutex::default(),
        });
        links.insert(node.clone(), Arc::clone(&link));
        link
    }

    /// The connection of a link, opened if it is not up; all waiting callers share one attempt.
    async fn connection(&self, node: &NodeId, limit: Duration) -> Result<Arc<Connection>, CallError> {
        let link = self.link(node);
        let dialed = {
            let mut state = link.state.lock();
            match &*state {
                State::Up(connection) => return Ok(Arc::clone(connection)),
                State::Dialing(dialed) => Arc::clone(dialed),
                State::Down { since: Some(since) } if since.elapsed() < REDIAL_PAUSE => {
                    return Err(CallError::Unreachable);
                }
                State::Down { .. } => {
                    let dialed = Arc::<Signal>::default();
                    *state = State::Dialing(Arc::clone(&dialed));
                    self.tasks.spawn(dial(
                        Arc::clone(&link),
                        Arc::clone(&self.identity),
                        Arc::clone(&self.dialer),
                        self.tasks.clone(),
                        Arc::clone(&dialed),
                    ));
                    dialed
                }
            }
        };
        let done = timeout(limit, dialed.beyond(0)).await;
        if done.is_err() {
            link.fell_silent();
        }
        match &*link.state.lock() {
            State::Up(connection) => Ok(Arc::clone(connection)),
            _ => Err(CallError::Unreachable),
        }
    }
}

/// Refuses a connection that leads to another life than this member.
fn leads_to(connection: &Connection, member: &Member) -> Result<(), CallError> {
    if connection.peer.member == *member {
        Ok(())
    } else {
        Err(CallError::Unreachable)
    }
}
