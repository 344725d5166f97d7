//! The outcomes of operations on keys: found, written, or refused and why.
//!
//! The edges turn them into status codes and bodies; nothing here knows of HTTP.

use crate::names::{Epoch, NodeId, PartitionId};
use crate::protocol::causality::{Payload, Record, Timestamp};
use crate::protocol::replication::{Effect, NotHere};
use crate::wire::peer::Declined;

/// A key that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The record, which has a value: tombstones are answered as [`Refusal::KeyNotFound`].
    pub record: Record,
    pub partition: PartitionId,
    /// The reader's dependencies from here on.
    pub payload: Payload,
}

/// A write that is stored.
#[derive(Debug, Clone)]
pub struct Written {
    /// True if the key did not exist before, as far as this replica knows.
    pub created: bool,
    pub partition: PartitionId,
    /// The writer's dependencies from here on.
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
    /// Every reachable replica lacks something that the client depends on.
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
    /// This node was removed, and what it keeps came back too late.
    #[error(
        "this node was removed too long ago to take back the records that it keeps; it stays on its disk: to add the node again, start it with an empty DATA_DIR"
    )]
    RemovedLongAgo,
    /// A node of the same view formed a cluster of its own.
    #[error(
        "{0} is in this node's view and serves another cluster: one of the two was started without its data \
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
    #[error("this node cannot store: {0}; reads continue; writes resume once this is mended")]
    StorageFailed(String),
    #[error("too many requests in flight; try again shortly")]
    Overloaded,
    /// One read of several: the answer has no room for its value.
    #[error(
        "the answer to these operations has no room for this value; read the key again, in another request"
    )]
    AnswerTooLarge,
}

/// Why this node did not take a write; another node may.
#[derive(Debug)]
pub(crate) enum NotTaken {
    NotHere(NotHere),
    Refused(Refusal),
}

impl Refusal {
    /// The same refusal from a node that can do the operation itself, once it has caught up.
    pub(crate) fn into_behind(self) -> Self {
        match self {
            Self::Unavailable { partition } => Self::Behind { partition },
            other => other,
        }
    }

    /// True if every owner was asked, or would say the same.
    pub(crate) fn is_of_all_owners(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::BadPayload(_))
    }

    /// For a payload that claims a write that no member has taken.
    pub(crate) fn impossible() -> Self {
        let text = "the causal payload depends on a write that no node has taken; send back what the store answered, or start again without one";
        Self::BadPayload(text.to_owned())
    }

    /// For a payload that claims an epoch that no member knows.
    pub(crate) fn unheard_of(epoch: Epoch) -> Self {
        Self::BadPayload(format!(
            "the causal payload is of epoch {epoch}, which no node of the view knows; send back what the store answered, or start again without one"
        ))
    }
}

/// The text of a node that waits to be added.
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

/// The answer to a peer whose request this node cannot serve.
pub(crate) fn declined(not_here: &NotHere) -> Declined {
    match not_here {
        NotHere::NotOwner => Declined::NotOwner,
        NotHere::NotReady => Declined::NotReady,
        NotHere::EpochAhead(_) | NotHere::Missing(_) | NotHere::Sealed => Declined::Behind,
    }
}
