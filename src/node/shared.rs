//! The common ground of all services of a node: its identity, its data, its peers, and the way to the committer.
//!
//! Apart from the services, so that each of them holds this and the services below it, and none holds the whole
//! node.

use std::sync::Arc;

use crate::config::Limits;
use crate::node::commit::handle::Commit;
use crate::node::commit::health::Storage;
use crate::node::commit::pace::Pace;
use crate::node::commit::waiters::Acks;
use crate::node::identity::Me;
use crate::node::peers::Peers;
use crate::node::peers::log_once::Complaints;
use crate::node::runtime::tasks::Tasks;
use crate::store::Resident;
use crate::wire::peer::Start;

/// The common ground of a node's services.
#[derive(Debug)]
pub(crate) struct Shared {
    pub me: Arc<Me>,
    /// The settings that must agree among the nodes of the first view.
    pub start: Start,
    pub limits: Limits,
    pub resident: Resident,
    pub acks: Acks,
    pub peers: Peers,
    pub tasks: Tasks,
    pub commit: Commit,
    pub storage: Arc<Storage>,
    pub pace: Pace,
    pub complaints: Complaints,
}
