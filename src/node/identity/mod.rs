//! A node as its peers see it: its greeting, its clocks and its published state. Also takes note of the
//! clock, epoch and position that peers stamp on their frames.

mod accepted;
mod clocks;
mod marks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::accepted::Accepted;
use self::marks::PeerMarks;
use crate::config::{Limits, millis};
use crate::names::{ClusterId, Epoch, Member, MemberId, NodeId};
use crate::node::peers::callee::Unfit;
use crate::node::peers::link::Identity;
use crate::node::runtime::signal::Signal;
use crate::node::runtime::world::World;
use crate::node::time::ages::Ages;
use crate::node::time::walls::{Reading, Walls};
use crate::planted::{self, Fault};
use crate::protocol::causality::{Clock, Timestamp};
use crate::protocol::replication::{Mark, ReplicaState};
use crate::wire::peer::{Body, Frame, Greeting};

/// This node as its peers see it.
#[derive(Debug)]
pub(crate) struct Me {
    pub node: NodeId,
    pub clock: Clock,
    pub world: Arc<dyn World>,
    boot: u64,
    pub(crate) born: Instant,
    clock_limit: Duration,
    pub(crate) walls: Mutex<Walls>,
    /// The wall clock may be mixed into timestamps up to here, a little above its last judgement: a jump
    /// between two judgements is not believed. 0 while the wall clock is doubted.
    pub(crate) trusted_up_to_ms: AtomicU64,
    /// The latest wall time that was believed of a member, here or at a peer.
    pub(crate) believed_ms: AtomicU64,
    state: ArcSwap<ReplicaState>,
    activations: AtomicU64,
    /// When writes began to wait for the next view, while they wait.
    sealed_since: Mutex<Option<Instant>>,
    /// Ticks whenever a new state is published.
    pub(crate) published: Signal,
    /// A peer that may know a view that this node does not.
    newer: Mutex<Option<NodeId>>,
    pub heard_newer: Notify,
    pub(crate) accepted: Accepted,
    /// The ages of removals.
    pub(crate) ages: Mutex<Ages>,
    /// How far other members have come.
    pub(crate) marks: PeerMarks,
    /// Notified when a member has seen this node further than its disk knows.
    pub(crate) disk_is_old: Notify,
    /// That member: it knows later views than the disk.
    pub(crate) witness: Mutex<Option<NodeId>>,
    /// The bell of each peer.
    returns: Mutex<BTreeMap<NodeId, Arc<Notify>>>,
}

impl Me {
    pub(crate) fn new(state: ReplicaState, world: Arc<dyn World>, limits: &Limits) -> Self {
        let reading = Reading {
            wall_ms: world.wall_ms(),
            monotonic_ms: 0,
        };
        Self {
            node: state.me.node.clone(),
            clock: Clock::default(),
            boot: world.random(),
            world,
            born: Instant::now(),
            clock_limit: limits.clock_limit,
            walls: Mutex::new(Walls::new(limits.clock_limit, limits.forget_after, reading)),
            trusted_up_to_ms: AtomicU64::new(0),
            believed_ms: AtomicU64::new(0),
            sealed_since: Mutex::new(state.is_sealed().then(Instant::now)),
            state: ArcSwap::from_pointee(state),
            activations: AtomicU64::default(),
            published: Signal::default(),
            newer: Mutex::default(),
            heard_newer: Notify::new(),
            accepted: Accepted::default(),
            ages: Mutex::default(),
            marks: PeerMarks::default(),
            disk_is_old: Notify::new(),
            witness: Mutex::default(),
            returns: Mutex::default(),
        }
    }

    /// This node in its present life; a node that was removed begins another.
    pub(crate) fn member(&self) -> Member {
        self.state.load().me.clone()
    }

    /// The cluster that this node belongs to; none while it waits to be added.
    fn cluster(&self) -> Option<ClusterId> {
        let state = self.state.load();
        let newest = state.newest().filter(|_| !state.is_free());
        newest.map(|view| view.cluster)
    }

    /// True if the greeting comes from this very process.
    pub(crate) fn is_me(&self, peer: &Greeting) -> bool {
        peer.boot == self.boot
    }

    /// The last published state, consistent as a whole.
    pub(crate) fn state(&self) -> Arc<ReplicaState> {
        self.state.load_full()
    }

    /// True while it is unknown whether the disk went back in time.
    pub(crate) fn is_unproven(&self) -> bool {
        self.state.load().is_unproven
    }

    /// How often this node has activated or left a view. While the number is the same, no slot that it
    /// owns is dropped, and no record of a copy is put into one.
    pub(crate) fn activations(&self) -> u64 {
        self.activations.load(Ordering::Acquire)
    }

    pub(crate) fn publish(&self, state: ReplicaState) {
        let state = Arc::new(state);
        let before = self.state.swap(Arc::clone(&state));
        let is_activation = (before.active, &before.me) != (state.active, &state.me);
        if is_activation {
            self.activations.fetch_add(1, Ordering::AcqRel);
        }
        if is_activation || before.lost.len() != state.lost.len() {
            self.ages.lock().follow(&before, &state);
        }
        if before.is_sealed() != state.is_sealed() {
            *self.sealed_since.lock() = state.is_sealed().then(Instant::now);
        }
        self.published.happen();
    }

