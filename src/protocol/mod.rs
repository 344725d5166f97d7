//! The protocol, pure: what a replica, a view change and a client's past are, and what follows from them.
//!
//! Nothing here reads a clock, a socket or a disk; `node` carries out what is decided here. To understand the
//! store, read causality and placement, then replication, then view_change. This is the whole of it in words:
#![doc = include_str!("PROTOCOL.md")]

// decisions: what a replica does with a write, and how the next view is chosen and reached
pub mod replication;
pub mod view_change;

// values: facts about versions, facts about who owns what
pub mod causality;
pub mod placement;
