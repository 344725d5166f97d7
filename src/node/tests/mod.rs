//! A whole node among peers that greet and answer as a test tells them.

mod callee;
mod callers;
mod changes;
pub(super) mod interleaved;
mod lives;
pub(super) mod rig;
