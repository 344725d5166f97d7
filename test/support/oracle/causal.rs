//! Walks the causal order: computes the past of every operation and checks each answer against it.

use std::rc::Rc;

use super::chains::{Chains, Place, includes};
use super::ledger::Ledger;
use super::order::causes;
use super::past::{Floor, Mark, Past};
use super::{Kind, Violation};
use crate::support::history::Stamp;

/// What the end of the run is checked against.
pub(super) struct Ends {
    /// The place of each visited write in the causal order.
    pub places: Vec<Option<Place>>,
    /// For each key.
    pub keys: Vec<KeyEnd>,
}

/// The acknowledged, lasting writes of a key that no other such write beats.
#[derive(Default, Clone)]
pub(super) struct KeyEnd {
    /// The one with the latest timestamp.
    pub winner: Option<(Stamp, Rc<Mark>)>,
    /// Writes of unknown timestamp that no other of them follows causally.
    pub unstamped: Vec<Rc<Mark>>,
}

/// Judges every answer by its past. Also counts the reads whose past has a write of their key.
pub(super) fn judge_reads(
    ledger: &Ledger<'_>,
    order: &[usize],
    violations: &mut Vec<Violation>,
) -> (Ends, usize) {
    let mut pass = Pass::begin(ledger, violations);
    for index in order {
        pass.step(*index);
    }
    (pass.ends, pass.bound)
}

struct Pass<'p, 'h> {
    ledger: &'p Ledger<'h>,
    violations: &'p mut Vec<Violation>,
    empty: Rc<Past>,
    /// The past of each operation, itself included; dropped after its last effect was visited.
    pasts: Vec<Option<Rc<Past>>>,
    effects_left: Vec<usize>,
    chains: Chains,
    ends: Ends,
    bound: usize,
}

impl<'p, 'h> Pass<'p, 'h> {
    fn begin(ledger: &'p Ledger<'h>, violations: &'p mut Vec<Violation>) -> Self {
        let count = ledger.events.len();
        let mut effects_left = vec![0; count];
        for index in 0..count {
            causes(ledger, index).for_each(|cause| effects_left[cause] += 1);
        }
        let keys = ledger.keys.len();
        Self {
            ledger,
            violations,
            empty: Rc::new(Past::empty(keys)),
            pasts: vec![None; count],
            effects_left,
            chains: Chains::of(ledger.events),
            ends: Ends {
                places: vec![None; count],
                keys: vec![KeyEnd::default(); keys],
            },
            bound: 0,
        }
    }

    fn step(&mut self, index: usize) {
        let before = self.past_before(index);
        let event = &self.ledger.events[index];
        let past = if let Some(write) = self.ledger.source[index] {
            self.judge_found(index, write, &before);
            self.past_of_reader(before, write)
        } else if event.found_nothing() {
            self.judge_missing(index, before)
        } else if event.may_take_effect() {
            self.judge_stamp(index, &before);
            self.write(index, before)
        } else {
            before
        };
        if self.effects_left[index] > 0 {
            self.pasts[index] = Some(past);
        }
        self.release_causes(index);
        self.chains.leave(event.session);
    }

    fn past_before(&self, index: usize) -> Rc<Past> {
        let mut causes = self.ledger.after[index].iter().map(|cause| self.past_of(*cause));
        let Some(first) = causes.next() else {
            return Rc::clone(&self.empty);
        };
        causes.fold(Rc::clone(first), |joined, next| {
            if Rc::ptr_eq(&joined, next) {
                joined
            } else {
                Rc::new(joined.join(next))
            }
        })
    }

    fn past_of(&self, cause: usize) -> &Rc<Past> {
        self.pasts[cause]
            .as_ref()
            .expect("causes come first and wait for their last effect")
    }

    fn past_of_reader(&self, before: Rc<Past>, write: usize) -> Rc<Past> {
        let seen = self.ends.places[write].is_some_and(|place| includes(&before.clock, place));
        if seen {
            before
        } else {
            Rc::new(before.join(self.past_of(write)))
        }
    }

    fn release_causes(&mut self, index: usize) {
        for cause in causes(self.ledger, index) {
            self.effects_left[cause] -= 1;
            if self.effects_left[cause] == 0 {
                self.pasts[cause] = None;
            }
        }
    }

    fn judge_found(&mut self, read: usize, write: usize, before: &Past) {
        let floor = &before.floors[self.ledger.key[read]];
        self.bound += usize::from(!floor.latest.is_empty());
        let place = self.ends.places[write].expect("a read comes after its write in the order");
        let told = self.ledger.tell(read);
        let overwriter = floor.overwriter(place);
        if let Some(mark) = overwriter.filter(|mark| !self.may_return(write, mark)) {
            let (kind, by) = match mark.deletes {
                true => (Kind::DeletedKeyBack, "a deletion that followed it"),
                false => (Kind::Stale, "a write that followed it"),
            };
            let (old, new) = (self.ledger.tell(write), self.ledger.tell(mark.event));
            let sentence = format!("{told} depends on {by}: {new}; it was answered from {old}");
            self.report(kind, &[read, write, mark.event], sentence);
        } else if let (Some(stamp), Some((top, winner))) = (self.ledger.stamp[write], floor.top)
            && stamp < top
        {
            let (old, new) = (self.ledger.tell(write), self.ledger.tell(winner));
            let sentence = format!(
                "{told} depends on {new}, stamped {top}; it was answered from {old}, which lost with {stamp}"
            );
            self.report(Kind::LoserRead, &[read, write, winner], sentence);
        }
    }

