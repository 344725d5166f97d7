//! What a node answers: the outcome of an operation on a key, and what it knows of its cluster.
//!
//! The edges turn these into status codes and bodies; nothing here knows of HTTP.

use std::time::Duration;

use crate::names::{ClusterId, Epoch, Incarnation, NodeId, PartitionId};
use crate::node::time::clock_difference;
use crate::node::view_change::view_request::ChangeProgress;
use crate::protocol::causality::{Payload, Record, Timestamp};
use crate::wire::peer::Effect;

/// A key that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The record, which has a value: tombstones are answered as [`Refusal::KeyNotFound`].
    pub record: Record,
    pub partition: PartitionId,
    /// What the reader depends on from now on.
    pub payload: Payload,
}

/// A write that is stored.
#[derive(Debug, Clone)]
pub struct Written {
    /// As far as this replica knows, the key did not exist before.
    pub created: bool,
    pub partition: PartitionId,
    /// What the writer depends on from now on.
    pub payload: Payload,
    pub timestamp: Timestamp,
    /// How many replicas have it on stable storage, the coordinator included.
    pub replicas: u32,
}

impl Written {
    pub(crate) fn new(partition: PartitionId, effect: Effect) -> Self {
        Self {
            created: effect.created,
            partition,
            payload: effect.payload,
            timestamp: effect.timestamp,
            replicas: effect.replicas,
        }
    }

    /// For a peer that asked on behalf of its client.
    pub(crate) fn into_effect(self) -> Effect {
        Effect {
            created: self.created,
            payload: self.payload,
            timestamp: self.timestamp,
            replicas: self.replicas,
        }
    }
}

/// An operation on a key that was done.
#[derive(Debug, Clone)]
pub enum Done {
    Found(Found),
    Written(Written),
}

/// Why an operation on a key was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Key does not exist")]
    KeyNotFound {
        partition: PartitionId,
        payload: Payload,
    },
    /// The text says what is wrong with it.
    #[error("{0}")]
    BadPayload(String),
    /// No replica of the key's partition that has its data can be reached.
    #[error("key value store is not available")]
    Unavailable { partition: PartitionId },
    /// Every replica that can be reached is behind what the client depends on.
    #[error(
        "the replicas that can be reached do not have yet what your causal payload depends on; try again shortly"
    )]
    Behind { partition: PartitionId },
    /// The link broke or the disk failed after the write may have been taken.
    #[error(
        "the outcome of this write is unknown: the node that was asked to take it did not confirm it; the write may still appear"
    )]
    UnknownOutcome { partition: PartitionId },
    #[error("{}", how_to_add(node))]
    NotInView { node: NodeId },
    /// It was removed, and what it keeps came back too late.
    #[error(
        "this node was removed too long ago for what it keeps to be taken back; it stays on its disk: to add the node again, start it with an empty DATA_DIR"
    )]
    RemovedLongAgo,
    /// A node of the same view formed a cluster of its own.
    #[error(
        "{0} stands in this node's view and serves another cluster: one of the two was started without its data \
         while it could not reach the other; stop the one whose data may go, empty its DATA_DIR, and start it again"
    )]
    OtherCluster(NodeId),
    /// The first view has not formed.
    #[error("{}", starting_text(.missing, .quarrel))]
    Starting {
        missing: Vec<NodeId>,
        /// Nodes that were started with another K or VIEW, and what differs.
        quarrel: Vec<String>,
    },
    #[error("this node cannot store: {0}; reads go on, and writes do once this is mended")]
    StorageFailed(String),
    #[error("too many requests in flight; try again shortly")]
    Overloaded,
    /// One read of several, whose value the answer has no room for.
    #[error(
        "the answer to these operations has no room for this value; read the key again, in another request"
    )]
    AnswerTooLarge,
}

impl Refusal {
    /// The same from a node that can do it itself, once it has caught up.
    pub(crate) fn of_who_is_behind(self) -> Self {
        match self {
            Self::Unavailable { partition } => Self::Behind { partition },
            other => other,
        }
    }

