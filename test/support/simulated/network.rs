//! A network of links that may be slow, lossy, cut, flapping, or cut one way. Frames stay in order. A
//! cut holds them, as TCP does, until the link is whole, the stream breaks, or one of its ends is gone.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
use super::links::{Link, Links, Passes};

/// A frame takes up to this long on a link without a fault.
const DELAY_US: u64 = 400;

/// A stream that is silent for longer is given up.
const BACK_OFF_US_MAX: u64 = 2_000_000;

/// Since when a cut holds the first frame of a stream, and when that frame moves on.
#[derive(Default)]
struct Held {
    since: Option<Instant>,
    goes_on: Option<Instant>,
}

/// The network that all nodes of a simulation share.
#[derive(Clone)]
pub struct SimNetwork(Arc<Shared>);

struct Shared {
    dice: Dice,
    links: Mutex<Links>,
    running: Mutex<BTreeMap<NodeId, Weak<Node>>>,
    /// Whether held frames are delayed after a cut, as TCP resends less and less often.
    backs_off: AtomicBool,
    /// Ticks whenever a link changes.
    changed: Notify,
    /// Frames that were longer than a stream carries.
    overlong: AtomicU64,
}

impl fmt::Debug for SimNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimNetwork")
    }
}

impl SimNetwork {
    pub fn new(dice: Dice) -> Self {
        Self(Arc::new(Shared {
            dice,
            links: Mutex::new(Links::new(DELAY_US)),
            running: Mutex::default(),
            backs_off: AtomicBool::new(false),
            changed: Notify::new(),
            overlong: AtomicU64::new(0),
        }))
    }

    /// From now on, frames and dials that a cut holds move on some time after the link is whole again:
    /// up to as long again as they were held. A stream that is opened then carries frames at once.
    pub fn back_off(&self) {
        self.0.backs_off.store(true, Ordering::Relaxed);
    }

    /// How many streams ended because of an overlong frame.
    pub fn overlong(&self) -> u64 {
        self.0.overlong.load(Ordering::Relaxed)
    }

    pub fn runs(&self, id: &NodeId, node: &Arc<Node>) {
        let mut running = self.0.running.lock();
        running.insert(id.clone(), Arc::downgrade(node));
    }

    /// The node has ended: connections to it are refused from now on.
    pub fn ended(&self, id: &NodeId) {
        self.0.running.lock().remove(id);
        self.0.changed.notify_waiters();
    }

    /// Cuts one direction of a link.
    pub fn cut_one_way(&self, from: &NodeId, to: &NodeId) {
        self.change(|links| links.cut((from.clone(), to.clone())));
    }

    pub fn cut(&self, a: &NodeId, b: &NodeId) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Lets a link be whole and cut in turn, both ways at once.
    pub fn flap(&self, a: &NodeId, b: &NodeId, half_ms: u64) {
        let half = Duration::from_millis(half_ms);
        self.change(|links| both(a, b).into_iter().for_each(|link| links.flap(link, half)));
    }

    /// Lets frames of a link take up to this much longer.
    pub fn slow_down(&self, from: &NodeId, to: &NodeId, delay_ms: u64) {
        self.change(|links| links.slow_down((from.clone(), to.clone()), delay_ms));
    }

    /// Undoes [`Self::slow_down`], both ways.
    pub fn quicken(&self, a: &NodeId, b: &NodeId) {
        self.change(|links| both(a, b).iter().for_each(|link| links.quicken(link)));
    }

    /// Loses this many of a hundred frames, both ways; the transport resends them.
    pub fn lose(&self, a: &NodeId, b: &NodeId, percent: u64) {
        self.change(|links| both(a, b).into_iter().for_each(|link| links.lose(link, percent)));
    }

    /// Redirects dials of one node's address to another, as with a port that leads to the wrong machine;
    /// `None` corrects it.
    pub fn redirect(&self, address: &NodeId, other: Option<&NodeId>) {
        self.change(|links| links.redirect(address, other.cloned()));
    }

    /// Ends every stream between two nodes.
    pub fn break_streams(&self, a: &NodeId, b: &NodeId) {
        self.change(|links| both(a, b).iter().for_each(|link| links.break_streams(link)));
    }

    /// Repairs every link, and lets every address lead to its node.
    pub fn heal(&self) {
        self.change(Links::mend_all);
    }

    pub fn heal_link(&self, a: &NodeId, b: &NodeId) {
        self.change(|links| both(a, b).iter().for_each(|link| links.mend(link)));
    }

    /// True if frames pass both ways between two nodes now.
    pub fn is_whole(&self, a: &NodeId, b: &NodeId) -> bool {
        let links = self.0.links.lock();
        both(a, b)
            .iter()
            .all(|link| matches!(links.passes(link), Passes::Now))
    }

    fn change(&self, change: impl FnOnce(&mut Links)) {
        change(&mut self.0.links.lock());
        self.0.changed.notify_waiters();
    }

    fn delay(&self, link: &Link) -> Duration {
        self.0.links.lock().delay(link, &self.0.dice)
    }

