//! The requests of clients: reads, writes, batches and listings, served here or by an owner.
//!
//! A read looks at the published state and the map itself, and asks the pure predicate. A write goes to
//! `commit`. A node that is no owner asks one through `forward`.

pub(super) mod batch;
pub(super) mod dedup;
mod forward;
mod latest;
pub(super) mod list;
mod payload;
mod read;
pub(super) mod room;
mod trim;
mod write;

use std::sync::Arc;

use self::list::Collecting;
use self::room::{Room, Rooms};
use crate::node::claims::Claims;
use crate::node::replication::Replication;
use crate::node::shared::Shared;
use crate::node::view_change::ViewChanges;

/// The service that answers clients.
#[derive(Debug)]
pub struct Requests {
    shared: Arc<Shared>,
    claims: Arc<Claims>,
    replication: Arc<Replication>,
    view_changes: Arc<ViewChanges>,
    rooms: Rooms,
    collecting: Collecting,
}

impl Requests {
    pub(super) fn new(
        shared: Arc<Shared>,
        claims: Arc<Claims>,
        replication: Arc<Replication>,
        view_changes: Arc<ViewChanges>,
    ) -> Self {
        Self {
            shared,
            claims,
            replication,
            view_changes,
            rooms: Rooms::default(),
            collecting: Collecting::default(),
        }
    }

    /// Opens the room for an answer to a client.
    pub fn room(&self) -> Room {
        self.rooms.open()
    }
}
