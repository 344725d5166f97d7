//! The protocol as pure code: what replicas, view changes and clients know, and what follows from it.
//!
//! Nothing here reads a clock, a socket or a disk; `node` carries out the decisions. To understand the
//! store, read causality and placement, then view_change, then replication. The whole protocol in words:
#![doc = include_str!("PROTOCOL.md")]

// replication: what a replica does with each command
pub mod replication;

// view changes: how the next view is chosen and reached
pub mod view_change;

// values: facts about versions, facts about ownership
pub mod causality;
pub mod placement;
