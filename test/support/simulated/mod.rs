//! A whole cluster in one thread and simulated time: the real code of every node, over a network, disks
//! and clocks that a seed controls.
//!
//! It runs on tokio's paused clock: when every task waits, time jumps to the next deadline, so an hour
//! passes in seconds and two runs of one seed are the same run. Nothing here sleeps for real.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test target includes this module whole and uses its own part of it"
)]

pub mod client;
pub mod cluster;
pub mod dice;
pub mod disk;
pub mod fault;
pub mod gate;
mod hostile;
pub mod large;
mod lasting;
mod links;
pub mod network;
mod operator;
pub mod outcomes;
pub mod panics;
pub mod plain;
mod plain_plan;
pub mod plan;
mod reach;
pub mod requests;
pub mod run;
pub mod setting;
pub mod stage;
mod suffer;
pub mod views;
pub mod waits;

use causeway::names::Key;

pub fn key(text: &str) -> Key {
    Key::new(text).expect("is a key")
}

/// Runs a simulation in its own paused time.
pub fn simulate<T>(run: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O always builds")
        .block_on(run)
}
