//! Replication other than pushes: exchanges and gossip, and what a node concludes from them: old disks,
//! expired removals, and tombstones that may be dropped.

pub(super) mod exchange;
pub(super) mod gossip;
pub(super) mod proof;
pub(super) mod tombstones;
