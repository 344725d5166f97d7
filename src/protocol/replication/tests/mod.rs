//! Test helpers for written schedules in small clusters: nodes and views, and a replica that keeps its
//! records in a map where a node keeps them in a store.

mod activation;
mod closing;
mod exchanges;
mod generations;
mod keep;
mod lacks;
mod leftover;
mod lines;
mod moves;
mod progress;
mod quiescence;
mod reads;
mod removed;
mod vet;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::runs::end_of;
use super::{Closed, NoExchange, NotHere, ReplicaState, Unstable, may_read};
use crate::names::{ClusterId, Dot, Epoch, Incarnation, Key, Log, Member, NodeId, Slot};
use crate::protocol::causality::{Payload, Record, Supersedes, Timestamp, VersionVector};
use crate::protocol::placement::{SlotSet, View, next};

/// The end of a log whose member was never started again.
const END: u64 = end_of(0);

fn node(number: u64) -> NodeId {
    format!("n{number}:80").parse().expect("is a node")
}

/// Node `number` in a later life, after it lost its disk.
fn reborn(number: u64, random: u64) -> Member {
    let incarnation = Incarnation {
        started_ms: 1,
        random,
    };
    Member {
        node: node(number),
        incarnation,
    }
}

fn member(number: u64) -> Member {
    reborn(number, 0)
}

/// The first view of nodes 0 to `count`, all of them up.
fn first(replicas: u32, count: u64) -> Arc<View> {
    let up: BTreeMap<_, _> = (0..count)
        .map(|number| (node(number), member(number).incarnation))
        .collect();
    let nodes: BTreeSet<NodeId> = up.keys().cloned().collect();
    Arc::new(View::first(ClusterId(1), replicas, &nodes, &up))
}

/// A closing that names no runs.
fn closing(below: Epoch, at: Epoch) -> Closed {
    let runs = Arc::default();
    Closed { below, at, runs }
}

/// The next view with the same members in the same places.
fn same(view: &View) -> Arc<View> {
    with(view, &[])
}

/// The next view with nodes in later lives.
fn with(view: &View, reborn: &[Member]) -> Arc<View> {
    Arc::new(next::admit(view, reborn))
}

fn plus(view: &View, number: u64) -> Arc<View> {
    Arc::new(next::add(view, &member(number)).expect("is new"))
}

fn minus(view: &View, number: u64) -> Arc<View> {
    Arc::new(next::remove(view, &node(number)).expect("is listed"))
}

/// The same change, decided without a quorum.
fn forked(view: &View) -> Arc<View> {
    let mut forked = view.clone();
    forked.fork(1, 1000);
    Arc::new(forked)
}

fn log(member: &Member, epoch: u64) -> Log {
    Log {
        epoch: Epoch(epoch),
        member: member.id(),
    }
}

fn dot(member: &Member, epoch: u64, number: u64) -> Dot {
    Dot {
        log: log(member, epoch),
        number,
    }
}

fn vector(dots: impl IntoIterator<Item = Dot>) -> VersionVector {
    dots.into_iter().collect()
}

/// A key of one of these slots.
fn key_in(slots: &SlotSet) -> Key {
    (0..)
        .map(|number| Key::new(&format!("k{number}")).expect("is a key"))
        .find(|key| slots.contains(key.slot()))
        .expect("there are more keys than slots")
}

fn slot_in(slots: &SlotSet) -> Slot {
    slots.iter().next().expect("is not empty")
}

fn record(key: &Key, dot: Dot, timestamp: u64) -> Record {
    Record::new(
        key,
        Some(b"v"),
        dot,
        Timestamp(timestamp),
        &VersionVector::default(),
    )
}

/// ReplicaState of a member that has activated these views one after the other, with nothing handed over.
fn state(me: &Member, views: &[&Arc<View>]) -> ReplicaState {
    let mut state = ReplicaState::new(me.clone());
    for view in views {
        state.learn(view);
        if view.is_member(me) || state.active != Epoch::NONE {
            state.activate(view.epoch);
        }
    }
    state
}

