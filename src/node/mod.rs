//! A running node: carries out the decisions of the floors below.
//!
//! - `requests`: connections read the sharded map and the published state directly, and ask a pure predicate.
//! - `commit`: all writes pass through it. It stores a batch with one sync and wakes each waiter.
//! - `replication`: siblings learn of writes by pushes, and of everything else by exchanges and gossip.
//! - `view_change` changes the view.
//! - `peers` counts an answer only for the member that gave it.
//! - `claims` keeps dependencies that one client makes up from hurting other clients.
//!
//! The node knows nothing of HTTP, files or sockets. Its world, network and disk are passed in, so the
//! simulator runs the same code.

// tests of the whole, among peers that say what a test tells them
#[cfg(test)]
mod tests;

// doors: starting a node, answering peers, reporting status
mod inbound;
mod start;
mod status;

// what clients ask for | how the view changes
mod requests;
mod view_change;

// claims: whether a client's dependencies exist
mod claims;

// replication: exchanges and gossip, old disks, expired removals and tombstones
mod replication;

// commit: the one place where state changes
mod commit;

// identity: how a node appears to its peers, its clocks and published state
mod identity;

// peers: the links
mod peers;

// runtime: tasks, the world, a signal
mod runtime;

// words: the vocabulary that all of them share
mod limits;
mod outcome;
mod paging;
mod time;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::commit::Committer;
pub use self::outcome::{Done, Found, Refusal, Written};
pub use self::requests::batch::AllDone;
pub use self::requests::list::{Listed, PAGE_KEYS_MAX};
pub use self::requests::room::{ANSWER_BYTES_MAX, Room};
pub use self::runtime::tasks::{Spawner, Tasks};
pub use self::runtime::world::{Machine, World};
pub use self::status::{NodeStatus, Role};
pub use self::time::clock_difference;
pub use self::view_change::view_request::{
    ChangeProgress, Changed, Preview, RequestKind, ViewOutcome, ViewRefusal, ViewRequest,
};
pub use start::{Parts, StartError};

use self::claims::Claims;
use self::commit::handle::Commit;
use self::commit::health::Storage;
use self::commit::pace::Pace;
use self::commit::waiters::Acks;
use self::identity::Me;
use self::peers::Peers;
use self::peers::log_once::Complaints;
use self::replication::exchange::Tickets;
use self::replication::gossip::Reports;
use self::requests::dedup::Remembered;
use self::requests::list::Collecting;
use self::requests::room::Rooms;
use self::view_change::drive::Changes;
use self::view_change::follow::Following;
use self::view_change::join::Formation;
use self::view_change::left_behind::Pages;
use self::view_change::watch::Admissions;

use crate::config::Limits;
use crate::names::Member;
use crate::protocol::causality::{Payload, Record, Timestamp};
use crate::protocol::replication::{ReplicaState, Step};
use crate::store::Resident;
use crate::wire::peer::{Answer, Push, Question, Start};

/// A running node, as the edges hold it.
#[derive(Debug)]
pub struct Node {
    me: Arc<Me>,
    start: Start,
    limits: Limits,
    resident: Resident,
    acks: Acks,
    peers: Peers,
    tasks: Tasks,
    commit: Commit,
    storage: Storage,
    pace: Pace,
    tickets: Tickets,
    remembered: Remembered,
    rooms: Rooms,
    collecting: Collecting,
    complaints: Complaints,
    reports: Reports,
    formation: Formation,
    changes: Changes,
    following: Following,
    admissions: Admissions,
    claims: Claims,
    pages: Pages,
    /// Ends the loops that belong to the active epoch.
    epoch_stop: Mutex<CancellationToken>,
    /// Ends the streams on which this node greeted in its present life.
    life_stop: Mutex<CancellationToken>,
}

