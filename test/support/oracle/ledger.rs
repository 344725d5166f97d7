//! The history as tables: which write a read returned, a write's timestamp, the deletions of a key.
//! Entries that cannot be resolved are reported here and left out of everything that follows.

use std::collections::BTreeMap;

use super::{Kind, Rules, Violation};
use crate::support::history::{Action, Answer, Event, History, OpId, Outcome, Phase, SessionId, Stamp};

/// Operations are named by their index in the history from here on.
pub(super) struct Ledger<'h> {
    pub events: &'h [Event],
    pub rules: &'h Rules,
    pub keys: Vec<&'h str>,
    /// The index of each operation's key.
    pub key: Vec<usize>,
    /// The operations whose payloads each operation sent.
    pub after: Vec<Vec<usize>>,
    /// For a read that found a value: the write that stored it.
    pub source: Vec<Option<usize>>,
    /// For a write: its timestamp, from its acknowledgement or from a read of it.
    pub stamp: Vec<Option<Stamp>>,
    /// For each key, the deletions that took effect or may have.
    pub deletions: Vec<Vec<usize>>,
}

impl<'h> Ledger<'h> {
    pub fn open(history: &'h History, rules: &'h Rules, violations: &mut Vec<Violation>) -> Self {
        let events = &history.events[..];
        let (keys, key) = index_keys(events);
        let mut ledger = Self {
            events,
            rules,
            after: index_after(events, violations),
            source: vec![None; events.len()],
            stamp: events.iter().map(own_stamp).collect(),
            deletions: vec![Vec::new(); keys.len()],
            keys,
            key,
        };
        check_form(events, violations);
        ledger.enter_deletions();
        ledger.enter_sources(violations);
        ledger.enter_read_stamps(violations);
        ledger
    }

    /// True if this write obliges the reads that depend on it, and the replicas at the end.
    pub fn lasts(&self, write: usize) -> bool {
        let event = &self.events[write];
        let replicas = match event.outcome {
            Outcome::Ok(Answer::Written { replicas, .. }) => replicas.max(1),
            _ => 1,
        };
        replicas >= self.rules.lasting_replicas && !self.rules.excused.contains(&event.id)
    }

    pub fn is_deletion(&self, write: usize) -> bool {
        self.events[write].operation.action == Action::Delete
    }

    /// An operation in a sentence: `#7 put x=v7 by session 2 at node 1`.
    pub fn tell(&self, index: usize) -> String {
        let event = &self.events[index];
        let key = &event.operation.key;
        let what = match (&event.operation.action, &event.outcome) {
            (Action::Put(value), _) => format!("put {key}={value}"),
            (Action::Delete, _) => format!("delete {key}"),
            (Action::Get, Outcome::Ok(Answer::Found { value, .. })) => format!("get {key}={value}"),
            (Action::Get, Outcome::Ok(_)) => format!("get {key}, not found,"),
            (Action::Get, _) => format!("get {key}, not answered,"),
        };
        let (id, session, node) = (event.id, event.session.0, event.node);
        format!("{id} {what} by session {session} at node {node}")
    }

    pub fn violation(&self, kind: Kind, involved: &[usize], sentence: String) -> Violation {
        Violation {
            kind,
            ops: involved.iter().map(|index| self.events[*index].id).collect(),
            sentence,
        }
    }

    fn enter_deletions(&mut self) {
        for (index, event) in self.events.iter().enumerate() {
            if event.operation.action == Action::Delete && event.may_take_effect() {
                self.deletions[self.key[index]].push(index);
            }
        }
    }

