//! A toy store of two partitions of three replicas in one struct: causal by the book, slow to replicate,
//! and wrong in one chosen way on request. Much simpler than the real one: full dependencies, pushes
//! that arrive in order, no restarts, no view changes.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use causeway::names::{SLOTS, Slot};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::toy_replica::{Depends, Record, Replica};
use crate::support::driver::Cluster;
use crate::support::history::{Action, Answer, Operation, Outcome, Reply, Stamp};

pub(super) const PARTITIONS: usize = 2;
pub(super) const REPLICAS: usize = 3;

/// The longest life of a request that its client gave up.
const LATE_US: u64 = 200_000;

/// The chosen fault of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// A read is answered from whatever is there.
    IgnoresPayloads,
    /// The last write to arrive wins.
    ArrivalOrder,
    /// One acknowledged write in twenty is stored nowhere.
    LosesAcknowledged,
    /// A read's payload names the write that it returned, but not that write's dependencies.
    DropsDependencies,
    /// A write's timestamp is the wall clock's, even if its client has seen later ones.
    ClockNotRaised,
    /// A deletion removes the record and leaves no tombstone.
    ForgetsDeletions,
}

pub(super) struct Toy {
    fault: Fault,
    /// Its bits say which links are slow.
    seed: u64,
    /// The delay of a push on a slow link.
    lag_us: u64,
    started: Instant,
    healed: Cell<bool>,
    state: RefCell<State>,
}

struct State {
    rng: StdRng,
    replicas: Vec<Replica>,
    /// Requests that their clients gave up and that still arrive: when and where.
    late: Vec<(u64, usize, Operation, Depends)>,
}

/// The fate of a request.
enum Fate {
    Answered,
    Refused,
    LostBefore,
    LostAfter,
    Late,
}

impl Toy {
    pub(super) fn new(seed: u64, fault: Fault, lag_us: u64) -> Self {
        let replicas = (0..PARTITIONS * REPLICAS).map(|node| Replica::new(node, fault));
        let mut rng = StdRng::seed_from_u64(!seed);
        Self {
            fault,
            seed: rng.random(),
            lag_us,
            started: Instant::now(),
            healed: Cell::new(false),
            state: RefCell::new(State {
                rng,
                replicas: replicas.collect(),
                late: Vec::new(),
            }),
        }
    }

    /// Ends all faults, and gives pending pushes and belated requests their time.
    pub(super) async fn settle(&self) {
        self.healed.set(true);
        self.sleep_us(LATE_US).await;
        self.catch_up(0);
        self.sleep_us(self.lag_us + 1_000).await;
    }

    fn draw(&self, below: u64) -> u64 {
        self.state.borrow_mut().rng.random_range(0..below)
    }

    /// The replica that answers for a key through `node`: itself if it can, otherwise any.
    fn owner(&self, node: usize, key: &str) -> usize {
        let partition = usize::from(Slot::of(key).0) * PARTITIONS / usize::from(SLOTS);
        let any = partition * REPLICAS + self.draw(REPLICAS as u64) as usize;
        if node / REPLICAS == partition { node } else { any }
    }

    /// Some links are slow and some are quick, so that effects overtake their causes. Which ones changes
    /// all the time.
    fn link_lag_us(&self, from: usize, to: usize) -> u64 {
        let patterns = self.seed.rotate_left((self.now_us() / 50_000 % 64) as u32);
        let is_slow = (patterns >> (from * REPLICAS + to % REPLICAS)).is_multiple_of(2);
        if is_slow { self.lag_us } else { 0 }
    }

    fn draw_fate(&self, operation: &Operation) -> Fate {
        let is_write = operation.action != Action::Get;
        match self.draw(200) {
            _ if self.healed.get() => Fate::Answered,
            0..3 => Fate::Refused,
            3 => Fate::LostBefore,
            4 if is_write => Fate::LostAfter,
            5 if is_write => Fate::Late,
            _ => Fate::Answered,
        }
    }

    async fn serve(&self, owner: usize, operation: &Operation, depends: Depends) -> Reply {
        let needs_the_past = !matches!(operation.action, Action::Put(_));
        if needs_the_past && !self.wait_for(owner, &depends).await {
            return Reply::refused("behind");
        }
        self.execute(owner, operation, depends)
    }

