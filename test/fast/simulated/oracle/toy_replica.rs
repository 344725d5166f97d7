//! One replica of the toy store, and the contents of its records and payloads.

use std::collections::BTreeMap;

use causeway::protocol::causality::{Clock, Timestamp};

use super::toy::{Fault, REPLICAS};

/// A payload: for each node the number of its last write that matters, and the latest timestamp.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Depends {
    pub(super) numbers: BTreeMap<usize, u64>,
    pub(super) stamp: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) stamp: Timestamp,
    pub(super) node: usize,
    pub(super) number: u64,
    pub(super) depends: Depends,
}

pub(super) struct Replica {
    node: usize,
    fault: Fault,
    clock: Clock,
    /// How far this node's wall clock is ahead.
    skew_ms: u64,
    held: BTreeMap<usize, u64>,
    records: BTreeMap<String, Record>,
    /// Pushes in flight to this replica, by arrival time.
    arrivals: BTreeMap<(u64, usize, u64), Record>,
}

impl Replica {
    pub(super) fn new(node: usize, fault: Fault) -> Self {
        Self {
            node,
            fault,
            clock: Clock::default(),
            skew_ms: node as u64 * 37 % 100,
            held: BTreeMap::new(),
            records: BTreeMap::new(),
            arrivals: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Record> {
        self.records.get(key)
    }

    pub(super) fn covers(&self, depends: &Depends) -> bool {
        let mut numbers = depends.numbers.iter();
        let ours = |node: usize| node / REPLICAS == self.node / REPLICAS;
        numbers.all(|(node, number)| !ours(*node) || self.held.get(node) >= Some(number))
    }

    /// Creates a record of its own, named and stamped, not yet applied.
    pub(super) fn take(
        &mut self,
        key: &str,
        value: Option<String>,
        depends: &Depends,
        now_us: u64,
    ) -> Record {
        if self.fault != Fault::ClockNotRaised {
            self.clock.observe(depends.stamp);
        }
        let stamp = self.clock.tick(now_us / 1000 + self.skew_ms);
        let number = self.held.entry(self.node).or_default();
        *number += 1;
        Record {
            key: key.into(),
            value,
            stamp,
            node: self.node,
            number: *number,
            depends: depends.clone(),
        }
    }

    /// Pushes of one node arrive in their order.
    pub(super) fn expect(&mut self, record: Record, due_us: u64) {
        let sent_before = self.arrivals.keys().filter(|(_, from, _)| *from == record.node);
        let due_us = sent_before.map(|(due_us, ..)| *due_us).fold(due_us, u64::max);
        self.arrivals.insert((due_us, record.node, record.number), record);
    }

    pub(super) fn deliver(&mut self, now_us: u64) {
        while let Some(arrival) = self.arrivals.first_entry().filter(|next| next.key().0 <= now_us) {
            let record = arrival.remove();
            self.apply(record);
        }
    }

    pub(super) fn apply(&mut self, record: Record) {
        self.held.insert(record.node, record.number);
        if self.fault != Fault::ClockNotRaised {
            self.clock.observe(record.stamp);
        }
        let rank = |record: &Record| (record.stamp, record.node);
        let old = self.records.get(&record.key);
        let wins = self.fault == Fault::ArrivalOrder || old.is_none_or(|old| rank(old) < rank(&record));
        if wins && record.value.is_none() && self.fault == Fault::ForgetsDeletions {
            self.records.remove(&record.key);
        } else if wins {
            self.records.insert(record.key.clone(), record);
        }
    }
}

impl Depends {
    pub(super) fn parse(payload: &str) -> Self {
        let mut depends = Self::default();
        for part in payload.split([',', '_']).filter(|part| !part.is_empty()) {
            let (name, number) = part.split_once('-').expect("made by the store itself");
            let number = number.parse().expect("made by the store itself");
            match name.parse() {
                Ok(node) => depends.add(node, number),
                Err(_) => depends.stamp = depends.stamp.max(Timestamp(number)),
            }
        }
        depends
    }

    pub(super) fn text(&self) -> String {
        let numbers = self
            .numbers
            .iter()
            .map(|(node, number)| format!("{node}-{number}_"));
        format!("{}t-{}", numbers.collect::<String>(), self.stamp.0)
    }

    fn add(&mut self, node: usize, number: u64) {
        let known = self.numbers.entry(node).or_default();
        *known = number.max(*known);
    }

    /// What a client depends on once it knows this record.
    pub(super) fn join(&mut self, record: &Record, fault: Fault) {
        self.add(record.node, record.number);
        self.stamp = self.stamp.max(record.stamp);
        if fault != Fault::DropsDependencies {
            record
                .depends
                .numbers
                .iter()
                .for_each(|(node, number)| self.add(*node, *number));
        }
    }
}
