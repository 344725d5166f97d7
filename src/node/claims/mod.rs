//! Keeps dependencies that one client makes up from hurting other clients.
//!
//! `vouch` asks whether the writes exist that a payload names, before a write stores them. `clear` takes false
//! dependencies out of stored records. Both note in `ledger` what the node's state does not show.

mod clear;
pub(super) mod ledger;
pub(super) mod vouch;

use std::sync::Arc;

use self::ledger::Ledger;
use crate::node::shared::Shared;

/// The service that judges what clients claim to depend on.
#[derive(Debug)]
pub(crate) struct Claims {
    shared: Arc<Shared>,
    pub ledger: Ledger,
}

impl Claims {
    pub(crate) fn new(shared: Arc<Shared>, ledger: Ledger) -> Self {
        Self { shared, ledger }
    }
}
