//! A network of links that may be slow, cut, or cut one way. Frames stay in order; a cut holds them, as
//! TCP does, until the link is whole again or an end of the stream is gone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use causeway::names::NodeId;
use causeway::net::{DialError, Dialer, FRAME_BYTES_MAX, PIPE_FRAMES, Pipe};
use causeway::node::Node;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use super::dice::Dice;

/// The network that all nodes of a simulation share.
#[derive(Clone)]
pub struct SimNetwork(Arc<Shared>);

struct Shared {
    dice: Dice,
    state: Mutex<State>,
    /// Ticks whenever a link changes.
    changed: Notify,
}

#[derive(Default)]
struct State {
    running: BTreeMap<NodeId, Weak<Node>>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Extra delay of a link, in milliseconds at the most.
    slow: BTreeMap<(NodeId, NodeId), u64>,
    delay_us: u64,
}

impl fmt::Debug for SimNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimNetwork")
    }
}

impl SimNetwork {
    pub fn new(dice: Dice) -> Self {
        let state = State {
            delay_us: 400,
            ..State::default()
        };
        Self(Arc::new(Shared {
            dice,
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    pub fn runs(&self, id: &NodeId, node: &Arc<Node>) {
        self.0
            .state
            .lock()
            .running
            .insert(id.clone(), Arc::downgrade(node));
    }

    /// The node is gone: connections to it are refused from now on.
    pub fn ended(&self, id: &NodeId) {
        self.0.state.lock().running.remove(id);
        self.tick();
    }

    /// Cuts what goes from one node to another.
    pub fn cut_one_way(&self, from: &NodeId, to: &NodeId) {
        self.0.state.lock().cut.insert((from.clone(), to.clone()));
        self.tick();
    }

    pub fn cut(&self, a: &NodeId, b: &NodeId) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Lets frames of a link take up to this much longer.
    pub fn slow_down(&self, from: &NodeId, to: &NodeId, delay_ms: u64) {
        self.0
            .state
            .lock()
            .slow
            .insert((from.clone(), to.clone()), delay_ms);
    }

    /// Makes every link whole and quick.
    pub fn heal(&self) {
        let mut state = self.0.state.lock();
        state.cut.clear();
        state.slow.clear();
        drop(state);
        self.tick();
    }

    pub fn heal_link(&self, a: &NodeId, b: &NodeId) {
        let mut state = self.0.state.lock();
        state.cut.remove(&(a.clone(), b.clone()));
        state.cut.remove(&(b.clone(), a.clone()));
        drop(state);
        self.tick();
    }

    fn tick(&self) {
        self.0.changed.notify_waiters();
    }

    fn delay(&self, link: &(NodeId, NodeId)) -> Duration {
        let state = self.0.state.lock();
        let slow_us = state.slow.get(link).copied().unwrap_or(0) * 1000;
        let most = state.delay_us + slow_us;
        drop(state);
        Duration::from_micros(self.0.dice.between(50, most.max(50)))
    }

    async fn until_whole(&self, link: &(NodeId, NodeId)) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // Listen first, then look: no change is missed between the two.
            changed.as_mut().enable();
            if !self.0.state.lock().cut.contains(link) {
                return;
            }
            changed.await;
        }
    }

    /// Resolves when the next frame of a link is there; never if none is under way.
    async fn arrival(&self, arrives: Option<Instant>, link: &(NodeId, NodeId)) {
        let Some(arrives) = arrives else {
            return std::future::pending().await;
        };
        sleep_until(arrives).await;
        self.until_whole(link).await;
    }

    /// The network as one node dials it.
    pub fn dialer(&self, from: &NodeId) -> Arc<dyn Dialer> {
        Arc::new(SimDialer {
            network: self.clone(),
            from: from.clone(),
        })
    }

    async fn dial(self, from: NodeId, to: NodeId) -> Result<Pipe, DialError> {
        let (there, back) = ((from.clone(), to.clone()), (to.clone(), from));
        self.until_whole(&there).await;
        self.until_whole(&back).await;
        sleep(self.delay(&there) + self.delay(&back)).await;
        let node = self.0.state.lock().running.get(&to).and_then(Weak::upgrade);
        let node = node.ok_or_else(|| DialError("connection refused".to_owned()))?;
        let (caller, there_receiver) = self.one_way(there);
        let (back_sender, back_receiver) = self.one_way(back);
        node.serve_peer(Pipe {
            sender: back_sender,
            receiver: there_receiver,
        });
        Ok(Pipe {
            sender: caller,
            receiver: back_receiver,
        })
    }

    /// One direction of a stream: what is sent comes out later, in order. It ends when either end does.
    #[expect(
        clippy::disallowed_methods,
        reason = "frames under way belong to the network, not to a node"
    )]
    fn one_way(&self, link: (NodeId, NodeId)) -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
        let (sender, mut sent) = mpsc::channel::<Bytes>(PIPE_FRAMES);
        let (deliver, receiver) = mpsc::channel(PIPE_FRAMES);
        let network = self.clone();
        tokio::spawn(async move {
            // Each frame has its own delay from the moment it was sent: a slow link lags, and carries as
            // much as a quick one.
            let mut under_way: VecDeque<(Instant, Bytes)> = VecDeque::new();
            let mut is_open = true;
            while is_open || !under_way.is_empty() {
                let arrives = under_way.front().map(|(arrives, _)| *arrives);
                tokio::select! {
                    biased;
                    () = deliver.closed() => return,
                    frame = sent.recv(), if is_open && under_way.len() < PIPE_FRAMES => match frame {
                        // As the real network has it.
                        Some(frame) if frame.len() > FRAME_BYTES_MAX => return,
                        Some(frame) => {
                            let last = under_way.back().map_or_else(Instant::now, |(last, _)| *last);
                            under_way.push_back((last.max(Instant::now() + network.delay(&link)), frame));
                        }
                        None => is_open = false,
                    },
                    () = network.arrival(arrives, &link) => {
                        let Some((_, frame)) = under_way.pop_front() else { return };
                        if deliver.send(frame).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        (sender, receiver)
    }
}

#[derive(Debug)]
struct SimDialer {
    network: SimNetwork,
    from: NodeId,
}

impl Dialer for SimDialer {
    fn dial(&self, node: NodeId) -> BoxFuture<'static, Result<Pipe, DialError>> {
        Box::pin(self.network.clone().dial(self.from.clone(), node))
    }
}
