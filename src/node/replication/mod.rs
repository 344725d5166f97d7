//! Replication: pushes, exchanges and gossip, and what a node concludes from them: old disks, expired removals,
//! and tombstones that may be dropped.

mod absent;
#[cfg(test)]
mod examples;
pub(super) mod exchange;
mod gossip;
mod proof;
mod push;
mod reports;
mod tombstones;

use std::sync::Arc;

use self::exchange::Tickets;
use self::reports::Reports;
use crate::node::claims::Claims;
use crate::node::shared::Shared;

/// The service by which the members of a view come to hold the same.
#[derive(Debug)]
pub(crate) struct Replication {
    shared: Arc<Shared>,
    claims: Arc<Claims>,
    tickets: Tickets,
    reports: Reports,
}

impl Replication {
    pub(crate) fn new(shared: Arc<Shared>, claims: Arc<Claims>) -> Self {
        Self {
            shared,
            claims,
            tickets: Tickets::default(),
            reports: Reports::default(),
        }
    }
}
