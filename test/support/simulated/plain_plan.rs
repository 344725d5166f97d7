//! The setting and the plan of faults of a plain run, drawn from its seed.

use super::dice::Dice;
use super::fault::{Event, Fault, QUICK_SYNC_MS};

/// The setting that a seed stands for.
#[derive(Debug, Clone)]
pub struct PlainSetting {
    pub seed: u64,
    pub processes: usize,
    pub span_ms: u64,
    pub faults: u64,
    pub pause_us_max: u64,
}

impl PlainSetting {
    pub fn of_seed(seed: u64) -> Self {
        let dice = Dice::new(seed ^ 0x9E75E7);
        Self {
            seed,
            processes: if dice.chance(50) { 2 } else { 3 },
            span_ms: dice.between(4_000, 12_000),
            faults: dice.between(2, 10),
            pause_us_max: dice.between(5_000, 80_000),
        }
    }

    /// Draws the faults from the seed alone.
    pub fn plan(&self) -> Vec<Event> {
        let mut draft = Draft {
            dice: Dice::new(self.seed ^ 0xF2EE2E),
            setting: self,
            events: Vec::new(),
        };
        draft.weather();
        for _ in 0..self.faults {
            draft.misfortune();
        }
        draft.events.sort_by_key(|event| event.at_ms);
        draft.events
    }
}

struct Draft<'a> {
    dice: Dice,
    setting: &'a PlainSetting,
    events: Vec<Event>,
}

impl Draft<'_> {
    fn weather(&mut self) {
        for process in 0..self.setting.processes {
            let sync_ms = self.dice.between(1, QUICK_SYNC_MS);
            self.at(0, Fault::SlowDisk(process, sync_ms));
            let skew_ms = i64::try_from(self.dice.between(0, 20_000)).expect("seconds") - 10_000;
            self.at(0, Fault::Clock(process, skew_ms));
        }
    }

    fn misfortune(&mut self) {
        let at_ms = self.dice.between(0, self.setting.span_ms);
        let length_ms = self.dice.between(20, 4_000);
        let a = self.process();
        let b = (a + 1 + self.process() % (self.setting.processes - 1)) % self.setting.processes;
        match self.dice.between(0, 12) {
            0..=2 => self.freeze(a, at_ms, length_ms),
            3..=4 => self.freeze_all_but(a, at_ms, length_ms),
            5 => self.freeze_twice(a, at_ms, length_ms),
            6..=8 => self.kill(a, at_ms, length_ms),
            9 => {
                self.at(at_ms, Fault::Cut(a, b));
                self.at(at_ms + length_ms, Fault::HealLink(a, b));
            }
            10 => {
                self.at(at_ms, Fault::Isolate(a));
                self.at(at_ms + length_ms, Fault::Rejoin(a));
            }
            11 => self.at(at_ms, Fault::Break(a, b)),
            _ => {
                // One writes alone and dies, and the other thaws alone: then both are up again.
                self.freeze(b, at_ms, length_ms);
                self.kill(a, at_ms + length_ms / 2, length_ms);
            }
        }
    }

    fn freeze(&mut self, process: usize, at_ms: u64, length_ms: u64) {
        self.at(at_ms, Fault::Freeze(process));
        self.at(at_ms + length_ms, Fault::Thaw(process));
    }

    /// The remaining one writes alone; the others thaw one after the other.
    fn freeze_all_but(&mut self, left: usize, at_ms: u64, length_ms: u64) {
        for process in (0..self.setting.processes).filter(|process| *process != left) {
            let more_ms = self.dice.between(0, 300);
            self.freeze(process, at_ms, length_ms + more_ms);
        }
    }

    /// It thaws only briefly: it is frozen again while it asks for what it missed.
    fn freeze_twice(&mut self, process: usize, at_ms: u64, length_ms: u64) {
        self.freeze(process, at_ms, length_ms);
        let again_ms = at_ms + length_ms + self.dice.between(1, 6);
        let again_length_ms = self.dice.between(100, 1_500);
        self.freeze(process, again_ms, again_length_ms);
    }

    fn kill(&mut self, process: usize, at_ms: u64, length_ms: u64) {
        self.at(at_ms, Fault::Kill(process));
        self.at(at_ms + length_ms, Fault::Start(process));
    }

    fn at(&mut self, at_ms: u64, fault: Fault) {
        self.events.push(Event { at_ms, fault });
    }

    fn process(&self) -> usize {
        usize::try_from(self.dice.between(0, self.setting.processes as u64 - 1)).expect("few")
    }
}
