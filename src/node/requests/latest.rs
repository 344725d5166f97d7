//! Reads and writes for clients that carry no payload: they depend on everything that was answered, at any
//! node, before they asked.
//!
//! All owners of the key are asked at once what they hold. A read waits until it sees all of that, so it
//! sees every write that any of them took and answered before. A write, whose clock is above theirs, wins
//! over all of it.
//!
//! An owner is left out of the answer only if it refuses a connection, or stays silent until this process
//! has *run* for as long as its patience with the owner lasts:
//!
//! - An owner that is believed away is asked all the same. A process that was frozen finds all its
//!   deadlines over when it goes on, and believes every other node away. While it was frozen, the others
//!   believed it away and answered writes alone.
//! - A deadline that is over proves nothing if this process was frozen meanwhile: the answer may wait in
//!   its own socket. So patience is counted in slices, and a pause costs one slice at most.
//! - A connection that breaks proves nothing: the owner may have been restarted. It is called again.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};

use crate::names::{Epoch, Key, Member, NodeId};
use crate::node::outcome::{Found, Refusal, Written};
use crate::node::peers::Knocked;
use crate::node::requests::Requests;
use crate::planted::{self, Fault};
use crate::protocol::causality::Payload;
use crate::protocol::replication::ReplicaState;
use crate::wire::peer::{Answer, Declined, Gossip, Question};

/// The unit in which patience is counted.
const SLICE: Duration = Duration::from_millis(10);

/// How many slices an owner that is believed away may take. An owner that answers takes a few milliseconds;
/// each request waits this long for an owner that is frozen or cut off.
const AWAY_SLICES: u32 = 10;

/// How many slices an owner that is not believed away may take. Then it is, and gets the others on top.
const ANSWER_SLICES: u32 = 30;

const ANSWER_LIMIT: Duration = Duration::from_millis(300);

/// An owner, and what it holds.
type Told = (Member, Gossip);

/// What a request depends on, and the owners that said so.
struct Recent {
    payload: Payload,
    told: Vec<(Member, Epoch)>,
}

impl Requests {
    /// Reads a key, with every write to it that was answered before at any node that this one reaches.
    pub async fn get_recent(&self, key: &Key) -> Result<Found, Refusal> {
        let began = Instant::now();
        let recent = self.recent(key).await?;
        // A client is answered within a second, however long the owners took.
        let wait = self.shared.limits.causal_wait;
        let wait = wait.saturating_sub(began.elapsed()).max(wait / 2);
        let deadline = Instant::now() + wait;
        self.until_handed_over(key, &recent, deadline).await?;
        let rest = deadline.saturating_duration_since(Instant::now());
        self.get_within(key, self.with_our_own(recent.payload), rest)
            .await
    }

    /// Adds what is held here: an owner that answers in our place must have both.
    fn with_our_own(&self, mut payload: Payload) -> Payload {
        let state = self.shared.me.state();
        if !planted::is(Fault::OwnLeftOut) {
            payload.epoch = payload.epoch.max(state.active);
            payload.entries.merge(&state.vector);
        }
        payload
    }

    /// Stores a value that wins over every write that was answered before, at any node that this one
    /// reaches.
    pub async fn put_recent(&self, key: &Key, value: Bytes) -> Result<Written, Refusal> {
        let recent = self.recent(key).await?;
        self.put(key, value, recent.payload).await
    }

    /// What the owners of a key hold. Refused if a node of the view serves another cluster: writes that it
    /// answers there will never be seen here.
    async fn recent(&self, key: &Key) -> Result<Recent, Refusal> {
        if let Some(node) = self.estranged() {
            return Err(Refusal::OtherCluster(node));
        }
        let owners = self.asked_owners(key);
        let answers = join_all(owners.iter().map(|owner| self.held_by(owner))).await;
        let mut payload = Payload {
            // Every answer has raised it.
            timestamp: self.shared.me.now(),
            ..Payload::default()
        };
        let mut told = Vec::new();
        for (owner, gossip) in answers.into_iter().flatten() {
            self.claims.ledger.hear(&gossip.held);
            if gossip.epoch != Epoch::NONE && !planted::is(Fault::HeldNotAwaited) {
                payload.epoch = payload.epoch.max(gossip.epoch);
                payload.entries.merge(&gossip.held);
                told.push((owner, gossip.epoch));
            }
        }
        Ok(Recent { payload, told })
    }