    /// True if frames in flight on a breaking stream arrive: never behind a cut, otherwise by chance.
    fn lets_arrive(&self, link: &Link) -> bool {
        let passes = self.0.links.lock().passes(link);
        matches!(passes, Passes::Now) && self.0.dice.chance(50)
    }

    /// Waits until frames pass. Held frames may be delayed longer.
    async fn until_whole(&self, link: &Link, held: &mut Held) {
        loop {
            if !matches!(self.0.links.lock().passes(link), Passes::Now) {
                held.since.get_or_insert_with(Instant::now);
            }
            self.until_passing(link).await;
            let backs_off = self.0.backs_off.load(Ordering::Relaxed);
            let Some(since) = held.since.filter(|_| backs_off) else {
                return *held = Held::default();
            };
            let goes_on = *held.goes_on.get_or_insert_with(|| self.back_off_of(since));
            sleep_until(goes_on).await;
            held.goes_on = None;
            if matches!(self.0.links.lock().passes(link), Passes::Now) {
                return *held = Held::default();
            }
        }
    }

    /// When frames that were held since then move on, if the link is whole now.
    fn back_off_of(&self, since: Instant) -> Instant {
        let held_us = u64::try_from(since.elapsed().as_micros()).expect("a short simulation");
        let most_us = (held_us * 9 / 10).min(BACK_OFF_US_MAX);
        Instant::now() + Duration::from_micros(self.0.dice.between(0, most_us))
    }

    async fn until_passing(&self, link: &Link) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // Subscribe first, then check: no change is missed between the two.
            changed.as_mut().enable();
            let passes = self.0.links.lock().passes(link);
            match passes {
                Passes::Now => return,
                Passes::Never => changed.await,
                Passes::At(then) => tokio::select! {
                    biased;
                    () = changed => {}
                    () = sleep_until(then) => {}
                },
            }
        }
    }

    /// Resolves when the next frame of a link arrives; never if none is in flight.
    async fn arrival(&self, arrives: Option<Instant>, link: &Link, held: &mut Held) {
        let Some(arrives) = arrives else {
            return std::future::pending().await;
        };
        sleep_until(arrives).await;
        self.until_whole(link, held).await;
    }

    /// The network as one node dials it.
    pub fn dialer(&self, from: &NodeId) -> Arc<dyn Dialer> {
        Arc::new(SimDialer {
            network: self.clone(),
            from: from.clone(),
        })
    }

    async fn dial(self, from: NodeId, address: NodeId) -> Result<Pipe, DialError> {
        let to = self.0.links.lock().reached_at(&address);
        let (there, back) = ((from.clone(), to.clone()), (to.clone(), from));
        self.until_whole(&there, &mut Held::default()).await;
        self.until_whole(&back, &mut Held::default()).await;
        sleep(self.delay(&there) + self.delay(&back)).await;
        let node = self.0.running.lock().get(&to).and_then(Weak::upgrade);
        let node = node.ok_or_else(|| DialError::Refused("connection refused".to_owned()))?;
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

    /// One direction of a stream: frames come out later, in order. It ends when either end does, or when
    /// it breaks.
    #[expect(
        clippy::disallowed_methods,
        reason = "frames under way belong to the network, not to a node"
    )]
    fn one_way(&self, link: Link) -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
        let (sender, sent) = mpsc::channel::<Bytes>(PIPE_FRAMES);
        let (deliver, receiver) = mpsc::channel(PIPE_FRAMES);
        let network = self.clone();
        let open = self.0.links.lock().opened(&link);
        tokio::spawn(async move {
            let mut under_way = VecDeque::new();
            let carried = network.carry(&link, sent, &deliver, &mut under_way);
            let has_ended = open.run_until_cancelled(carried).await.is_some();
            if !has_ended && network.lets_arrive(&link) {
                for (_, frame) in under_way {
                    let _ = deliver.try_send(frame);
                }
            }
        });
        (sender, receiver)
    }

    /// Each frame has its own delay, counted from when it was sent: a slow link lags, but carries as
    /// much as a quick one.
    async fn carry(
        &self,
        link: &Link,
        mut sent: mpsc::Receiver<Bytes>,
        deliver: &mpsc::Sender<Bytes>,
        under_way: &mut VecDeque<(Instant, Bytes)>,
    ) {
        let (mut is_open, mut held) = (true, Held::default());
        while is_open || !under_way.is_empty() {
            let arrives = under_way.front().map(|(arrives, _)| *arrives);
            tokio::select! {
                biased;
                () = deliver.closed() => return,
                frame = sent.recv(), if is_open && under_way.len() < PIPE_FRAMES => match frame {
                    // As the real network does.
                    Some(frame) if frame.len() > FRAME_BYTES_MAX => {
                        self.0.overlong.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    Some(frame) => {
                        let last = under_way.back().map_or_else(Instant::now, |(last, _)| *last);
                        under_way.push_back((last.max(Instant::now() + self.delay(link)), frame));
                    }
                    None => is_open = false,
                },
                () = self.arrival(arrives, link, &mut held) => {
                    let Some((_, frame)) = under_way.pop_front() else { return };
                    if deliver.send(frame).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn both(a: &NodeId, b: &NodeId) -> [Link; 2] {
    [(a.clone(), b.clone()), (b.clone(), a.clone())]
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
