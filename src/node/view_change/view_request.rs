//! View change requests, and their results: the outcome, a preview, or why nothing was changed.

use std::sync::Arc;
use std::time::Duration;

use crate::names::{Epoch, NodeId, PartitionId};
use crate::node::outcome::Refusal;
use crate::protocol::placement::View;
use crate::protocol::view_change::Phase;

/// A change that an operator requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewRequest {
    pub node: NodeId,
    pub kind: RequestKind,
    /// Only says what would happen.
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    Add,
    /// Forced: even if no majority answers, and even if keys are given up.
    Remove {
        force: bool,
    },
}

/// The outcome of a request.
#[derive(Debug, Clone)]
pub enum ViewOutcome {
    Changed(Changed),
    /// A dry run: nothing was changed.
    Preview(Preview),
}

/// The new view serves on every reachable node.
#[derive(Debug, Clone)]
pub struct Changed {
    pub view: Arc<View>,
    /// Slots whose only reachable holder was given up, by force.
    pub slots_given_up: u32,
    /// The removed node did not hand over what it had: writes that only it has are missing until it
    /// returns.
    pub is_left_behind: bool,
}

impl Changed {
    /// The partition of a node in the new view; none for a proxy.
    pub fn partition_of(&self, node: &NodeId) -> Option<PartitionId> {
        self.view.partition_of_node(node)
    }
}

/// What a change would do.
#[derive(Debug, Clone)]
pub struct Preview {
    pub before: Arc<View>,
    pub after: Arc<View>,
    /// Slots that get a new owner.
    pub slots_moved: u32,
    /// Keys in those slots, as far as owners answered.
    pub keys_moved: u64,
    /// Slots that would be given up.
    pub slots_given_up: u32,
}

/// Why a view was not changed, or not in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewRefusal {
    /// This node cannot change views: it is in none, or the first one has not formed.
    #[error(transparent)]
    NotHere(#[from] Refusal),
    #[error("{node} is a member already; the view is: {}", list(.members))]
    AlreadyMember { node: NodeId, members: Vec<NodeId> },
    #[error("{node} is not a member; the view is: {}", list(.members))]
    NotMember { node: NodeId, members: Vec<NodeId> },
    /// The text says what is wrong with it.
    #[error("{0}")]
    Impossible(String),
    #[error("{node} cannot be added: {why}")]
    Unreachable { node: NodeId, why: String },
    #[error("{node} cannot be added: {why}")]
    OtherCluster { node: NodeId, why: String },
    #[error(
        "not enough members answer to change the view; silent: {}; if they are gone for good, remove them with force=true",
        list(.silent)
    )]
    NoMajority { silent: Vec<NodeId> },
    #[error(
        "removing {node} would lose the keys of {slots} slots of 16384: neither it nor another replica that has them can be reached; bring one back, or give them up with force=true"
    )]
    WouldLoseData { node: NodeId, slots: u32 },
    #[error(
        "the change to epoch {epoch} is agreed on and goes on, but did not finish in time; it waits for: {}",
        list(.waits_for)
    )]
    Unfinished { epoch: Epoch, waits_for: Vec<NodeId> },
}

fn list(nodes: &[NodeId]) -> String {
    let names: Vec<_> = nodes.iter().map(NodeId::as_str).collect();
    names.join(", ")
}

/// The progress of a view change, as the asked node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeProgress {
    pub epoch: Epoch,
    pub phase: Phase,
    /// The nodes that the change waits for; known only to its driver.
    pub waits_for: Vec<NodeId>,
    pub keys_moved: u64,
    pub keys_to_go: u64,
    pub since: Duration,
}
