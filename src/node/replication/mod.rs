//! What members tell each other beside pushes: exchanges, gossip, and what follows from both: which disks are
//! old, which removals have had their time, which tombstones nobody needs.

pub(super) mod exchange;
pub(super) mod gossip;
pub(super) mod proof;
pub(super) mod tombstones;