impl Node {
    /// Parses a client's payload text; several texts joined by commas are joined. Empty is fine.
    ///
    /// Refuses a payload that does not parse, comes from another cluster, claims a time that no node can
    /// have drawn (a forged payload must not drive the clocks away), or names a write that no view allows.
    /// Claims that only other members can judge are judged where they matter ([`claims::vouch`]).
    pub fn payload(&self, text: &str) -> Result<Payload, Refusal> {
        if text.is_empty() {
            return Ok(Payload::default());
        }
        let state = self.me.state();
        // Without a view there is no cluster to compare with; the operation is refused anyway.
        let Some(view) = state.newest() else {
            return Ok(Payload::default());
        };
        let mut payload = Payload::from_text(text, view.cluster.into())
            .map_err(|error| Refusal::BadPayload(error.to_string()))?;
        if self.me.is_from_the_future(payload.timestamp) {
            let text = "the causal payload is from the future; check the clocks of the nodes, or start again without one";
            return Err(Refusal::BadPayload(text.to_owned()));
        }
        for dot in payload.entries.iter() {
            let epoch = dot.log.epoch;
            if !state.is_closed(epoch) && state.is_no_dot(dot) {
                return Err(Refusal::impossible());
            }
            // No node may store the entry before it knows the view: this fences the payload (I5).
            if !state.knows_epoch(epoch) {
                payload.epoch = payload.epoch.max(epoch);
            }
        }
        Ok(payload)
    }

    /// Encodes a payload for a client; empty while this node knows no cluster.
    pub fn payload_text(&self, payload: &Payload) -> String {
        let state = self.me.state();
        state
            .newest()
            .map_or_else(String::new, |view| payload.to_text(view.cluster.into()))
    }

