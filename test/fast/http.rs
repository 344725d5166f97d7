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

#[path = "http/anything.rs"]
mod anything;
#[path = "http/bodies.rs"]
mod bodies;
#[path = "http/bounds.rs"]
mod bounds;
#[path = "http/requests.rs"]
mod requests;
#[path = "http/rig.rs"]
mod rig;
#[path = "http/streams.rs"]
mod streams;