    /// Waits until the replica has what the client depends on.
    async fn wait_for(&self, owner: usize, depends: &Depends) -> bool {
        for _ in 0..800 {
            self.catch_up(owner);
            if self.fault == Fault::IgnoresPayloads || self.state.borrow().replicas[owner].covers(depends) {
                return true;
            }
            self.sleep_us(1_000).await;
        }
        false
    }

    /// Applies everything that has arrived by now, pushes and belated requests.
    fn catch_up(&self, owner: usize) {
        let now_us = self.now_us();
        let due = |late: &mut (u64, usize, Operation, Depends)| late.0 <= now_us;
        let late: Vec<_> = self.state.borrow_mut().late.extract_if(.., due).collect();
        for (_, owner, operation, depends) in late {
            self.execute(owner, &operation, depends);
        }
        self.state.borrow_mut().replicas[owner].deliver(now_us);
    }

    fn execute(&self, owner: usize, operation: &Operation, mut depends: Depends) -> Reply {
        let key = &operation.key;
        let there = self.state.borrow().replicas[owner].get(key).cloned();
        let is_missing = there.as_ref().is_none_or(|record| record.value.is_none());
        let value = match &operation.action {
            Action::Put(value) => Some(value.clone()),
            Action::Delete if !is_missing => None,
            Action::Get | Action::Delete => return self.answer(there, depends),
        };
        let record = self.write(owner, key, value, &depends);
        depends.join(&record, self.fault);
        let answer = Answer::Written {
            created: is_missing,
            replicas: 1,
            stamp: Stamp::parse(&record.stamp.to_string()),
        };
        reply(answer, &depends)
    }

    fn answer(&self, record: Option<Record>, mut depends: Depends) -> Reply {
        let Some(record) = record else {
            return reply(Answer::NotFound, &depends);
        };
        depends.join(&record, self.fault);
        let stamp = Stamp::parse(&record.stamp.to_string());
        let found = |value| Answer::Found { value, stamp };
        reply(record.value.map_or(Answer::NotFound, found), &depends)
    }

    fn write(&self, owner: usize, key: &str, value: Option<String>, depends: &Depends) -> Record {
        let now_us = self.now_us();
        let record = self.state.borrow_mut().replicas[owner].take(key, value, depends, now_us);
        if self.fault == Fault::LosesAcknowledged && self.draw(20) == 0 {
            return record;
        }
        for other in siblings(owner) {
            let due_us = now_us + self.link_lag_us(owner, other) + self.draw(1_000);
            self.state.borrow_mut().replicas[other].expect(record.clone(), due_us);
        }
        self.state.borrow_mut().replicas[owner].apply(record.clone());
        record
    }
}

impl Cluster for Toy {
    async fn operate(&self, node: usize, operation: &Operation, payload: &str) -> Reply {
        let depends = Depends::parse(payload);
        let owner = self.owner(node, &operation.key);
        self.sleep_us(100 + self.draw(900)).await;
        self.catch_up(owner);
        match self.draw_fate(operation) {
            Fate::Answered => self.serve(owner, operation, depends).await,
            Fate::Refused => Reply::refused("overloaded"),
            Fate::LostBefore => Reply::unknown("timeout"),
            Fate::LostAfter => {
                self.serve(owner, operation, depends).await;
                Reply::unknown("timeout")
            }
            Fate::Late => {
                let due_us = self.now_us() + self.draw(LATE_US);
                let late = (due_us, owner, operation.clone(), depends);
                self.state.borrow_mut().late.push(late);
                Reply::unknown("timeout")
            }
        }
    }

    fn nodes(&self) -> usize {
        PARTITIONS * REPLICAS
    }

    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    async fn sleep_us(&self, us: u64) {
        tokio::time::sleep(Duration::from_micros(us)).await;
    }
}

fn siblings(node: usize) -> impl Iterator<Item = usize> {
    let first = node / REPLICAS * REPLICAS;
    (first..first + REPLICAS).filter(move |other| *other != node)
}

fn reply(answer: Answer, depends: &Depends) -> Reply {
    Reply {
        outcome: Outcome::Ok(answer),
        payload: depends.text(),
    }
}
