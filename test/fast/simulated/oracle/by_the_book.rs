//! Compares the oracle with the literal definitions: for every read, a search through its whole past.
//! Too slow for long runs, and too plain to share a mistake with clocks, floors and chains.

use std::collections::{BTreeMap, BTreeSet};

use super::toy::Fault;
use super::toy_runs::run;
use crate::support::history::{Action, Event, History, OpId, Stamp};
use crate::support::oracle::{Kind, Rules, judge};
use crate::support::workload::Shape;

struct Book<'h> {
    events: &'h [Event],
    /// The causal past of each operation without itself.
    pasts: Vec<BTreeSet<usize>>,
    writer: BTreeMap<&'h str, usize>,
    stamps: BTreeMap<&'h str, Stamp>,
    /// Reads that legally found nothing although a put is in their past.
    saw_deletion: BTreeSet<usize>,
}

impl<'h> Book<'h> {
    fn open(events: &'h [Event]) -> Self {
        let value = |event: &'h Event| match &event.operation.action {
            Action::Put(value) => Some(value.as_str()),
            Action::Get | Action::Delete => event.found(),
        };
        let stamps = events
            .iter()
            .filter_map(|event| Some((value(event)?, event.stamp()?)));
        let is_put = |event: &Event| matches!(event.operation.action, Action::Put(_));
        let puts = (0..events.len()).filter(|index| is_put(&events[*index]));
        let mut book = Self {
            events,
            pasts: Vec::new(),
            writer: puts
                .filter_map(|index| Some((value(&events[index])?, index)))
                .collect(),
            stamps: stamps.collect(),
            saw_deletion: BTreeSet::new(),
        };
        let index_of: BTreeMap<OpId, usize> = events.iter().map(|event| event.id).zip(0..).collect();
        book.pasts = (0..events.len())
            .map(|index| book.past_of(index, &index_of))
            .collect();
        book
    }

    fn past_of(&self, index: usize, index_of: &BTreeMap<OpId, usize>) -> BTreeSet<usize> {
        let handed_in = |index: usize| self.events[index].after.iter().map(|id| index_of[id]);
        let mut past = BTreeSet::new();
        // A read's source joins the past of its successors, not the past that judges the read itself.
        let mut open: Vec<_> = handed_in(index).collect();
        while let Some(cause) = open.pop() {
            if past.insert(cause) {
                open.extend(handed_in(cause));
                open.extend(self.source(cause));
            }
        }
        past
    }

    fn source(&self, read: usize) -> Option<usize> {
        self.events[read].found().map(|value| self.writer[value])
    }

    fn stamp(&self, write: usize) -> Option<Stamp> {
        match &self.events[write].operation.action {
            Action::Put(value) => self.stamps.get(value.as_str()).copied(),
            Action::Get | Action::Delete => self.events[write].stamp(),
        }
    }

    /// What counts as a write of the read's key in its past.
    fn writes_before(&self, read: usize) -> impl Iterator<Item = usize> {
        let key = &self.events[read].operation.key;
        let of_key = self.pasts[read]
            .iter()
            .copied()
            .filter(|index| self.events[*index].operation.key == *key);
        of_key.filter(|index| self.events[*index].may_take_effect() || self.saw_deletion.contains(index))
    }

    fn is_bad_find(&self, read: usize, write: usize) -> bool {
        let overwrites = |later: &usize| *later != write && self.pasts[*later].contains(&write);
        let wins = |other: &usize| {
            let deletes_unseen = self.saw_deletion.contains(other);
            !deletes_unseen && self.stamp(*other) > self.stamp(write)
        };
        self.writes_before(read)
            .any(|other| overwrites(&other) || wins(&other))
    }

    /// `None` if every put in its past is overwritten there.
    fn is_legal_miss(&self, read: usize) -> Option<bool> {
        let before: Vec<_> = self.writes_before(read).collect();
        let is_put = |write: &usize| matches!(self.events[*write].operation.action, Action::Put(_));
        let is_last = |write: &usize| !before.iter().any(|later| self.pasts[*later].contains(write));
        let puts: Vec<_> = before
            .iter()
            .filter(|write| is_put(write) && is_last(write))
            .collect();
        if puts.is_empty() {
            return None;
        }
        let explains = |deletion: usize| {
            let event = &self.events[deletion];
            let deletes = event.operation.action == Action::Delete && event.may_take_effect();
            let of_key = event.operation.key == self.events[read].operation.key;
            let begun = event.start_us <= self.events[read].end_us;
            let lost = |put: &&usize| {
                let by_stamp = event.stamp().is_some_and(|stamp| Some(stamp) < self.stamp(**put));
                by_stamp || self.pasts[**put].contains(&deletion)
            };
            deletes && of_key && begun && !puts.iter().any(lost)
        };
        Some((0..self.events.len()).any(explains))
    }

    fn bad_reads(mut self) -> BTreeSet<OpId> {
        let mut bad = BTreeSet::new();
        let mut reads: Vec<_> = (0..self.events.len()).collect();
        reads.sort_by_key(|read| self.events[*read].end_us);
        for read in reads {
            let is_bad = match self.source(read) {
                Some(write) => self.is_bad_find(read, write),
                None if self.events[read].found_nothing() => match self.is_legal_miss(read) {
                    Some(true) => !self.saw_deletion.insert(read),
                    Some(false) => true,
                    None => false,
                },
                None => false,
            };
            bad.extend(is_bad.then_some(self.events[read].id));
        }
        bad
    }
}

fn judged_bad(history: &History) -> BTreeSet<OpId> {
    let kinds = [Kind::Stale, Kind::DeletedKeyBack, Kind::Missing, Kind::LoserRead];
    let verdict = judge(history, &Rules::default());
    let of_reads = verdict
        .violations
        .iter()
        .filter(|violation| kinds.contains(&violation.kind));
    of_reads.map(|violation| violation.ops[0]).collect()
}

#[test]
fn the_judge_finds_the_reads_that_the_definitions_forbid() {
    let faults = [
        Fault::None,
        Fault::IgnoresPayloads,
        Fault::DropsDependencies,
        Fault::ForgetsDeletions,
    ];
    let mut forbidden = 0;
    for (fault, seed) in faults
        .iter()
        .flat_map(|fault| (0..40).map(move |seed| (*fault, seed)))
    {
        let shape = Shape {
            keys: vec!["a".into(), "b".into(), "c".into(), "d".into()],
            operations: 250,
            deletes: 0.2,
            ..Shape::default()
        };
        let history = run(seed, fault, shape);
        let by_the_book = Book::open(&history.events).bad_reads();
        forbidden += by_the_book.len();
        assert_eq!(
            judged_bad(&history),
            by_the_book,
            "{fault:?}, seed {seed}\n{history}"
        );
    }
    assert!(forbidden > 1_000, "only {forbidden} to compare");
}
