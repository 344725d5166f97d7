//! What a client that carries no payload depends on: everything that was answered before it asked.
//!
//! The owners of its key are asked what they hold. A read that depends on that sees every write that any of
//! them took and answered before; a write, whose clock is above theirs, wins over it. Who does not answer
//! is left out, as long as it is away.

use futures_util::future::join_all;

use super::Node;
use super::answers::Refusal;
use super::gossip::GOSSIP_LIMIT;
use crate::causality::Payload;
use crate::names::{Epoch, Key, NodeId};
use crate::wire::peer::{Answer, Question};

impl Node {
    /// What the owners of a key hold by now, as far as they answer. Nothing can be said beside a node of the
    /// view that serves another cluster: what was answered there will never be seen here.
    pub async fn recent(&self, key: &Key) -> Result<Payload, Refusal> {
        if let Some(node) = self.estranged() {
            return Err(Refusal::OtherCluster(node));
        }
        let owners = self.other_owners(key);
        let asked = owners
            .iter()
            .filter(|owner| !self.peers.is_away(owner))
            .map(|owner| {
                let question = Question::Gossip(self.gossip());
                self.peers.call(owner, question, GOSSIP_LIMIT)
            });
        let answers = join_all(asked).await;
        let mut payload = Payload {
            // Every answer has raised it.
            timestamp: self.me.clock.now(self.me.wall_ms()),
            ..Payload::default()
        };
        for answer in answers {
            if let Ok(Answer::Gossip(gossip)) = answer
                && gossip.epoch != Epoch::NONE
            {
                self.claims.hear(&gossip.held);
                payload.epoch = payload.epoch.max(gossip.epoch);
                payload.entries.merge(&gossip.held);
            }
        }
        Ok(payload)
    }

    /// A node that stands in the view, and formed a cluster of its own.
    fn estranged(&self) -> Option<NodeId> {
        let facts = self.me.facts();
        let mut nodes = facts.newest()?.nodes();
        nodes.find(|node| self.peers.is_estranged(node)).cloned()
    }
}
