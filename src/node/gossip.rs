//! What nodes tell each other all the time: that they are there, what they hold, what is stable, what
//! they are done with. Also how epochs are closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::jobs::Job;
use super::{Node, PUSH_LIMIT};
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
            if answered != *peer {
                self.me.may_know_newer(&peer.node);
            }
            self.hear_gossip(&answered, &theirs, true).await;
        }
    }

    /// Tells the siblings at once what became stable, where they cannot conclude it themselves: a push
    /// of no records. Readers of fresh writes then carry no entries, and payloads stay short.
    pub(super) async fn spread_stable(self: Arc<Self>) {
        loop {
            self.acks.moved.notified().await;
            self.push(&self.me.facts(), 1, Vec::new(), Instant::now() + PUSH_LIMIT);
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
        self.claims.hear(&gossip.held);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::names::{ClusterId, Incarnation, NodeId};
    use crate::placement::{View, next};

    fn member(number: u64) -> Member {
        let node: NodeId = format!("n{number}:80").parse().expect("is a node");
        let incarnation = Incarnation {
            started_ms: 1,
            random: 0,
        };
        Member { node, incarnation }
    }

    /// Node 0 of three, each alone with its slots, in the second view, which changed nothing.
    fn facts() -> Facts {
        let members = [0, 1, 2].map(member);
        let nodes: BTreeSet<NodeId> = members.iter().map(|member| member.node.clone()).collect();
        let up = members
            .into_iter()
            .map(|member| (member.node, member.incarnation));
        let one = View::first(ClusterId(1), 1, &nodes, &up.collect());
        let two = next::admit(&one, &[]);
        let mut facts = Facts::new(member(0));
        for view in [one, two] {
            let epoch = view.epoch;
            facts.learn(&Arc::new(view));
            facts.activate(epoch);
        }
        facts
    }

    #[test]
    fn an_epoch_is_closed_when_every_member_says_so_in_the_epoch_that_is_active_here() {
        let facts = facts();
        let concluded = |said: &[(u64, u64, u64)]| {
            let reports = Reports::default();
            for (number, active, done_below) in said {
                reports.note(member(*number).id(), Epoch(*active), Epoch(*done_below));
            }
            reports
                .conclude(&facts)
                .map(|closed| (closed.below.0, closed.at.0))
        };
        assert_eq!(facts.done_below(), Epoch(2));
        assert_eq!(concluded(&[(1, 2, 2), (2, 2, 2)]), Some((2, 2)));
        assert_eq!(concluded(&[(1, 2, 2)]), None, "node 2 has said nothing");
        assert_eq!(concluded(&[(1, 2, 2), (2, 2, 0)]), None, "node 2 is not done");
        // What they lacked in another epoch says nothing about this one.
        for other in [1, 3] {
            assert_eq!(concluded(&[(1, 2, 2), (2, other, 2)]), None, "epoch {other}");
        }
    }
}
