//! The proportions of a random run. The defaults were chosen for what they catch: nearly all runs of a
//! thousand operations expose a wrong store, if replication lags.

use causeway::names::{SLOTS, Slot};

/// The proportions of a run.
#[derive(Debug, Clone)]
pub struct Shape {
    /// How many sessions run at the same time.
    pub lanes: usize,
    /// Keys at odd places are never deleted.
    pub keys: Vec<String>,
    /// How many operations the lanes send in all, the final reads not counted.
    pub operations: usize,
    /// Shares of all operations; the rest are gets.
    pub puts: f64,
    pub deletes: f64,
    /// How often a session stays at its last key or goes to that key's neighbour: places 0 and 1, 2 and
    /// 3, and so on.
    pub returns: f64,
    /// How often an operation also sends the payload of another lane.
    pub hand_overs: f64,
    /// How often a request carries a second operation.
    pub batches: f64,
    /// How often a session ends by itself.
    pub session_ends: f64,
    /// How often a fresh session begins without a payload.
    pub blank_starts: f64,
    /// The longest pause before an operation.
    pub pause_us_max: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            lanes: 6,
            keys: spread_keys(12, 1),
            operations: 1_000,
            puts: 0.3,
            deletes: 0.06,
            returns: 0.6,
            hand_overs: 0.1,
            batches: 0.0,
            session_ends: 0.1,
            blank_starts: 0.5,
            pause_us_max: 5_000,
        }
    }
}

/// Names of keys such that each of `runs` equal runs of the slots holds `each` of them. With the first
/// view, partitions whose number divides `runs` get equal shares.
pub fn spread_keys(runs: u16, each: usize) -> Vec<String> {
    let run_of = |key: &String| usize::from(Slot::of(key).0 / SLOTS.div_ceil(runs));
    let mut kept = vec![0; usize::from(runs)];
    let names = (0..).map(|number| format!("k{number}"));
    let wanted = names.filter(|key| {
        let in_run = &mut kept[run_of(key)];
        *in_run += 1;
        *in_run <= each
    });
    wanted.take(usize::from(runs) * each).collect()
}
