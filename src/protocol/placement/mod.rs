//! Ownership: which nodes and members a view lists, which slots each partition owns, which view follows
//! a change, and which slots must be copied for it.
//!
//! Values and pure functions, so that every node computes the same next view from the same change. How
//! the members of a view agree on the next one is in `view_change`.

pub mod next;

#[cfg(test)]
pub(crate) mod examples;
mod moves;
mod parts;
mod quorum;
mod removal;
#[cfg(test)]
mod sequences;
mod slots;
mod table;
mod view;

pub use moves::Moves;
pub use parts::{Inconsistent, ViewParts};
pub use quorum::is_quorum_of;
pub use removal::{LeftBehind, Removal};
pub use slots::SlotSet;
pub use view::{NODES_MAX, View};
