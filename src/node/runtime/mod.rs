//! What a node runs on: its tasks and its world, which are passed in, and the signal that tasks wait for.

pub(super) mod signal;
pub(super) mod tasks;
pub(super) mod world;