/// A read that depends on `entries`, judged with nothing known stable.
fn read(state: &ReplicaState, slot: Slot, entries: &[Dot]) -> Result<Payload, NotHere> {
    let payload = Payload {
        entries: vector(entries.iter().copied()),
        ..Payload::default()
    };
    may_read(state, &VersionVector::default(), slot, &payload)
}

fn missing(dots: &[Dot]) -> Result<Payload, NotHere> {
    Err(NotHere::Missing(vector(dots.iter().copied())))
}

/// A replica without a disk, a network and a clock.
#[derive(Debug, Clone)]
struct Replica {
    state: ReplicaState,
    records: BTreeMap<String, Record>,
    stable: VersionVector,
}

impl Replica {
    fn new(me: &Member, views: &[&Arc<View>]) -> Self {
        Self {
            state: state(me, views),
            records: BTreeMap::new(),
            stable: VersionVector::default(),
        }
    }

    /// Takes a write as its coordinator.
    fn put(&mut self, key: &Key, timestamp: u64) -> Record {
        let record = record(key, self.state.next_dot(), timestamp);
        self.state.vector.raise(record.dot());
        self.merge(record.clone());
        record
    }

    /// Takes a push: number *n* only after *n-1*.
    fn push(&mut self, record: &Record) -> bool {
        let Dot { log, number } = record.dot();
        let taken = self.state.active == log.epoch
            && !self.state.is_sealed()
            && number == self.state.vector.number(log) + 1;
        if taken {
            self.state.vector.raise(record.dot());
            self.merge(record.clone());
        }
        taken
    }

    fn merge(&mut self, record: Record) {
        let current = self.records.get(record.key());
        if current.is_none_or(|current| record.supersedes(current) == Supersedes::Yes) {
            self.records.insert(record.key().to_owned(), record);
        }
    }

    /// The records that an exchange is made from: the current ones, except those that need not be sent.
    fn unstable(&self) -> Unstable {
        let mut unstable = Unstable::default();
        for record in self.records.values() {
            unstable.insert(record.clone());
        }
        unstable.settle(&self.stable, self.state.closed.below);
        unstable
    }

    fn give(
        &self,
        ask: &super::ExchangeRequest,
    ) -> Result<(super::ExchangeResponse, Vec<Record>), NoExchange> {
        let scan = |slots: &SlotSet, is_wanted: &dyn Fn(Dot) -> bool| {
            let inside = |record: &&Record| slots.contains(record.slot()) && is_wanted(record.dot());
            self.records.values().filter(inside).cloned().collect()
        };
        self.state.give(ask, &self.unstable(), scan)
    }

    /// A steady exchange with a sibling.
    fn exchange(&mut self, giver: &Self) -> Result<(), NoExchange> {
        let ask = self.state.ask_steady();
        let (given, records) = giver.give(&ask)?;
        self.state.take_steady(&ask, &given)?;
        records.into_iter().for_each(|record| self.merge(record));
        Ok(())
    }

    /// A hand-over without a copy before it.
    fn take_over(&mut self, giver: &Self, target: u64) -> Result<(), NoExchange> {
        let ask = self.state.ask_hand_over(Epoch(target), &[]);
        let ask = ask.expect("the view lists the taker");
        let (given, records) = giver.give(&ask)?;
        self.state.take_hand_over(&ask, &given)?;
        records.into_iter().for_each(|record| self.merge(record));
        Ok(())
    }

    fn learn(&mut self, views: &[&Arc<View>]) {
        for view in views {
            self.state.learn(view);
        }
    }

    fn seal(&mut self, target: u64) {
        self.state.seal(Epoch(target));
    }

    fn activate(&mut self, target: u64) {
        self.state.activate(Epoch(target));
    }

    fn holds(&self, record: &Record) -> bool {
        self.records.get(record.key()).is_some_and(|held| held == record)
    }
}