    /// True if every owner was asked, or would say the same.
    pub(crate) fn is_of_all_owners(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::BadPayload(_))
    }

    /// The payload claims a write that no member has taken.
    pub(crate) fn impossible() -> Self {
        let text = "the causal payload depends on a write that no node has taken; send back what the store answered, or start again without one";
        Self::BadPayload(text.to_owned())
    }

    /// The payload claims an epoch of which no member has heard.
    pub(crate) fn unheard_of(epoch: Epoch) -> Self {
        Self::BadPayload(format!(
            "the causal payload is of epoch {epoch}, of which no node of the view has heard; send back what the store answered, or start again without one"
        ))
    }
}

/// What a node says that waits to be added.
pub(crate) fn how_to_add(node: &NodeId) -> String {
    format!(
        "this node is in no view and waits to be added: causeway view add {node} --node <a member>, or PUT \
         /kv-store/update_view?type=add with ip_port={node} at a member"
    )
}

fn starting_text(missing: &[NodeId], quarrel: &[String]) -> String {
    let missing: Vec<_> = missing.iter().map(NodeId::as_str).collect();
    let waits_for = match missing.as_slice() {
        [] if !quarrel.is_empty() => None,
        [] => Some("the first view is being formed".to_owned()),
        missing => Some(format!(
            "the first view is not formed yet; still missing: {}",
            missing.join(", ")
        )),
    };
    let parts: Vec<String> = waits_for.into_iter().chain(quarrel.iter().cloned()).collect();
    parts.join("; ")
}

/// What part a node plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Replica(PartitionId),
    Proxy,
    /// In no view: waiting to be added.
    Waiting,
}

/// What a node knows of itself and its cluster; before the first view, as `VIEW` would have it.
#[derive(Debug, Clone)]
pub struct Situation {
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub role: Role,
    /// None until the first view is known.
    pub cluster: Option<ClusterId>,
    /// [`Epoch::NONE`] until the first view is active here.
    pub epoch: Epoch,
    /// K; none on a node that was started without and is in no view.
    pub replicas: Option<u32>,
    /// The nodes of each partition, by partition id.
    pub partitions: Vec<Vec<NodeId>>,
    pub proxies: Vec<NodeId>,
    /// False while a slot that this node owns still lacks what it must have before it may answer.
    pub ready: bool,
    /// Why keys are not served, when they are not.
    pub waiting_for: Option<Refusal>,
    /// Peers that do not answer at the moment.
    pub away: Vec<NodeId>,
    /// Partitions no owner of which this node has a link to.
    pub out_of_reach: Vec<PartitionId>,
    /// Links are still being opened, or there are none at all though other nodes own every key.
    pub is_cut_off: bool,
    /// For how long writes have waited for the next view, if they do.
    pub sealed_for: Option<Duration>,
    /// Records resident here that have a value.
    pub keys: u64,
    /// Records that an earlier life of this node left behind, and that it is about to hand over.
    pub left_behind: u64,
    /// The owners refuse the records that this node kept or left behind: by the clocks they came too late.
    pub is_too_late: bool,
    /// Slots that became ready with nobody to take them from: their keys are gone.
    pub slots_lost: u32,
    /// Why writes are refused, when they are.
    pub storage_failure: Option<String>,
    /// Why this node does not trust its wall clock, when it does not.
    pub clock_doubt: Option<String>,
    /// Members whose wall clocks differ too much, and how many milliseconds ahead of this node's they are.
    pub clocks_apart: Vec<(NodeId, i64)>,
    /// The view change that is under way, if there is one.
    pub change: Option<ChangeProgress>,
}

impl Situation {
    /// Why keys are not served.
    pub fn why_not(&self) -> Option<String> {
        self.waiting_for.as_ref().map(Refusal::to_string)
    }

    /// What is wrong with the clocks, a sentence each; none if they agree.
    pub fn clock_troubles(&self) -> Vec<String> {
        let doubt = self.clock_doubt.iter();
        let doubt = doubt.map(|doubt| format!("this node's wall clock is not trusted: {doubt}"));
        let apart = self.clocks_apart.iter();
        let apart =
            apart.map(|(node, ahead_ms)| format!("{node} is {} this node", clock_difference(*ahead_ms)));
        doubt.chain(apart).collect()
    }
}
