//! The way to the committer: its jobs and their answers, a typed call for each, writers that wait, and the health
//! and pace of the storage.
//!
//! Apart from `committer`, which uses the services above: they all come here with what is to be stored.

pub(super) mod handle;
pub(super) mod health;
pub(super) mod job;
pub(super) mod pace;
pub(super) mod waiters;