    /// How long writes have waited for the next view, if they do.
    pub(crate) fn sealed_for(&self) -> Option<Duration> {
        self.sealed_since.lock().map(|since| since.elapsed())
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        self.world.wall_ms()
    }

    pub(crate) fn clock_limit_ms(&self) -> u64 {
        millis(self.clock_limit)
    }

    /// Takes note of a peer that may know a view that this node does not.
    pub(crate) fn may_know_newer(&self, peer: &NodeId) {
        *self.newer.lock() = Some(peer.clone());
        self.heard_newer.notify_one();
    }

    /// Takes the peer that may know a newer view: each is given once.
    pub(crate) fn take_newer(&self) -> Option<NodeId> {
        self.newer.lock().take()
    }

    /// The bell that rings when `peer` answers again, or when a reader misses writes that the peer has.
    pub(crate) fn bell(&self, peer: &NodeId) -> Arc<Notify> {
        Arc::clone(self.returns.lock().entry(peer.clone()).or_default())
    }

    /// Rings a peer's bell: this node may lack something that the peer has.
    pub(crate) fn ring(&self, peer: &NodeId) {
        self.bell(peer).notify_one();
    }
}

impl Identity for Me {
    fn greeting(&self, peer: &NodeId) -> Greeting {
        Greeting {
            mark: self.state.load().mark(),
            remembers: self.marks.of_node(peer),
            holds: self.state.load().last_held_of(peer),
            member: self.member(),
            boot: self.boot,
            cluster: self.cluster(),
            clock: self.now(),
            time: self.shown(),
        }
    }

    fn check(&self, peer: &Greeting) -> Result<(), Unfit> {
        if peer.member.node == self.node && !self.is_me(peer) {
            return Err(Unfit {
                text: "it uses this node's own name; give each process an IPPORT of its own".to_owned(),
                is_other_cluster: false,
            });
        }
        let ours = self.cluster();
        if let (Some(ours), Some(theirs)) = (ours, peer.cluster)
            && ours != theirs
        {
            return Err(Unfit {
                text: "it belongs to another cluster; start it with an empty DATA_DIR and without VIEW"
                    .to_owned(),
                is_other_cluster: true,
            });
        }
        self.hear_clock(&peer.member, peer.clock);
        self.hear_time(&peer.member.node, peer.time);
        let state = self.state.load();
        let is_listed = || state.views.values().any(|view| view.lists(&peer.member.node));
        self.marks.greeted(&peer.member, peer.mark, is_listed);
        // Otherwise this check would repair either fault before a test sees it.
        let is_believed = || planted::is(Fault::OldDisksServe) || planted::is(Fault::SameIncarnation);
        let of_ours = peer.remembers.iter().filter(|(life, _)| *life == state.id);
        let went_back = of_ours.clone().any(|(_, mark)| state.went_back(mark));
        let has_lost = peer.holds.is_some_and(|held| state.lost_own(held));
        if (went_back || has_lost) && !is_believed() {
            *self.witness.lock() = Some(peer.member.node.clone());
            self.disk_is_old.notify_one();
            return Err(Unfit {
                text: "it has seen this node further than this node's disk knows; the disk went back in time, and \
                       its node begins another life"
                    .to_owned(),
                is_other_cluster: false,
            });
        }
        Ok(())
    }

    fn life(&self) -> MemberId {
        self.state.load().id
    }

    fn frame(&self, id: u64, body: Body) -> Frame {
        let state = self.state.load();
        Frame {
            id,
            clock: self.now(),
            epoch: state.active,
            position: state.position,
            body,
        }
    }

    fn observe(&self, from: &Greeting, frame: &Frame) -> Result<(), String> {
        if frame.clock.wall_ms() > Timestamp::WALL_MS_MAX {
            return Err(format!(
                "{} sends a time that no clock can show",
                from.member.node
            ));
        }
        self.hear_clock(&from.member, frame.clock);
        let state = self.state.load();
        let is_listed = || state.views.values().any(|view| view.lists(&from.member.node));
        let mark = Mark {
            position: frame.position,
            ..from.mark
        };
        self.marks.note(&from.member, mark, is_listed);
        if frame.epoch == state.active {
            return Ok(());
        }
        let newest = state.newest();
        let is_known = |epoch: Epoch| newest.is_some_and(|view| view.has(epoch)) || state.knows_epoch(epoch);
        let is_unknown = !is_known(frame.epoch);
        // A node that no view lists has nothing to catch up with.
        let is_behind = frame.epoch > state.active && newest.is_some_and(|view| view.lists(&self.node));
        if is_unknown || is_behind {
            self.may_know_newer(&from.member.node);
        }
        Ok(())
    }

    fn returned(&self, peer: &NodeId) {
        tracing::info!(%peer, "peer answers again");
        self.ring(peer);
    }
}
