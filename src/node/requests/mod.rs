//! The requests of clients: reads, writes, batches and listings, served here or by an owner.
//!
//! A read looks at the published state and the map itself, and asks the pure predicate. A write goes to
//! `commit`. A node that is no owner asks one through `forward`.

pub(super) mod batch;
pub(super) mod dedup;
pub(super) mod forward;
pub(super) mod latest;
pub(super) mod list;
pub(super) mod read;
pub(super) mod room;
pub(super) mod trim;
pub(super) mod write;