    fn enter_sources(&mut self, violations: &mut Vec<Violation>) {
        let mut writers: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, event) in self.events.iter().enumerate() {
            let Action::Put(value) = &event.operation.action else {
                continue;
            };
            if let Some(first) = writers.insert(value, index) {
                let sentence = format!("two puts wrote {value:?}; values must be unique");
                violations.push(self.violation(Kind::Malformed, &[first, index], sentence));
            }
        }
        for (read, event) in self.events.iter().enumerate() {
            let Some(value) = event.found() else { continue };
            match self.source_of(read, writers.get(value).copied()) {
                Ok(write) => {
                    violations.extend(self.foresight(read, write));
                    self.source[read] = Some(write);
                }
                Err(violation) => violations.push(violation),
            }
        }
    }

    fn source_of(&self, read: usize, writer: Option<usize>) -> Result<usize, Violation> {
        let told = self.tell(read);
        let Some(write) = writer else {
            let sentence = format!("{told} returned a value that no write stored");
            return Err(self.violation(Kind::ThinAir, &[read], sentence));
        };
        let (kind, what) = if self.key[write] != self.key[read] {
            (Kind::WrongKey, "the value of another key")
        } else if !self.events[write].may_take_effect() {
            (Kind::RefusedWrite, "a value whose write was refused")
        } else {
            return Ok(write);
        };
        let sentence = format!("{told} returned {what}: {}", self.tell(write));
        Err(self.violation(kind, &[read, write], sentence))
    }

    /// Judged by the run's clock. The causal order keeps the edge, and may find a cycle in it.
    fn foresight(&self, read: usize, write: usize) -> Option<Violation> {
        let known_before = self.events[write].start_us > self.events[read].end_us;
        let sentence = || format!("{} ended before {} began", self.tell(read), self.tell(write));
        known_before.then(|| self.violation(Kind::FromTheFuture, &[read, write], sentence()))
    }

    /// A timestamp comes with its value, so readers see it too, and all must agree.
    fn enter_read_stamps(&mut self, violations: &mut Vec<Violation>) {
        for (read, event) in self.events.iter().enumerate() {
            let (Some(write), Some(read_stamp)) = (self.source[read], event.stamp()) else {
                continue;
            };
            let stamp = *self.stamp[write].get_or_insert(read_stamp);
            if stamp != read_stamp {
                let (read_told, told) = (self.tell(read), self.tell(write));
                let sentence =
                    format!("{read_told} carried the timestamp {read_stamp}, but {told} had {stamp}");
                violations.push(self.violation(Kind::TimestampChanged, &[read, write], sentence));
            }
        }
    }
}

fn own_stamp(event: &Event) -> Option<Stamp> {
    event.stamp().filter(|_| event.is_acknowledged())
}

fn index_keys(events: &[Event]) -> (Vec<&str>, Vec<usize>) {
    let mut index_of = BTreeMap::new();
    let mut keys = Vec::new();
    let of_event = events.iter().map(|event| {
        let key = event.operation.key.as_str();
        *index_of.entry(key).or_insert_with(|| {
            keys.push(key);
            keys.len() - 1
        })
    });
    let of_event = of_event.collect();
    (keys, of_event)
}

fn index_after(events: &[Event], violations: &mut Vec<Violation>) -> Vec<Vec<usize>> {
    let mut index_of: BTreeMap<OpId, usize> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        if index_of.insert(event.id, index).is_some() {
            violations.push(malformed(event, "its number is used twice"));
        }
    }
    let mut after = vec![Vec::new(); events.len()];
    for (index, event) in events.iter().enumerate() {
        for id in &event.after {
            match index_of
                .get(id)
                .filter(|source| handed_in(event, &events[**source]))
            {
                Some(source) => after[index].push(*source),
                None => violations.push(malformed(event, &format!("it cannot have the payload of {id}"))),
            }
        }
    }
    after
}

/// True if this operation sent the payload of `source`, and could have.
fn handed_in(event: &Event, source: &Event) -> bool {
    let answered = matches!(source.outcome, Outcome::Ok(_));
    let before =
        source.end_us <= event.start_us || (source.is_of_the_request_of(event) && source.id < event.id);
    let payload = &source.payload_out;
    answered && before && (payload.is_empty() || event.payload_in.split(',').any(|part| part == payload))
}

fn check_form(events: &[Event], violations: &mut Vec<Violation>) {
    let mut ended: BTreeMap<SessionId, u64> = BTreeMap::new();
    for event in events.iter().filter(|event| event.is_write()) {
        if matches!(event.outcome, Outcome::Unknown(_)) {
            let end = ended.entry(event.session).or_insert(event.start_us);
            *end = event.start_us.min(*end);
        }
    }
    let finals = events.iter().filter(|event| event.phase == Phase::Final);
    let first_final_us = finals.map(|event| event.start_us).min().unwrap_or(u64::MAX);
    for event in events {
        let went_on = ended.get(&event.session).is_some_and(|end| event.start_us > *end);
        if went_on {
            violations.push(malformed(event, "its session ended with an unknown write before"));
        }
        if event.is_acknowledged() && event.end_us > first_final_us {
            violations.push(malformed(event, "it wrote during the final reads"));
        }
        if event.end_us < event.start_us || !answer_fits(event) {
            violations.push(malformed(event, "its outcome does not fit"));
        }
    }
}

fn answer_fits(event: &Event) -> bool {
    let Outcome::Ok(answer) = &event.outcome else {
        return true;
    };
    match (&event.operation.action, answer) {
        (Action::Get, Answer::Found { .. } | Answer::NotFound) => true,
        (Action::Put(_), Answer::Written { .. }) => true,
        (Action::Delete, Answer::Written { .. } | Answer::NotFound) => true,
        (Action::Get | Action::Put(_) | Action::Delete, _) => false,
    }
}

fn malformed(event: &Event, why: &str) -> Violation {
    Violation {
        kind: Kind::Malformed,
        ops: vec![event.id],
        sentence: format!("{} is no operation of a history: {why}", event.id),
    }
}
