//! Test helpers for written schedules in small clusters: nodes and views. The replicas are real; a map keeps their
//! records where a node keeps them in a store.

mod activation;
mod batches;
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
use super::{
    ChangeAttempt, Closed, Effects, ExchangeRequest, ExchangeResponse, NoExchange, NotDone, NotHere, Push,
    Records, Replica, ReplicaState, Unstable, Write, may_read,
};
use crate::names::{ClusterId, Dot, Epoch, Incarnation, Key, Log, Member, NodeId, Slot};
use crate::protocol::causality::{Clock, Payload, Record, Timestamp, VersionVector};
use crate::protocol::placement::{SlotSet, View, next};
use crate::protocol::view_change::Acceptors;

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

/// The stored records, by key.
type Shelf = BTreeMap<String, Record>;

impl Records for Shelf {
    fn get(&self, key: &str) -> Option<Record> {
        self.get(key).cloned()
    }

    fn for_each_in(&self, slots: &SlotSet, mut visit: impl FnMut(&Record)) {
        let inside = self.values().filter(|record| slots.contains(record.slot()));
        inside.for_each(&mut visit);
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

/// A node without a disk, a network and a clock: its replica decides, and a map keeps the records.
#[derive(Debug, Clone)]
struct Node {
    state: ReplicaState,
    records: Shelf,
    stable: VersionVector,
    /// The change that the node follows.
    attempt: ChangeAttempt,
    /// The latest time that its clock has seen.
    seen: Timestamp,
}

impl Node {
    fn new(me: &Member, views: &[&Arc<View>]) -> Self {
        Self {
            state: state(me, views),
            records: Shelf::new(),
            stable: VersionVector::default(),
            attempt: ChangeAttempt::default(),
            seen: Timestamp::ZERO,
        }
    }

    /// Has the replica decide commands in one batch, and stores what the batch changes.
    fn batch<T>(&mut self, commands: impl FnOnce(&mut Replica<'_, Shelf>) -> T) -> (T, Effects) {
        let clock = Clock::default();
        clock.observe(self.seen);
        let (state, attempt) = (self.state.clone(), self.attempt);
        let mut replica = Replica::new(state, Acceptors::new(), attempt, &self.records, &clock, 0);
        let answer = commands(&mut replica);
        let (state, _, effects) = replica.finish();
        self.state = state;
        for key in &effects.forgotten {
            self.records.remove(&**key);
        }
        self.hold(effects.winners.values());
        (answer, effects)
    }

    /// Stores records, whatever they replace.
    fn hold<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) {
        let keyed = records
            .into_iter()
            .map(|record| (record.key().to_owned(), record.clone()));
        self.records.extend(keyed);
    }

    /// Takes a write as its coordinator.
    fn put(&mut self, key: &Key, timestamp: u64) -> Record {
        self.seen = Timestamp(timestamp - 1);
        let write = Write {
            key: key.clone(),
            value: Some("v".into()),
            payload: Payload::default(),
            vouched: true,
        };
        let (stored, mut effects) = self.batch(|replica| replica.write(&write));
        stored.expect("the key is owned here");
        effects.own.remove(0)
    }

    /// Takes a push. True if the record is new here.
    fn push(&mut self, record: &Record) -> bool {
        let Dot { log, number } = record.dot();
        let push = Push {
            epoch: log.epoch,
            first: number,
            after: number - 1,
            records: vec![record.clone()],
            stable: 0,
        };
        let before = self.state.vector.clone();
        self.batch(|replica| replica.push(log.member, &push));
        before != self.state.vector
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

    fn give(&self, ask: &ExchangeRequest) -> Result<(ExchangeResponse, Vec<Record>), NoExchange> {
        self.state.give(ask, &self.unstable(), &self.records)
    }

    /// A steady exchange with a sibling.
    fn exchange(&mut self, giver: &Self) -> Result<(), NoExchange> {
        let ask = self.state.ask_steady();
        self.take_from(giver, &ask)
    }

    /// A hand-over without a copy before it.
    fn take_over(&mut self, giver: &Self, target: u64) -> Result<(), NoExchange> {
        let ask = self.state.ask_hand_over(Epoch(target), &[]);
        self.take_from(giver, &ask.expect("the view lists the taker"))
    }

    fn take_from(&mut self, giver: &Self, ask: &ExchangeRequest) -> Result<(), NoExchange> {
        let (given, records) = giver.give(ask)?;
        self.take(ask, &given, records)
    }

    /// Takes what a giver answered.
    fn take(
        &mut self,
        ask: &ExchangeRequest,
        given: &ExchangeResponse,
        records: Vec<Record>,
    ) -> Result<(), NoExchange> {
        let (taken, _) = self.batch(|replica| replica.take(ask, given, records, None));
        taken.map_err(|reason| match reason {
            NotDone::NoExchange(reason) => reason,
            NotDone::MovedOn => unreachable!("no attempt is named"),
        })
    }

    fn learn(&mut self, views: &[&Arc<View>]) {
        let views: Vec<_> = views.iter().copied().cloned().collect();
        let closed = self.state.closed.clone();
        self.batch(|replica| replica.learn(&views, &[], &closed, 0));
    }

    fn seal(&mut self, target: u64) {
        self.batch(|replica| replica.seal(Epoch(target)));
    }

    fn activate(&mut self, target: u64) {
        self.batch(|replica| replica.activate(Epoch(target)));
    }

    fn holds(&self, record: &Record) -> bool {
        self.records.get(record.key()).is_some_and(|held| held == record)
    }
}
