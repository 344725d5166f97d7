//! A running node: carries out the decisions of the floors below.
//!
//! A node is a handle on services. Each has a type, fields and a folder of its own, and holds what all of them
//! share (`shared`) and the services below it:
//!
//! - `requests`: connections read the sharded map and the published state directly, and ask a pure predicate.
//! - `committer`: all writes pass through it. It stores a batch with one sync and wakes each waiter.
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

// committer: the one place where state changes
mod committer;

// epochs: the loops that begin and end with an epoch or a life
mod epochs;

// requests: what clients ask for
mod requests;

// view change: how the view changes
mod view_change;

// replication: pushes, exchanges and gossip, old disks, expired removals and tombstones
mod replication;

// claims: whether a client's dependencies exist
mod claims;

// shared: what all services hold
mod shared;

// commit: the way to the committer
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
mod time;

use std::sync::Arc;

pub use self::committer::Committer;
pub use self::outcome::{Done, Found, Refusal, Written};
pub use self::requests::Requests;
pub use self::requests::batch::AllDone;
pub use self::requests::list::{Listed, PAGE_KEYS_MAX};
pub use self::requests::room::{ANSWER_BYTES_MAX, Room};
pub use self::runtime::tasks::{Spawner, Tasks};
pub use self::runtime::world::{Machine, World};
pub use self::status::{NodeStatus, Role};
pub use self::time::clock_difference;
pub use self::view_change::ViewChanges;
pub use self::view_change::view_request::{
    ChangeProgress, Changed, Preview, RequestKind, ViewOutcome, ViewRefusal, ViewRequest,
};
pub use start::{Parts, StartError};

use self::claims::Claims;
use self::epochs::Epochs;
use self::replication::Replication;
use self::requests::dedup::Remembered;
use self::shared::Shared;
use crate::config::Limits;
use crate::protocol::causality::Timestamp;

/// A running node: a handle on its services.
#[derive(Debug)]
pub struct Node {
    shared: Arc<Shared>,
    claims: Arc<Claims>,
    replication: Arc<Replication>,
    pub view_changes: Arc<ViewChanges>,
    pub requests: Arc<Requests>,
    epochs: Arc<Epochs>,
    /// The requests that peers forwarded.
    remembered: Remembered,
}

impl Node {
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Ends the node: none of its tasks takes another step. Stored data stays.
    pub async fn stop(&self) {
        self.shared.tasks.stop();
        self.shared.tasks.ended().await;
    }

    /// Ends the node without waiting for its tasks: a kill.
    pub fn kill(&self) {
        self.shared.tasks.stop();
    }

    /// Resolves when the node ends.
    pub async fn stopped(&self) {
        self.shared.tasks.stopping().await;
    }

    /// The highest timestamp that this node has drawn or seen.
    pub fn clock_now(&self) -> Timestamp {
        self.shared.me.now()
    }
}
