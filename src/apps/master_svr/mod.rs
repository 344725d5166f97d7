//! `master-svr`, `svr` and `clt`: what each does over HTTP. The pure decisions are in `decisions`.
//!
//! ```text
//!  clt ── GET /owner/<key> ──▶ Master ◀── POST /beat, held until there is news ── Svr
//!  clt ── GET, PUT /key/<key> ──────────────────────────────────────────────────▶ Svr ── POST /pairs ─▶ Svr
//! ```
//!
//! The master calls no server, except to see whether a silent one is still there (`GET /run`). It answers
//! a beat as soon as there is a new layout, so that a change goes from step to step without waiting.
//!
//! The pairs are in memory, in a map of their own and not in `store`. The records of `store` carry
//! versions and dependencies that are of no use here, its keys are texts in slots and not numbers in
//! shards, and the three programs have no folder for data.

pub mod arguments;

mod clt;
pub mod decisions;
mod master;
pub mod messages;
mod reply;
mod serve;
mod svr;

use std::time::Duration;

use crate::names::NodeId;

pub use clt::{Answer, Ask, AskError, Operation, Target, ask};
pub use master::Master;
pub use serve::{serve_master, serve_svr};
pub use svr::Svr;

/// How long the master holds a beat while it has nothing new to answer.
const BEAT_HELD: Duration = Duration::from_millis(200);

/// Everything runs on this machine.
fn here(port: u16) -> NodeId {
    let address = format!("127.0.0.1:{port}");
    address.parse().expect("an address with a port other than 0")
}
