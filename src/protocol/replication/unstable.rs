//! Indexes by dot the records that some member may still lack: an exchange is made from them.
//!
//! It holds the current records of epochs that are not closed, unless they were known stable at the last
//! [`Unstable::settle`]. A superseded record is not here: its successor is, or is stable.

use std::collections::BTreeMap;

use crate::names::{Dot, Epoch, Log};
use crate::protocol::causality::{Record, VersionVector};

/// Current records that are not known stable.
#[derive(Debug, Default)]
pub struct Unstable {
    logs: BTreeMap<Log, BTreeMap<u64, Record>>,
    /// What was stable when records were last dropped.
    settled: VersionVector,
}

impl Unstable {
    pub fn insert(&mut self, record: Record) {
        let Dot { log, number } = record.dot();
        self.logs.entry(log).or_default().insert(number, record);
    }

    pub fn remove(&mut self, dot: Dot) {
        if let Some(numbers) = self.logs.get_mut(&dot.log) {
            numbers.remove(&dot.number);
        }
    }

    /// Drops the records that became stable or whose epoch is closed.
    pub fn settle(&mut self, stable: &VersionVector, closed_below: Epoch) {
        self.logs.retain(|log, _| log.epoch >= closed_below);
        self.settled.merge(stable);
        self.settled.retain(|dot| dot.log.epoch >= closed_below);
        for dot in stable.iter() {
            let Some(numbers) = self.logs.get_mut(&dot.log) else {
                continue;
            };
            if numbers
                .first_key_value()
                .is_some_and(|(first, _)| *first <= dot.number)
            {
                *numbers = numbers.split_off(&(dot.number.saturating_add(1)));
            }
        }
        self.logs.retain(|_, numbers| !numbers.is_empty());
    }

    /// True if `not_in` finds every current record of epochs that are not closed that `holds` does not
    /// include: only records that it includes were dropped.
    pub fn knows_all_not_in(&self, holds: &VersionVector) -> bool {
        holds.covers(&self.settled)
    }

    /// The records that `holds` does not include.
    pub fn not_in<'a>(&'a self, holds: &'a VersionVector) -> impl Iterator<Item = &'a Record> {
        self.logs.iter().flat_map(move |(log, numbers)| {
            let from = holds.number(*log).saturating_add(1);
            numbers.range(from..).map(|(_, record)| record)
        })
    }

    pub fn len(&self) -> usize {
        self.logs.values().map(BTreeMap::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.logs.values().all(BTreeMap::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Key, MemberId};
    use crate::protocol::causality::Timestamp;

    fn dot(epoch: u64, number: u64) -> Dot {
        let log = Log {
            epoch: Epoch(epoch),
            member: MemberId(1),
        };
        Dot { log, number }
    }

    fn unstable(dots: &[Dot]) -> Unstable {
        let mut unstable = Unstable::default();
        for dot in dots {
            let key = Key::new("k").expect("is a key");
            let record = Record::new(&key, None, *dot, Timestamp(1), &VersionVector::default());
            unstable.insert(record);
        }
        unstable
    }

    fn not_in(unstable: &Unstable, holds: &[Dot]) -> Vec<Dot> {
        let holds = holds.iter().copied().collect();
        unstable.not_in(&holds).map(Record::dot).collect()
    }

    #[test]
    fn what_a_vector_does_not_include_is_found() {
        let all = [dot(1, 1), dot(1, 3), dot(2, 2)];
        let unstable = unstable(&all);
        assert_eq!((unstable.len(), not_in(&unstable, &[])), (3, all.to_vec()));
        assert_eq!(not_in(&unstable, &[dot(1, 1), dot(2, 2)]), [dot(1, 3)]);
        assert_eq!(not_in(&unstable, &[dot(1, u64::MAX)]), [dot(2, 2)]);
    }

    #[test]
    fn what_is_stable_or_of_a_closed_epoch_goes() {
        let mut unstable = unstable(&[dot(1, 1), dot(2, 1), dot(2, 2), dot(2, 3)]);
        unstable.settle(&[dot(2, 2)].into_iter().collect(), Epoch::NONE);
        assert_eq!(not_in(&unstable, &[]), [dot(1, 1), dot(2, 3)]);
        unstable.settle(&VersionVector::default(), Epoch(2));
        assert_eq!(not_in(&unstable, &[]), [dot(2, 3)]);
        unstable.remove(dot(2, 3));
        unstable.remove(dot(7, 7));
        assert!(unstable.is_empty());
    }
}
