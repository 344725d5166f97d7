//! Detects that this disk went back in time: a restored copy, or a journal that lost its end, has
//! forgotten what the node told its peers.
//!
//! Each start of a life is a run with a number and a random id, and each commit raises the position.
//! Peers remember how far they have seen a member come, and say so when they greet it. If the member's
//! disk does not know that run or position, it went back in time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ReplicaState;
use crate::names::{Dot, Member};
use crate::planted::{self, Fault};

/// Bits of a number that count within a run; far more writes than a disk can sync.
const NUMBERS_BITS: u32 = 38;

/// In coverage, the number of a log to which nothing can be added any more, in any run.
pub(super) const COMPLETE: u64 = u64::MAX;

/// The run in which a write of this number was taken.
pub(super) fn run_of(number: u64) -> u32 {
    u32::try_from(number >> NUMBERS_BITS).expect("fits, in what is left of the bits")
}

/// The number of a log that was held to its end in this run. No write has it, and a run that was unknown
/// when the log ended numbers its writes above.
pub(super) const fn end_of(run: u32) -> u64 {
    (run as u64) << NUMBERS_BITS | COMPLETE >> (u64::BITS - NUMBERS_BITS)
}

/// The highest number that a write can have in a log which ends here.
pub fn last_write(end: u64) -> u64 {
    if is_end(end) { end - 1 } else { end }
}

/// True if this is the end of a log in some run.
pub(super) fn is_end(number: u64) -> bool {
    number == end_of(run_of(number))
}

/// One start of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// From 0, higher with each start.
    pub number: u32,
    /// Random, since two starts from copies of one disk have the same number.
    pub id: u64,
    /// The position at which the run before it ended.
    pub began_at: u64,
}

/// The run and the position that a member was seen to have reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    pub run: u32,
    pub id: u64,
    pub position: u64,
}

/// How far each member has been seen to come, by life.
pub type Marks = BTreeMap<Member, Mark>;

/// The last starts of a life, the current one at the end. Shared, because every commit copies the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs(Arc<[Run]>);

impl Default for Runs {
    fn default() -> Self {
        Self::of_new_life(0, 0)
    }
}

impl Runs {
    /// How many starts are remembered. A peer that saw a member more starts ago than that takes its word.
    const REMEMBERED: usize = 32;

    /// The unit in which a start counts the age of its life.
    pub const TICK_MS: u64 = 2000;

    /// Four years. The rest is left for starts after a clock that is further ahead.
    const BY_TIME_MAX: u32 = (1 << 26) - (1 << 16);

    /// A life that begins in a process with this id.
    pub fn of_new_life(id: u64, began_at: u64) -> Self {
        Self(Arc::new([Run {
            number: 0,
            id,
            began_at,
        }]))
    }

