//! The world of a node: its wall clock and its randomness. The simulator provides its own.

use std::fmt;

use crate::config::millis;

/// What a node needs from outside besides its network and its disk.
pub trait World: Send + Sync + fmt::Debug {
    /// Milliseconds since 1970. May freeze, jump and go backwards.
    fn wall_ms(&self) -> u64;

    /// Sixty-four random bits.
    fn random(&self) -> u64;
}

/// The machine's own clock and randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl World for Machine {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where a node reads the wall clock"
    )]
    fn wall_ms(&self) -> u64 {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since_1970.map_or(0, millis)
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}
