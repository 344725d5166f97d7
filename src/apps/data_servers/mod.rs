//! Pairs: a proxy and its data servers.
//!
//! ```text
//! client ─▶ proxy ── calls ──▶ data server ─▶ local store ─▶ single node ─▶ disk
//!             └ rendezvous: key -> server     └ asks the first participant of an atomic set
//! ```
//!
//! A proxy keeps nothing. A data server runs on a single-node cluster, so storage, syncing and crash
//! recovery are the node's business. Both have the same HTTP interface (`endpoints`, `body`, `reply`); a
//! data server also serves without a proxy.
//!
//! # One key
//!
//! * P1. Each key has one owner, a function of the key and the list of servers. A share of a set is one
//!   batch on its server: stored with one sync, whole or not at all; reads there see no half of it.
//! * P2. A key whose owner does not answer is unavailable. It is placed on no other server, because no
//!   reader would find it there.
//!
//! # The list
//!
//! The servers hold the authoritative list, with a version. Every call names the version that it is based
//! on. A server with a newer list refuses, and the proxy learns it. A server with an older one adopts
//! the newer one before it answers anything.
//!
//! * P3. Two proxies never diverge: the next version first goes to the first server of the previous list,
//!   which accepts only one.
//! * P4. A change is two versions: `previous -> servers`, under way; then `servers` alone. Both are on
//!   the disks of the servers, and each step between them may be repeated, so any proxy can finish it.
//!   Each step waits for a server that is starting or paused. Each name must lead to a server of its own:
//!   a server that has one name of the list answers to no other, even if that name leads to it later.
//! * P5. No key is used at its new owner before its old owner follows the version under way (`fence`).
//!   Otherwise a proxy that does not know of the change could write it at the old owner, be confirmed,
//!   and be overwritten by what the new one has. This is why every change needs every server.
//! * P6. While the change lasts, writes go to the new owner. A read asks the new owner, then the old one
//!   for keys that the new one does not know, and then the new one again: the key may have moved in
//!   between, and it moves only once. A listing is taken twice for the same reason.
//! * P7. A server takes in a copy only if it knows nothing of the key, and it remembers deletions as long
//!   as the change lasts. So a copy never replaces a newer value or revives a deleted one, even if its
//!   mover was frozen in between: when deletions are forgotten, its version is stale.
//! * P8. A copy is dropped at the old owner when the new one has it on disk.
//! * P9. A server that was given up with its keys (`force`) is empty when it comes back.
//!
//! # Atomic sets
//!
//! Participants stage their pairs durably, one after the other in the order of their names, and hold the
//! keys. Then the first of them, the decider, applies its own share, and that is the commit point.
//!
//! * P10. The decider stages first. So if it does not know a transaction, it has aborted it or will never
//!   commit it, and aborts need no record. A commit is remembered until all have applied it.
//! * P11. A server that is asked for a held key asks the decider first. If committed, it applies the set
//!   and answers with the new value. If undecided, the old value was still right when the decider was
//!   asked, which was after the read began. No request waits for a proxy that is gone: after 0.6 seconds
//!   a server that needs the keys aborts for it.
//! * P12. Two answers may come from different sides of a commit point. Each names the transactions that
//!   it shows. If a server should have shown one and did not, the proxy asks it again (`proxy::fractures`).
//! * P13. No transaction spans a change of the list: a server aborts undecided ones before it follows the
//!   next version.
//! * P14. All proxies stage in the same order, so two sets never wait for each other.
//!
//! # Left out on purpose
//!
//! Copies of a pair on several servers: the partitioned store has them. Plain sets are atomic on each
//! server and not over all. A set that a frozen server did not confirm counts as failed and may still be
//! stored. If the decider of an atomic set is down after its commit and before the others learn of it,
//! only the keys of that set are unavailable.

pub mod arguments;

mod body;
mod calls;
mod data_server;
mod endpoints;
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