    /// A write that may vanish may return: a read that found nothing need not have seen it deleted.
    fn may_return(&self, write: usize, mark: &Mark) -> bool {
        !self.ledger.lasts(write) && self.ledger.events[mark.event].found_nothing()
    }

    /// A legal "not found" against a put in the past has seen a deletion that won, and counts as one.
    fn judge_missing(&mut self, read: usize, before: Rc<Past>) -> Rc<Past> {
        let key = self.ledger.key[read];
        let floor = &before.floors[key];
        self.bound += usize::from(!floor.latest.is_empty());
        let Some(put) = floor.latest.iter().find(|mark| !mark.deletes) else {
            return before;
        };
        let deletions = &self.ledger.deletions[key];
        if !deletions
            .iter()
            .any(|deletion| self.may_explain(*deletion, read, floor))
        {
            let (told, put_told) = (self.ledger.tell(read), self.ledger.tell(put.event));
            let sentence = format!("{told} depends on {put_told}, and no deletion can have won against it");
            let involved = [read, put.event];
            self.report(Kind::Missing, &involved, sentence);
            return before;
        }
        // A deletion that may vanish obliges no reader that saw it.
        if !deletions.iter().all(|deletion| self.ledger.lasts(*deletion)) {
            return before;
        }
        self.mark(read, &before, true)
    }

    fn may_explain(&self, deletion: usize, read: usize, floor: &Floor) -> bool {
        let begun = self.ledger.events[deletion].start_us <= self.ledger.events[read].end_us;
        let mut puts = floor.latest.iter().filter(|mark| !mark.deletes);
        begun && puts.all(|put| self.ends.may_win(self.ledger, deletion, put))
    }

    /// A node raises a write's clock above everything that its client has seen.
    fn judge_stamp(&mut self, write: usize, before: &Past) {
        let (Some(stamp), Some((newest, cause))) = (self.ledger.stamp[write], before.newest) else {
            return;
        };
        if stamp <= newest {
            let (told, cause_told) = (self.ledger.tell(write), self.ledger.tell(cause));
            let sentence =
                format!("{told} is stamped {stamp}, but depends on {cause_told}, stamped {newest}");
            self.report(Kind::TimestampFell, &[write, cause], sentence);
        }
    }

    fn write(&mut self, index: usize, before: Rc<Past>) -> Rc<Past> {
        let key = self.ledger.key[index];
        let stamp = self.ledger.stamp[index].map(|stamp| (stamp, index));
        let mut past = if self.ledger.lasts(index) {
            let past = self.mark(index, &before, self.ledger.is_deletion(index));
            let mut past = Rc::unwrap_or_clone(past);
            let mut floor = (*past.floors[key]).clone();
            floor.top = floor.top.max(stamp);
            self.enter_end(index, &floor.latest[0]);
            past.floors[key] = Rc::new(floor);
            past
        } else {
            let place = self.next_place(index, &before);
            before.with(place)
        };
        past.newest = past.newest.max(stamp);
        Rc::new(past)
    }

    /// The past with `index` as the only write of its key that counts.
    fn mark(&mut self, index: usize, before: &Past, deletes: bool) -> Rc<Past> {
        let place = self.next_place(index, before);
        let mut past = before.with(place);
        let mark = Mark {
            event: index,
            place,
            deletes,
            clock: Rc::clone(&past.clock),
        };
        let key = self.ledger.key[index];
        past.floors[key] = Rc::new(Floor {
            latest: vec![Rc::new(mark)],
            top: past.floors[key].top,
        });
        Rc::new(past)
    }

    fn next_place(&mut self, index: usize, before: &Past) -> Place {
        let place = self
            .chains
            .extend(self.ledger.events[index].session, &before.clock);
        self.ends.places[index] = Some(place);
        place
    }

    fn enter_end(&mut self, write: usize, mark: &Rc<Mark>) {
        if !self.ledger.events[write].is_acknowledged() {
            return;
        }
        let end = &mut self.ends.keys[self.ledger.key[write]];
        match self.ledger.stamp[write] {
            Some(stamp) if end.winner.as_ref().is_some_and(|(best, _)| *best >= stamp) => {}
            Some(stamp) => end.winner = Some((stamp, Rc::clone(mark))),
            None => {
                end.unstamped.retain(|older| !includes(&mark.clock, older.place));
                end.unstamped.push(Rc::clone(mark));
            }
        }
    }

    fn report(&mut self, kind: Kind, involved: &[usize], sentence: String) {
        let violation = self.ledger.violation(kind, involved, sentence);
        self.violations.push(violation);
    }
}

impl Ends {
    /// True if `write` can have won against the marked write of its key, as far as any reply tells.
    pub fn may_win(&self, ledger: &Ledger<'_>, write: usize, against: &Mark) -> bool {
        let before = self.places[write].is_some_and(|place| includes(&against.clock, place));
        let itself = write == against.event;
        let lost = match (ledger.stamp[write], ledger.stamp[against.event]) {
            (Some(mine), Some(theirs)) => mine < theirs,
            _ => false,
        };
        itself || !(before || lost)
    }
}
