//! Tests the accept loop and the peers' streams over real loopback sockets, with a host that only
//! echoes: correct clients, incorrect ones, and slow ones.
//!
//! No test sleeps to let something happen. A test of a server's deadline sets it so short that the wait
//! is negligible.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the tests are clients and servers"
)]

mod anything;
mod bodies;
mod bounds;
mod requests;
mod rig;
mod streams;
