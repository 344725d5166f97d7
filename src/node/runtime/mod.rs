//! What a node runs on, handed to it from outside: its tasks, its world, and a signal that they share.

#[cfg(test)]
pub(super) mod interleaved;
pub(super) mod signal;
pub(super) mod tasks;
pub(super) mod world;
