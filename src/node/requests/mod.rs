//! The requests of clients: reads, writes, batches and listings, done here or at an owner.
//!
//! A read looks at the published state and the map itself and asks the pure predicate; a write goes to `commit`.
//! Where this node is no owner, `forward` asks one.

pub(super) mod batch;
pub(super) mod dedup;
pub(super) mod forward;
pub(super) mod latest;
pub(super) mod list;
pub(super) mod read;
pub(super) mod room;
pub(super) mod trim;
pub(super) mod write;
