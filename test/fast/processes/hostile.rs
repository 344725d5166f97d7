//! A whole node, as a process, and what strangers on its network may do to it: thousands of connections
//! that are left open, requests that are none, peers that speak nonsense. It stays up, keeps what it
//! has, serves the next honest client at once, and says so little that its log can still be read.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the tests are strangers to a real process"
)]

mod crowd;
mod peers;
mod process;
mod requests;
