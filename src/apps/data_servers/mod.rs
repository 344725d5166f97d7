//! Pairs: a proxy and its data servers.
//!
//! ```text
//! client ─▶ proxy ── calls ──▶ data server ─▶ shelf ─▶ a node alone ─▶ disk
//!             └ rendezvous: key -> server     └ asks the first participant of an atomic set
//! ```
//!
//! A proxy keeps nothing. A data server is a node that is a cluster of itself alone, so that what is
//! stored, how it is synced and what a crash leaves is the node's affair. Both show the same face
//! (`face`, `body`, `reply`); a data server that no proxy uses serves by itself.
//!
//! # One key
//!
//! * P1. Each key has one owner, a function of the key and the list of servers. A share of a set is one
//!   batch on its server: stored with one sync, whole or not at all; reads there see no half of it.
//! * P2. A key whose owner does not answer is unavailable. It is placed nowhere else, because it would be
//!   found nowhere else.
//!
//! # The list
//!
//! The truth about the list lies on the servers, with a version. Every call names the version it goes
//! by; a server that follows a newer one refuses, and the proxy learns; one that follows an older one is
//! told and follows, before it answers anything.
//!
//! * P3. Two proxies never go different ways: a next version is first handed to the first server of the
//!   list before, which takes one only.
//! * P4. A change is two versions: `previous -> servers`, under way; then `servers` alone. Both are on the
//!   disks of the servers, and each step between them may be repeated, so any proxy finishes it.
//!   Each step waits for a server that is starting or paused, and each name must lead to a server of its own:
//!   a server that goes by one name of the list answers to no other, whatever a resolver says later.
//! * P5. No key is used at its new owner before its old owner follows the version under way (`fence`).
//!   Otherwise a proxy that has not heard of the change could write it at the old owner, be confirmed,
//!   and be overwritten by what the new one has. This is why every change needs every server.
//! * P6. While the change lasts, writes go to the new owner. A read asks the new owner, then the old one
//!   for what the new one does not know, and then the new one again: the key may have moved in between,
//!   and it moves once. A listing is taken twice for the same reason.
//! * P7. A copy is taken in only where nothing is known of its key. A deletion stays known as long as the
//!   change lasts. So a copy never replaces what is newer and never brings back what was deleted, even if
//!   its mover slept in between: by the time that deletions are forgotten, it goes by an old version.
//! * P8. A copy is dropped at the old owner when the new one has it on disk.
//! * P9. A server that was given up with its keys (`force`) and comes back, comes back empty.
//!
//! # Atomic sets
//!
//! Participants stage their pairs durably, one after the other in the order of their names, and hold the
//! keys. Then the first of them, the decider, applies its own share, and that is the commit point.
//!
//! * P10. The decider stages first. So one that does not know a transaction has aborted it or will never
//!   commit it, and aborts need no record. That it was committed is remembered until all have applied it.
//! * P11. A server that is asked for a held key asks the decider first. Committed: it applies, and answers with
//!   the new value. Undecided: the old value was still right when the decider was asked, which was after
//!   the read began. Nobody waits for a proxy that is gone: after 0.6 seconds a server that needs the keys aborts for it.
//! * P12. Two answers may lie on both sides of a commit point. Each names the transactions that it shows,
//!   and the proxy asks a server again that should have shown one and did not (`proxy::told`).
//! * P13. No transaction lives through a change of the list: a server decides against what is undecided
//!   before it follows the next version.
//! * P14. The same order of staging everywhere keeps two sets from waiting for each other.
//!
//! # Left out on purpose
//!
//! Copies of a pair on several servers: the partitioned store has them. Plain sets are atomic on each
//! server and not over all. A set that a server did not confirm counts as failed and may still be stored,
//! when the server was frozen. While the decider of an atomic set is down between commit and the others'
//! hearing of it, the keys of that set are unavailable and nothing else is.

pub mod arguments;

mod body;
mod calls;
mod data_server;
mod face;
pub mod messages;
mod place;
mod proxy;
mod rendezvous;
mod reply;
mod serve;
mod server_list;
mod service;

pub use data_server::{DataServer, OpenError, config, limits};
pub use proxy::{NamedTwice, Proxy};
pub use serve::{DataServerError, serve_data, serve_proxy};
