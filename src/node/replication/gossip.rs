//! Gossip between the members of a view: liveness, held and stable writes, and the epochs that a node is done with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::names::{Epoch, Member};
use crate::node::commit::job::Job;
use crate::node::limits::{GOSSIP_LIMIT, PUSH_LIMIT};
use crate::node::replication::Replication;
use crate::planted::{self, Fault};
use crate::protocol::replication::ReplicaState;
use crate::wire::peer::{Answer, Gossip, Question};

/// How often siblings gossip: bounds how soon a frozen one is detected when nothing else is asked of it.
const SIBLING_PAUSE: Duration = Duration::from_millis(200);

/// The same for all other nodes, which only need to know what is stable and which nodes are alive.
const OTHER_PAUSE: Duration = Duration::from_millis(500);

/// The least time between two stability notices: under load, pushes carry the same news anyway.
const SPREAD_PAUSE: Duration = Duration::from_millis(2);

/// The epochs of lost lines; true for those from which this node waits for nothing.
fn lost_lines(state: &ReplicaState) -> BTreeMap<Epoch, bool> {
    if state.lost.is_empty() {
        return BTreeMap::new();
    }
    let done: BTreeSet<Epoch> = state.does_not_await_lost().collect();
    let known = state.lost.keys();
    known.map(|epoch| (*epoch, done.contains(epoch))).collect()
}

impl Replication {
    /// Gossips with one peer for as long as the epoch lasts.
    pub(crate) async fn gossip_with(self: Arc<Self>, peer: Member, is_sibling: bool) {
        let pause = if is_sibling { SIBLING_PAUSE } else { OTHER_PAUSE };
        loop {
            self.gossip_once(&peer, GOSSIP_LIMIT).await;
            sleep(pause).await;
        }
    }

    pub(crate) async fn gossip_once(&self, peer: &Member, limit: Duration) {
        let question = Question::Gossip(self.gossip().into());
        if let Ok((Answer::Gossip(theirs), answered)) =
            self.shared.peers.call_known(&peer.node, question, limit).await
        {
            if answered != *peer {
                self.shared.me.may_know_newer(&peer.node);
            }
            self.hear_gossip(&answered, &theirs, true).await;
        }
    }

    /// Tells the siblings at once what became stable, by an empty push, because several siblings cannot
    /// conclude it themselves. Readers of fresh writes then carry no entries, and payloads stay short.
    pub(crate) async fn spread_stable(self: Arc<Self>) {
        loop {
            self.shared.acks.moved.notified().await;
            self.push(
                &self.shared.me.state(),
                0,
                1,
                Vec::new(),
                Instant::now() + PUSH_LIMIT,
            );
            sleep(SPREAD_PAUSE).await;
        }
    }

    /// The gossip of this node.
    pub(crate) fn gossip(&self) -> Gossip {
        let state = self.shared.me.state();
        let mut stable = (*self.shared.acks.stable()).clone();
        stable.retain(|dot| {
            dot.log.epoch != state.active || dot.log.member == state.id || state.is_sibling(dot.log.member)
        });
        Gossip {
            epoch: state.active,
            time: self.shared.me.shown(),
            held: state.vector.clone(),
            stable,
            done_below: state.done_below(),
            run: state.runs.current().number,
            closed: state.closed.clone(),
            does_not_await: state.does_not_await(),
            lost: lost_lines(&state),
            counted: self.shared.me.ages.lock().tell(),
        }
    }

    pub(crate) async fn hear_gossip(&self, from: &Member, gossip: &Gossip, answers_us: bool) {
        self.shared.me.hear_time(&from.node, gossip.time);
        let state = self.shared.me.state();
        if state.active == Epoch::NONE {
            return;
        }
        self.reports.note(from.id(), gossip);
        self.claims.ledger.hear(&gossip.held);
        let is_member = state.view().is_some_and(|view| view.is_member(from));
        let knows_more = |epoch: &Epoch| !state.has(*epoch) && !state.lost.contains_key(epoch);
        if gossip.lost.keys().any(knows_more) {
            self.shared.me.may_know_newer(&from.node);
        }
        if gossip.epoch == state.active && is_member {
            self.shared
                .me
                .ages
                .lock()
                .hear(from.id(), &gossip.counted, &state);
        }
        self.shared
            .acks
            .hear_stable(&state, from, gossip.epoch, &gossip.stable);
        if gossip.epoch == state.active && state.has_not_heard(from.id()) {
            self.shared.me.ring(&from.node);
        }
        if gossip.epoch == state.active && !state.is_sealed() && state.is_sibling(from.id()) {
            self.shared
                .acks
                .acknowledged(gossip.epoch, from.id(), &gossip.held, answers_us);
            if !state.vector.covers(&gossip.held) || state.waits_for(from.id()) {
                self.shared.me.ring(&from.node);
            }
        }
        // A closing that was concluded in a later view does not count before that view is active here.
        let announced =
            (is_member && gossip.closed.below > state.closed.below).then(|| gossip.closed.clone());
        let announced =
            announced.filter(|closed| state.active >= closed.at || planted::is(Fault::ClosedByNodeBehind));
        if let Some(closed) = announced.or_else(|| self.reports.conclude(&state)) {
            self.shared.commit.enqueue(Job::Close(closed)).await;
        }
        if let Some((removed, lost)) = self.reports.conclude_removals(&state) {
            self.shared.commit.enqueue(Job::Settle { removed, lost }).await;
        }
    }
}
