//! Checks of freshness and availability that a run may request. They are separate from the oracle
//! because they hold only while the network is whole, which the run knows and the history does not.

use std::collections::BTreeMap;
use std::ops::Range;

use super::history::{Event, History, OpId, Outcome, Stamp};

/// While the network is whole: writes begun and answered in `writes_us` must be seen by reads that begin
/// and end in `reads_us`, at any node and with any dependencies, `grace_us` after the write's answer.
/// With equal ranges and a grace of 0 or 500 ms, a write is at every replica before the answer, or soon
/// after. With writes before a cut healed and reads from 5 s later on, replicas agree again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calm {
    pub writes_us: Range<u64>,
    pub reads_us: Range<u64>,
    pub grace_us: u64,
}

/// A read that did not see a write that was old enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    pub read: OpId,
    pub write: OpId,
    /// From the write's answer to the read's start.
    pub behind_us: u64,
}

/// The operation that took longest to be answered, refused or given up.
pub fn slowest(history: &History) -> Option<&Event> {
    history.events.iter().max_by_key(|event| event.took_us())
}

/// The operations that took longer than `bound_us`.
pub fn answers_over(history: &History, bound_us: u64) -> Vec<&Event> {
    let over = history.events.iter().filter(|event| event.took_us() > bound_us);
    over.collect()
}

/// The operations within `span_us` that got no answer though they should have.
pub fn unanswered(history: &History, span_us: Range<u64>) -> Vec<&Event> {
    let within = history.events.iter().filter(|event| within(event, &span_us));
    within
        .filter(|event| !matches!(event.outcome, Outcome::Ok(_)))
        .collect()
}

/// The late reads. Only writes with known timestamps are considered. A read is late only if what it saw
/// lost against one: a value with an earlier timestamp, or nothing where no deletion with a later or
/// unknown timestamp had begun.
pub fn late_reads(history: &History, calm: &Calm) -> Vec<Late> {
    let mut by_key: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in &history.events {
        by_key.entry(&event.operation.key).or_default().push(event);
    }
    by_key
        .values()
        .flat_map(|events| late_reads_of_key(events, calm))
        .collect()
}

fn late_reads_of_key(events: &[&Event], calm: &Calm) -> Vec<Late> {
    let stamps = value_stamps(events);
    let owed = owed_from(events, calm);
    let reads = events.iter().filter(|event| within(event, &calm.reads_us));
    let late = reads.filter_map(|read| {
        let due = owed.partition_point(|(due_us, _, _)| *due_us <= read.start_us);
        let (due_us, stamp, write) = *owed[..due].last()?;
        let lost = match read.found() {
            Some(value) => stamps.get(value).is_some_and(|seen| *seen < stamp),
            None => read.found_nothing() && !may_be_deleted(events, read, stamp),
        };
        let behind_us = read.start_us - (due_us - calm.grace_us);
        lost.then_some(Late {
            read: read.id,
            write,
            behind_us,
        })
    });
    late.collect()
}

/// Each time at which more is owed, and the latest timestamp owed from then on.
fn owed_from(events: &[&Event], calm: &Calm) -> Vec<(u64, Stamp, OpId)> {
    let acknowledged = events
        .iter()
        .filter(|event| event.is_acknowledged() && within(event, &calm.writes_us));
    let mut owed: Vec<_> = acknowledged
        .filter_map(|event| Some((event.end_us + calm.grace_us, event.stamp()?, event.id)))
        .collect();
    owed.sort_unstable();
    for next in 1..owed.len() {
        if owed[next].1 < owed[next - 1].1 {
            (_, owed[next].1, owed[next].2) = owed[next - 1];
        }
    }
    owed
}

fn value_stamps<'e>(events: &[&'e Event]) -> BTreeMap<&'e str, Stamp> {
    use super::history::Action;
    let stamped = events.iter().filter_map(|event| {
        let value = match &event.operation.action {
            Action::Put(value) => value,
            Action::Get | Action::Delete => event.found()?,
        };
        Some((value, event.stamp()?))
    });
    stamped.collect()
}

fn may_be_deleted(events: &[&Event], read: &Event, against: Stamp) -> bool {
    use super::history::Action;
    let mut deletions = events
        .iter()
        .filter(|event| event.operation.action == Action::Delete && event.may_take_effect());
    deletions.any(|deletion| {
        deletion.start_us <= read.end_us && deletion.stamp().is_none_or(|stamp| stamp >= against)
    })
}

fn within(event: &Event, span_us: &Range<u64>) -> bool {
    span_us.start <= event.start_us && event.end_us <= span_us.end
}