    /// Runs as they were stored; none if the list is empty.
    pub fn from_stored(runs: Vec<Run>) -> Option<Self> {
        (!runs.is_empty()).then(|| Self(runs.into()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Run> {
        self.0.iter()
    }

    /// The current run.
    pub fn current(&self) -> Run {
        *self.0.last().expect("a life has been started")
    }

    /// The same life, started again at this position, `age_ms` after it began.
    ///
    /// A copy of a disk that is put back where no peer can be asked draws numbers of its own: the age
    /// takes it past the starts that the life had after the copy was made.
    pub fn started_again(&self, id: u64, began_at: u64, age_ms: u64) -> Self {
        let by_time = u32::try_from(age_ms / Self::TICK_MS).unwrap_or(u32::MAX);
        let by_time = by_time.min(Self::BY_TIME_MAX);
        let next = Run {
            number: self.current().number.saturating_add(1).max(by_time),
            id,
            began_at,
        };
        let skipped = (self.0.len() + 1).saturating_sub(Self::REMEMBERED);
        Self(self.0.iter().skip(skipped).copied().chain([next]).collect())
    }

    /// Writes of this run have higher numbers than this, whatever was drawn before.
    pub fn first_number(&self) -> u64 {
        if planted::is(Fault::NumbersDrawnAgain) || planted::is(Fault::NumberNotStored) {
            return 0;
        }
        u64::from(self.current().number) << NUMBERS_BITS
    }
}

impl ReplicaState {
    /// How far this member has come, without a run that is not stored yet.
    pub fn mark(&self) -> Mark {
        let told = self.runs.0.iter().rev().nth(usize::from(self.is_run_new));
        let Run { number, id, .. } = *told.unwrap_or(&self.runs.0[0]);
        Mark {
            run: number,
            id,
            position: self.position,
        }
    }

    /// Starts this life again, in a new run.
    pub fn start_again(&mut self, id: u64, age_ms: u64) {
        let (ended, log) = (self.runs.current().number, self.own_log());
        let number = self.vector.number(log);
        self.runs = self.runs.started_again(id, self.position, age_ms);
        let mut ends = (*self.run_ends).clone();
        ends.insert(ended, Dot { log, number });
        ends.retain(|run, _| self.runs.iter().any(|known| known.number == *run));
        self.run_ends = Arc::new(ends);
    }

    /// True if another member holds a write of this one that the disk does not know: it went back in
    /// time. Writes since then, in another run, say nothing of the runs before.
    pub fn lost_own(&self, held: Dot) -> bool {
        let log = self.own_log();
        if held.log != log {
            return false;
        }
        let runs = self.runs.0.iter().rev();
        let mut runs = runs.map(|run| run.number);
        let of_run = runs.find(|number| *number <= run_of(held.number));
        let end = match of_run {
            Some(run) if run == self.runs.current().number => Some(self.vector.number(log)),
            // As far as this disk knows, a run that ended in an earlier log wrote nothing to this one.
            Some(run) => self
                .run_ends
                .get(&run)
                .map(|end| if end.log == log { end.number } else { 0 }),
            None => None,
        };
        end.is_some_and(|end| held.number > end)
    }

    /// True if a peer saw this member further than its disk knows: the disk went back in time.
    pub fn went_back(&self, seen: &Mark) -> bool {
        let runs = &self.runs.0;
        let Some(at) = runs.iter().position(|run| run.number == seen.run) else {
            // Runs that are forgotten here had ended before the first remembered one began.
            return seen.run > runs[0].number || seen.position > runs[0].began_at;
        };
        let ended_at = runs.get(at + 1).map_or(self.position, |next| next.began_at);
        runs[at].id != seen.id || seen.position > ended_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Incarnation, Member};

    const TICK: u64 = Runs::TICK_MS;

    fn state(runs: Runs, position: u64) -> ReplicaState {
        let me = Member {
            node: "n:1".parse().expect("is a node"),
            incarnation: Incarnation {
                started_ms: 1,
                random: 1,
            },
        };
        ReplicaState {
            runs,
            position,
            ..ReplicaState::new(me)
        }
    }

    fn seen(run: u32, id: u64, position: u64) -> Mark {
        Mark { run, id, position }
    }

    #[test]
    fn a_disk_that_peers_saw_no_further_did_not_go_back() {
        let runs = Runs::of_new_life(7, 0).started_again(8, 100, 0);
        let state = state(runs, 150);
        for honest in [seen(0, 7, 3), seen(0, 7, 100), seen(1, 8, 100), seen(1, 8, 150)] {
            assert!(!state.went_back(&honest), "{honest:?}");
        }
    }

    #[test]
    fn a_disk_that_forgot_something_went_back() {
        // Started once more from a copy that was made at position 100.
        let state = state(Runs::of_new_life(7, 0).started_again(8, 100, 0), 150);
        let further = [
            // It had gone on in the run of the copy,
            seen(0, 7, 101),
            // was started again before the copy was put back,
            seen(1, 9, 100),
            seen(2, 10, 120),
            // or lost the end of its journal while it ran.
            seen(1, 8, 151),
        ];
        for mark in further {
            assert!(state.went_back(&mark), "{mark:?}");
        }
    }

    #[test]
    fn a_copy_that_is_put_back_later_numbers_its_writes_above_the_starts_since() {
        let copied = Runs::of_new_life(7, 0);
        let went_on = copied
            .started_again(8, 100, 3 * TICK)
            .started_again(9, 120, 5 * TICK);
        let put_back = copied.started_again(10, 50, 9 * TICK);
        assert!(put_back.first_number() > went_on.first_number());
        let state = state(put_back, 60);
        for unknown in [seen(3, 8, 100), seen(5, 9, 120), seen(3, 8, 0)] {
            assert!(state.went_back(&unknown), "{unknown:?}");
        }
        // A clock that is ages ahead leaves room.
        let far = copied.started_again(11, 0, u64::MAX);
        assert!(far.started_again(12, 0, u64::MAX).first_number() > far.first_number());
    }

    /// The end of the journal is gone, and the node has written in a later run since.
    #[test]
    fn an_own_write_that_only_peers_hold_shows_a_disk_that_went_back() {
        let mut state = state(Runs::default(), 0);
        let log = state.own_log();
        let own = |run: u32, number: u64| Dot {
            log,
            number: (u64::from(run) << NUMBERS_BITS) + number,
        };
        state.vector.raise(own(0, 30));
        assert!(!state.lost_own(own(0, 30)) && state.lost_own(own(0, 31)));
        state.start_again(1, 9 * TICK);
        state.vector.raise(own(9, 4));
        for held in [own(0, 30), own(9, 4), own(9, 1)] {
            assert!(!state.lost_own(held), "{held:?}");
        }
        // In the run before, in one that the disk has never heard of, and in this one.
        for held in [own(0, 31), own(5, 1), own(9, 5)] {
            assert!(state.lost_own(held), "{held:?}");
        }
        // A log that began in a run which this disk does not know.
        state.active = crate::names::Epoch(3);
        let later = Dot {
            log: state.own_log(),
            ..own(5, 1)
        };
        assert!(state.lost_own(later));
        let of_other = Dot {
            log: crate::names::Log {
                member: crate::names::MemberId(7),
                ..log
            },
            number: u64::MAX,
        };
        assert!(!state.lost_own(of_other));
    }

    #[test]
    fn old_starts_are_forgotten_and_still_tell_where_they_ended() {
        let runs = (1..=40).fold(Runs::of_new_life(0, 0), |runs, start| {
            runs.started_again(start, start * 10, 0)
        });
        assert_eq!(
            (runs.iter().count(), runs.current().number),
            (Runs::REMEMBERED, 40)
        );
        let state = state(runs, 1000);
        assert!(!state.went_back(&seen(3, 3, 40)) && state.went_back(&seen(3, 3, 91)));
    }

    #[test]
    fn each_start_numbers_its_writes_further_up() {
        let mut state = state(Runs::default(), 0);
        let first = state.next_dot();
        state.vector.raise(first);
        state.runs = state.runs.started_again(1, 1, 0);
        let second = state.next_dot();
        assert!(first.number == 1 && second.number > 1 << (NUMBERS_BITS - 1));
        state.vector.raise(second);
        assert_eq!(state.next_dot().number, second.number + 1);
    }
}
