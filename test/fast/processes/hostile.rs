//! Attacks a whole node, as a process, from its network: thousands of abandoned connections, malformed
//! requests, peers that send garbage. It stays up, keeps its data, serves the next honest client at
//! once, and logs so little that the log stays readable.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the tests are strangers to a real process"
)]

mod crowd;
mod peers;
mod process;
mod requests;
