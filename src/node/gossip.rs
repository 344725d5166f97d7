//! What nodes tell each other all the time: that they are there, what they hold, what is stable, what
//! they are done with. Also how epochs are closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use super::Node;
use super::jobs::Job;
use crate::names::{Epoch, Member, MemberId};
use crate::planted::{self, Fault};
use crate::replication::{Closed, Facts};
use crate::wire::peer::{Answer, Gossip, Question};

/// How often siblings hear of each other: the time in which a frozen one is noticed when nobody asks it
/// anything.
const SIBLING_PAUSE: Duration = Duration::from_millis(200);

/// The same for all other nodes, which only need to know what is stable and who is there.
const OTHER_PAUSE: Duration = Duration::from_millis(500);

/// The least time between two words on what became stable: under load, pushes carry it anyway.
const SPREAD_PAUSE: Duration = Duration::from_millis(2);

pub(super) const GOSSIP_LIMIT: Duration = Duration::from_millis(400);

/// What members said that they are done with: their active epoch, and below which epoch they lack
/// nothing.
#[derive(Debug, Default)]
pub(super) struct Reports(Mutex<BTreeMap<MemberId, (Epoch, Epoch)>>);

impl Reports {
    fn note(&self, member: MemberId, active: Epoch, done_below: Epoch) {
        self.0.lock().insert(member, (active, done_below));
    }

    /// What may be closed: every member said so, all in one and the same active epoch. When in doubt,
    /// nothing.
    fn conclude(&self, facts: &Facts) -> Option<Closed> {
        let reports = self.0.lock();
        let mut below = facts.done_below();
        for member in facts.view()?.members().filter(|member| *member != facts.me) {
            let (active, done_below) = reports.get(&member.id())?;
            if *active != facts.active {
                return None;
            }
            below = below.min(*done_below);
        }
        (below > facts.closed.below).then_some(Closed {
            below,
            at: facts.active,
        })
    }
}

impl Node {
    /// Tells one peer, and hears from it, for as long as the epoch lasts.
    pub(super) async fn gossip_with(self: Arc<Self>, peer: Member, is_sibling: bool) {
        let pause = if is_sibling { SIBLING_PAUSE } else { OTHER_PAUSE };
        loop {
            self.gossip_once(&peer, GOSSIP_LIMIT).await;
            sleep(pause).await;
        }
    }

    pub(super) async fn gossip_once(&self, peer: &Member, limit: Duration) {
        let question = Question::Gossip(self.gossip());
        if let Ok((Answer::Gossip(theirs), answered)) =
            self.peers.call_known(&peer.node, question, limit).await
        {
            self.hear_gossip(&answered, &theirs, true).await;
        }
    }

    /// Tells the siblings at once what became stable, where they cannot conclude it themselves: a push
    /// of no records. Readers of fresh writes then carry no entries, and payloads stay short.
    pub(super) async fn spread_stable(self: Arc<Self>) {
        loop {
            self.acks.moved.notified().await;
            self.push(&self.me.facts(), 1, Vec::new());
            sleep(SPREAD_PAUSE).await;
        }
    }

    /// What this node has to tell.
    pub(super) fn gossip(&self) -> Gossip {
        let facts = self.me.facts();
        let mut stable = (*self.acks.stable()).clone();
        stable.retain(|dot| {
            dot.log.epoch != facts.active || dot.log.member == facts.id || facts.is_sibling(dot.log.member)
        });
        Gossip {
            epoch: facts.active,
            held: facts.vector.clone(),
            stable,
            done_below: facts.done_below(),
            closed: facts.closed,
        }
    }

    pub(super) async fn hear_gossip(&self, from: &Member, gossip: &Gossip, answers_us: bool) {
        let facts = self.me.facts();
        if facts.active == Epoch::NONE {
            return;
        }
        self.reports.note(from.id(), gossip.epoch, gossip.done_below);
        if facts.view().is_some_and(|view| view.is_member(from)) {
            let mut stable = gossip.stable.clone();
            stable.retain(|dot| dot.log.epoch >= facts.closed.below);
            self.acks.learn_stable(&stable);
        }
        if gossip.epoch == facts.active && facts.has_not_heard(from.id()) {
            self.me.ring(&from.node);
        }
        if gossip.epoch == facts.active && !facts.is_sealed() && facts.is_sibling(from.id()) {
            self.acks
                .acknowledged(gossip.epoch, from.id(), &gossip.held, answers_us);
            if !facts.vector.covers(&gossip.held) || facts.waits_for(from.id()) {
                self.me.ring(&from.node);
            }
        }
        let announced = (gossip.closed.below > facts.closed.below).then_some(gossip.closed);
        let announced =
            announced.filter(|closed| facts.active >= closed.at || planted::is(Fault::ClosedByWhoIsBehind));
        if let Some(closed) = announced.or_else(|| self.reports.conclude(&facts)) {
            self.enqueue(Job::Close(closed)).await;
        }
    }
}
