//! The accept loop and the peers' streams over real loopback sockets, with a host that only echoes:
//! what clients do right, what they do wrong, and what they do slowly.
//!
//! Nothing here sleeps to let something happen. Where a deadline of the server is shown, it is set so
//! short that waiting for it takes no time to speak of.
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