    fn asked_owners(&self, key: &Key) -> Vec<NodeId> {
        let mut owners = self.other_owners(key);
        if planted::is(Fault::OneOwnerAsked) {
            owners.truncate(1);
        }
        if planted::is(Fault::AwayNotAsked) {
            owners.retain(|owner| !self.shared.peers.is_away(owner));
        }
        owners
    }

    /// What an owner holds; none if it is dead, or silent until the patience with it ends.
    async fn held_by(&self, owner: &NodeId) -> Option<Told> {
        tokio::select! {
            biased;
            told = self.ask_until_told(owner) => told,
            () = self.patience_with(owner) => None,
        }
    }

    /// Asks an owner until it answers; none if it is dead.
    async fn ask_until_told(&self, owner: &NodeId) -> Option<Told> {
        loop {
            // The stream of an owner that was frozen still works; a stream that a cut silenced may not.
            let told = tokio::select! {
                biased;
                told = self.ask(owner) => told,
                Knocked::Answered = self.knock_when_away(owner) => None,
            };
            if told.is_some() {
                return told;
            }
            if self.shared.peers.is_away(owner) && self.knock_when_away(owner).await == Knocked::Refused {
                return None;
            }
            sleep(SLICE).await;
        }
    }

    async fn ask(&self, owner: &NodeId) -> Option<Told> {
        let question = Question::Gossip(self.replication.gossip().into());
        match self.shared.peers.call_known(owner, question, ANSWER_LIMIT).await {
            Ok((Answer::Gossip(gossip), owner)) => Some((owner, *gossip)),
            _ => None,
        }
    }

    async fn knock_when_away(&self, owner: &NodeId) -> Knocked {
        if planted::is(Fault::SilentStreamKept) {
            return std::future::pending().await;
        }
        loop {
            if !self.shared.peers.is_away(owner) {
                sleep(SLICE).await;
                continue;
            }
            match self.shared.peers.knock(owner).await {
                Knocked::Silent => {}
                heard => return heard,
            }
        }
    }

    /// Resolves when this process has run for long enough to hear an owner: for `AWAY_SLICES` with the
    /// owner believed away, or for both limits in all. A pause of this process counts as one slice.
    async fn patience_with(&self, owner: &NodeId) {
        let is_away = || u32::from(self.shared.peers.is_away(owner));
        let (mut slices, mut slices_away) = (0, 0);
        if planted::is(Fault::PauseIsSilence) {
            let limit = if is_away() > 0 { AWAY_SLICES } else { ANSWER_SLICES };
            return sleep(limit * SLICE).await;
        }
        while slices < ANSWER_SLICES + AWAY_SLICES && slices_away < AWAY_SLICES {
            sleep(SLICE).await;
            slices += 1;
            slices_away += is_away();
        }
    }

    /// Waits until each owner that told what it holds has handed over what it holds of earlier epochs,
    /// which its answer does not name. After a view change this takes one exchange.
    async fn until_handed_over(&self, key: &Key, recent: &Recent, deadline: Instant) -> Result<(), Refusal> {
        loop {
            let published = self.shared.me.published.count();
            let state = self.shared.me.state();
            let unheard: Vec<_> = recent
                .told
                .iter()
                .filter(|told| is_unheard(&state, told))
                .collect();
            let is_behind = state.is_member() && state.active < recent.payload.epoch;
            if unheard.is_empty() && !is_behind {
                return Ok(());
            }
            if is_behind {
                self.shared.me.heard_newer.notify_one();
            }
            for (owner, _) in &unheard {
                self.shared.me.ring(&owner.node);
            }
            let news = self.shared.me.published.beyond(published);
            if timeout_at(deadline, news).await.is_err() {
                // A replica that is only behind does not answer by itself: the predicate prevents it.
                return match unheard.is_empty() {
                    true => Ok(()),
                    false => Err(self.refusal(key, &[Declined::Behind])),
                };
            }
        }
    }

    /// A node of the view that serves another cluster.
    fn estranged(&self) -> Option<NodeId> {
        let state = self.shared.me.state();
        let mut nodes = state.newest()?.nodes();
        nodes.find(|node| self.shared.peers.is_estranged(node)).cloned()
    }
}

/// True if the owner may hold writes of an earlier epoch that it has not handed over.
fn is_unheard(state: &ReplicaState, (owner, epoch): &(Member, Epoch)) -> bool {
    let mut earlier = state.views.keys().filter(|earlier| **earlier < state.active);
    let has_earlier = earlier.any(|earlier| *earlier >= state.closed.below);
    let is_unheard = *epoch == state.active && has_earlier && state.has_not_heard(owner.id());
    is_unheard && !planted::is(Fault::UnheardNotAwaited)
}
