//! `master-svr`, `svr` and `clt`: what each does over HTTP. The decisions are pure and stand in `decisions`.
//!
//! ```text
//!  clt ── GET /owner/<key> ──▶ Master ◀── POST /beat, held until there is news ── Svr
//!  clt ── GET, PUT /key/<key> ──────────────────────────────────────────────────▶ Svr ── POST /pairs ─▶ Svr
//! ```
//!
//! The master calls nobody, except to see whether somebody silent is still there (`GET /run`): a beat is
//! answered as soon as there is a new layout, so that a change goes from step to step without waiting.
//!
//! The pairs are in memory, in a map of their own and not in `store`: its records carry versions and
//! dependencies that nobody here asks for, its keys are texts in slots and not numbers in shards, and a
//! server of the three has no folder to keep anything in.

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

pub use clt::{Answer, Ask, AskError, Operation, Whom, ask};
pub use master::Master;
pub use serve::{serve_master, serve_svr};
pub use svr::Svr;

/// How long the master holds a beat to which it has nothing new to say.
const BEAT_HELD: Duration = Duration::from_millis(200);

/// Everything runs on this machine.
fn here(port: u16) -> NodeId {
    let address = format!("127.0.0.1:{port}");
    address.parse().expect("an address with a port other than 0")
}
