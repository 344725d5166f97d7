//! View changes: joining, requesting a change, choosing the next view, and carrying it out.
//!
//! A request (`request`) is checked (`preflight`), chosen (`propose`), driven by one node (`drive`) and
//! followed by all (`follow`, `copy`). A node that leaves hands over what it kept (`retire`). What an
//! earlier life left behind (`left_behind`) comes back through `admission`. `join` finds a place for a node
//! without a view; `watch` takes over a change whose driver dies.

mod admission;
mod copy;
mod drive;
mod follow;
mod join;
pub(super) mod left_behind;
mod preflight;
mod propose;
mod request;
mod retire;
pub(super) mod view_request;
mod watch;

use std::sync::Arc;

use parking_lot::Mutex;

use self::follow::Following;
use self::join::Formation;
use self::left_behind::Pages;
use self::view_request::ChangeProgress;
use self::watch::Admissions;
use crate::node::replication::Replication;
use crate::node::shared::Shared;
use crate::protocol::replication::ChangeAttempt;

/// The service that changes the view, and finds the node's place in it.
#[derive(Debug)]
pub struct ViewChanges {
    shared: Arc<Shared>,
    replication: Arc<Replication>,
    pub(super) formation: Formation,
    /// The change that this node drives.
    driven: Mutex<Option<ChangeProgress>>,
    following: Following,
    admissions: Admissions,
    pub(super) pages: Pages,
}

impl ViewChanges {
    pub(super) fn new(shared: Arc<Shared>, replication: Arc<Replication>, pages: Pages) -> Self {
        Self {
            shared,
            replication,
            formation: Formation::default(),
            driven: Mutex::default(),
            following: Following::default(),
            admissions: Admissions::default(),
            pages,
        }
    }

    /// The attempt at a view change that this node follows.
    pub(super) fn followed_attempt(&self) -> ChangeAttempt {
        self.following.attempt()
    }
}
