//! One source of randomness for the whole simulation, and the clocks of the nodes.

use std::sync::Arc;

use causeway::node::World;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tokio::time::Instant;

/// A shared generator. All draws happen in one thread, in an order that the seed decides.
#[derive(Debug, Clone)]
pub struct Dice(Arc<Mutex<StdRng>>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    pub fn bits(&self) -> u64 {
        self.0.lock().next_u64()
    }

    /// A number of `range`, both ends included.
    pub fn between(&self, least: u64, most: u64) -> u64 {
        self.0.lock().random_range(least..=most)
    }

    pub fn chance(&self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }
}

/// The simulation begins at this time, in November 2023.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// A node's wall clock, which may be wrong, jump and drift, and its share of the dice. Its timers follow
/// the true time: a machine's own clock drifts by millionths.
#[derive(Debug)]
pub struct SimWorld {
    dice: Dice,
    born: Instant,
    hand: Mutex<Hand>,
}

/// The last setting of a clock.
#[derive(Debug)]
struct Hand {
    set: Instant,
    offset_ms: i64,
    drift_ppm: i64,
}

impl Hand {
    fn offset_ms(&self) -> i64 {
        let since_ms = i64::try_from(self.set.elapsed().as_millis()).expect("a short simulation");
        self.offset_ms + since_ms * self.drift_ppm / 1_000_000
    }
}

impl SimWorld {
    pub fn new(dice: Dice, born: Instant) -> Self {
        let hand = Hand {
            set: born,
            offset_ms: 0,
            drift_ppm: 0,
        };
        Self {
            dice,
            born,
            hand: Mutex::new(hand),
        }
    }

    /// Sets the clock this far ahead of the true time, or behind it if negative.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        let mut hand = self.hand.lock();
        (hand.set, hand.offset_ms) = (Instant::now(), offset_ms);
    }

    /// Lets the clock run this many millionths too fast from now on, or too slow if negative.
    pub fn set_drift_ppm(&self, drift_ppm: i64) {
        let mut hand = self.hand.lock();
        let offset_ms = hand.offset_ms();
        *hand = Hand {
            set: Instant::now(),
            offset_ms,
            drift_ppm,
        };
    }
}

impl World for SimWorld {
    fn wall_ms(&self) -> u64 {
        let since_begin = i64::try_from(self.born.elapsed().as_millis()).expect("a short simulation");
        let now = BEGIN_MS + since_begin + self.hand.lock().offset_ms();
        // No machine shows a time before 1970.
        u64::try_from(now).unwrap_or(0)
    }

    fn random(&self) -> u64 {
        self.dice.bits()
    }
}