    /// Opens the room for an answer to a client.
    pub fn room(&self) -> Room {
        self.rooms.open()
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Ends the node: none of its tasks takes another step. Stored data stays.
    pub async fn stop(&self) {
        self.tasks.stop();
        self.tasks.ended().await;
    }

    /// Ends the node without waiting for its tasks: a kill.
    pub fn kill(&self) {
        self.tasks.stop();
    }

    /// Resolves when the node ends.
    pub async fn stopped(&self) {
        self.tasks.stopping().await;
    }

    /// Checks that requests for keys can be routed; otherwise says why not.
    fn route(&self) -> Result<(), Refusal> {
        let state = self.me.state();
        match state.routing() {
            Some(view) if view.lists(&self.me.node) => Ok(()),
            Some(_) => Err(self.formation.refusal(&self.me.node, false)),
            None => Err(self.formation.refusal(&self.me.node, self.start.view.is_some())),
        }
    }

    /// Pushes this node's writes, which begin at number `first` and follow number `after`, to the siblings
    /// in step. Must be called in the order of the numbers. A batch of large values takes several pushes,
    /// because a frame cannot hold all of it.
    fn push(
        self: &Arc<Self>,
        state: &ReplicaState,
        after: u64,
        first: u64,
        records: Vec<Record>,
        deadline: Instant,
    ) {
        let (mut first, mut after) = (first, after);
        for page in paging::pages(records) {
            let next = first + page.len() as u64;
            self.push_page(state, after, first, &page, deadline);
            (after, first) = (next - 1, next);
        }
    }

    fn push_page(
        self: &Arc<Self>,
        state: &ReplicaState,
        after: u64,
        first: u64,
        records: &[Record],
        deadline: Instant,
    ) {
        let Some(view) = state.view() else { return };
        let stable = self.acks.stable().number(state.own_log());
        for sibling in self.acks.pushed_to() {
            let Some(member) = view.member_by_id(sibling) else {
                continue;
            };
            let push = Push {
                epoch: state.active,
                first,
                after,
                records: records.to_vec(),
                stable,
            };
            let question = Question::Push(push);
            let begun = self.peers.begin(&member, question.clone());
            let (node, epoch) = (Arc::clone(self), state.active);
            self.tasks.spawn(async move {
                let answer = match begun {
                    Ok(pending) => pending.answer(deadline).await,
                    Err(_) => {
                        // Boxed because it is rare and large: inline it would make every push task larger.
                        let limit = deadline.saturating_duration_since(Instant::now());
                        Box::pin(node.peers.call_member(&member, question, limit)).await
                    }
                };
                match answer {
                    Ok(Answer::Held { epoch, held }) => node.acks.acknowledged(epoch, sibling, &held, true),
                    _ => node.acks.fell_behind(epoch, sibling),
                }
            });
        }
    }

    /// Begins an epoch: resets the acknowledgements and starts the loops that talk to the view's members.
    fn begin_epoch(self: &Arc<Self>, state: &ReplicaState) {
        let own = state.own_log();
        let siblings = state.siblings();
        let step = |away: bool| if away { Step::Out } else { Step::In };
        let steps = siblings
            .iter()
            .map(|member| (member.id(), step(self.peers.is_away(&member.node))));
        // The view decides which clocks count.
        self.me.judge_wall();
        // A node that is no member, or does not know yet, has no siblings that could tell what is stable.
        let number = if state.is_member() {
            state.vector.number(own)
        } else {
            0
        };
        self.acks.begin(own, number, steps.collect());
        // A node that restarts between seal and activation stays sealed (I11).
        if state.is_sealed() || !state.is_member() {
            self.acks.seal();
        }
        let stop = self.tasks.child();
        std::mem::replace(&mut *self.epoch_stop.lock(), stop.clone()).cancel();
        if state.ended.is_some() {
            self.tasks.spawn_until(&stop, Arc::clone(self).lay_aside());
        } else if state.is_leaving() {
            self.tasks.spawn_until(&stop, Arc::clone(self).see_off());
        }
        let Some(view) = state.view().filter(|_| state.is_member()) else {
            return;
        };
        if !state.kept.is_empty() {
            self.tasks.spawn_until(&stop, Arc::clone(self).clean_up());
        }
        tracing::info!(
            epoch = %state.active,
            role = state.partition().map_or("proxy".to_owned(), |id| format!("replica of partition {id}")),
            "serving"
        );
        self.tasks
            .spawn_until(&stop, Arc::clone(self).look_for_the_absent());
        if siblings.len() > 1 {
            self.tasks.spawn_until(&stop, Arc::clone(self).spread_stable());
        }
        for peer in view.members().filter(|peer| *peer != state.me) {
            let is_sibling = siblings.contains(&peer);
            self.tasks
                .spawn_until(&stop, Arc::clone(self).gossip_with(peer.clone(), is_sibling));
            if is_sibling || state.has_not_heard(peer.id()) {
                self.hear(&stop, peer, is_sibling);
            }
        }
    }

    /// Starts exchanges with a peer, for as long as it may have something for this node.
    fn hear(self: &Arc<Self>, stop: &CancellationToken, peer: Member, is_sibling: bool) {
        self.me.ring(&peer.node);
        self.tasks
            .spawn_until(stop, Arc::clone(self).exchange_with(peer, is_sibling));
    }

    /// Starts exchanges with the members that may have served a lost line that this node just learned of.
    fn hear_owners_of_lost(self: &Arc<Self>, before: &ReplicaState, state: &ReplicaState) {
        let stop = self.epoch_stop.lock().clone();
        let members = state.view().into_iter().flat_map(|view| view.members());
        let others = members.filter(|peer| state.is_member() && *peer != state.me);
        for peer in others.filter(|peer| state.has_not_heard(peer.id()) && !before.has_not_heard(peer.id())) {
            if !state.is_sibling(peer.id()) {
                self.hear(&stop, peer, false);
            }
        }
    }

    /// Begins another life: this node was removed and keeps nothing, or its life has ended.
    fn begin_life(self: &Arc<Self>) {
        let left_behind = self.me.state().leftovers.len();
        tracing::info!(
            left_behind,
            "this node begins another life, and waits for a view to list it"
        );
        self.pages.arrived.notify_one();
        self.greet_anew();
        self.tasks.spawn(Arc::clone(self).find_place());
    }

    /// Closes every stream, because this node's greetings on them are outdated.
    fn greet_anew(&self) {
        let stop = self.tasks.child();
        std::mem::replace(&mut *self.life_stop.lock(), stop).cancel();
        self.peers.hang_up();
    }

    /// The highest timestamp that this node has drawn or seen.
    pub fn clock_now(&self) -> Timestamp {
        self.me.now()
    }
}
