//! Who owns what: which nodes and members a view lists, which slots each partition owns, what the next
//! view is after a change, and what has to be copied for it.
//!
//! Values and pure functions, so that every node computes the same next view from the same change. How
//! the members of a view come to agree on one is `view_change`.

pub mod next;

#[cfg(test)]
mod examples;
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
