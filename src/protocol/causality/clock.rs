//! The hybrid logical clock that stamps writes: wall milliseconds, and a counter for when the wall clock
//! does not rise (Kulkarni et al., Logical Physical Clocks, 2014).
//!
//! The wall time is an argument, so that a test or the simulator can turn it back.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A point of hybrid time: 48 bits of milliseconds since 1970, 16 bits of counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    pub const ZERO: Self = Self(0);

    const COUNTER_BITS: u32 = 16;

    /// The latest wall time that a timestamp accepts, some 4,000 years from now. No wall clock reaches
    /// the upper half of the range, so a timestamp never overflows.
    pub const WALL_MS_MAX: u64 = (1 << 47) - 1;

    /// The first timestamp of a millisecond, or of the last millisecond if the wall clock is beyond it.
    pub const fn from_wall_ms(wall_ms: u64) -> Self {
        let is_beyond = wall_ms > Self::WALL_MS_MAX;
        let wall_ms = if is_beyond { Self::WALL_MS_MAX } else { wall_ms };
        Self(wall_ms << Self::COUNTER_BITS)
    }

    pub const fn wall_ms(self) -> u64 {
        self.0 >> Self::COUNTER_BITS
    }

    /// The next timestamp; a full counter carries into the milliseconds.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Decimal seconds since 1970. Of the eight fraction digits, three are milliseconds and five the
/// counter, so the text sorts as the timestamps do.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.wall_ms();
        let counter = self.0 & ((1 << Self::COUNTER_BITS) - 1);
        write!(f, "{}.{:03}{counter:05}", ms / 1000, ms % 1000)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node's clock. It rises strictly with each timestamp drawn and never falls behind one observed.
#[derive(Debug, Default)]
pub struct Clock {
    latest: AtomicU64,
}

impl Clock {
    /// A timestamp above every one drawn or observed before, and not before the wall clock.
    pub fn tick(&self, wall_ms: u64) -> Timestamp {
        let wall = Timestamp::from_wall_ms(wall_ms);
        let mut drawn = wall;
        self.latest
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |latest| {
                drawn = wall.max(Timestamp(latest).next());
                Some(drawn.0)
            })
            .expect("the update always gives a value");
        drawn
    }

    /// Raises the clock to a received timestamp, so that later ones are above it. Ignores a time that no
    /// clock can show: there would be no timestamp above it to draw.
    pub fn observe(&self, seen: Timestamp) {
        if seen.wall_ms() <= Timestamp::WALL_MS_MAX {
            self.latest.fetch_max(seen.0, Ordering::AcqRel);
        }
    }

    /// The highest timestamp drawn or observed, or the wall clock if that is later.
    pub fn now(&self, wall_ms: u64) -> Timestamp {
        Timestamp(self.latest.load(Ordering::Acquire)).max(Timestamp::from_wall_ms(wall_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_that_stands_or_falls_still_gives_rising_timestamps() {
        let clock = Clock::default();
        let drawn: Vec<_> = [1000, 1000, 400, 1000, 1001].map(|wall| clock.tick(wall)).into();
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]), "{drawn:?}");
        assert_eq!(drawn[4].wall_ms(), 1001);
    }

    #[test]
    fn what_is_drawn_is_above_what_was_observed() {
        let clock = Clock::default();
        let seen = Timestamp::from_wall_ms(5000);
        clock.observe(seen);
        assert!(clock.tick(10) > seen);
    }

    #[test]
    fn a_full_counter_carries_into_the_next_millisecond() {
        let full = Timestamp(Timestamp::from_wall_ms(8).0 - 1);
        assert_eq!((full.wall_ms(), full.next().wall_ms()), (7, 8));
    }

    #[test]
    fn no_wall_and_no_message_leaves_a_clock_without_a_next_timestamp() {
        let clock = Clock::default();
        clock.observe(Timestamp(u64::MAX));
        let drawn: Vec<_> = [5, u64::MAX, u64::MAX, 5].map(|wall| clock.tick(wall)).into();
        assert_eq!(drawn[0].wall_ms(), 5);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]), "{drawn:?}");
        assert_eq!(drawn[1].wall_ms(), Timestamp::WALL_MS_MAX);
    }

    #[test]
    fn the_text_is_seconds_that_sort_as_the_timestamps_do() {
        assert_eq!(
            Timestamp::from_wall_ms(1_700_000_000_123).to_string(),
            "1700000000.12300000"
        );
        let (a, b) = (
            Timestamp::from_wall_ms(1_700_000_000_123),
            Timestamp(Timestamp::from_wall_ms(1_700_000_000_124).0 - 1),
        );
        assert!(a.to_string() < b.to_string() && a < b);
    }
}
