//! Replicas that write, push and exchange in random order, with late answers, activations at different
//! times and stable numbers that spread. A replica holds what its vector says, and in the end all hold
//! the same (I2, I9, stability).

use proptest::prelude::*;

use super::*;
use crate::protocol::causality::Supersedes;
use crate::protocol::replication::{Progress, Step};

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const EPOCHS: usize = 3;

#[derive(Debug, Clone)]
enum Event {
    Put(usize, usize, u64),
    /// A replica takes a push of a write that another one took.
    Push(usize, usize),
    /// Asks for an exchange; the answer is taken later, or never.
    Ask(usize, usize),
    Take(usize),
    /// A replica says what it holds.
    Tell(usize, usize),
    /// A replica says what it knows to be stable.
    Spread(usize, usize),
    Seal(usize),
    Activate(usize),
}

#[derive(Debug)]
struct Cluster {
    views: Vec<Arc<View>>,
    replicas: Vec<(Node, Progress)>,
    answers: Vec<(usize, ExchangeRequest, ExchangeResponse, Vec<Record>)>,
    written: Vec<Record>,
}

impl Cluster {
    fn new(count: u64) -> Self {
        let mut views = vec![first(3, count)];
        for _ in 1..EPOCHS {
            views.push(same(views.last().expect("begins with one")));
        }
        let replicas = (0..count).map(|number| {
            let replica = Node::new(&member(number), &[&views[0]]);
            let mut progress = Progress::new(replica.state.own_log());
            begin(&replica, &mut progress);
            (replica, progress)
        });
        Self {
            replicas: replicas.collect(),
            views,
            answers: Vec::new(),
            written: Vec::new(),
        }
    }

    fn happen(&mut self, event: &Event) {
        let count = self.replicas.len();
        match *event {
            Event::Put(at, key, timestamp) => {
                let (replica, progress) = &mut self.replicas[at % count];
                if !replica.state.is_sealed() {
                    let key = Key::new(KEYS[key]).expect("is a key");
                    let record = replica.put(&key, timestamp);
                    progress.stored(record.dot().number);
                    self.written.push(record);
                }
            }
            Event::Push(at, which) => {
                let (replica, _) = &mut self.replicas[at % count];
                let pushed = self.written.iter().cycle().nth(which);
                let of_sibling = |record: &&Record| replica.state.is_sibling(record.dot().log.member);
                if let Some(record) = pushed.filter(of_sibling) {
                    replica.push(record);
                }
            }
            Event::Ask(taker, giver) => self.ask(taker % count, giver % count),
            Event::Take(which) => self.take(which),
            Event::Tell(from, to) => {
                let state = self.replicas[from % count].0.state.clone();
                let (_, progress) = &mut self.replicas[to % count];
                progress.acknowledged(state.active, state.id, &state.vector, false);
            }
            Event::Spread(from, to) => {
                let stable = self.replicas[from % count].1.stable().clone();
                self.replicas[to % count].1.learn_stable(&stable);
            }
            Event::Seal(at) => self.seal(at % count),
            Event::Activate(at) => self.activate(at % count),
        }
    }

    fn ask(&mut self, taker: usize, giver: usize) {
        let ask = self.replicas[taker].0.state.ask_steady();
        let (replica, progress) = &mut self.replicas[giver];
        replica.stable = progress.stable().clone();
        if taker != giver
            && let Ok((given, records)) = replica.give(&ask)
        {
            self.answers.push((taker, ask, given, records));
        }
    }

    fn take(&mut self, which: usize) {
        if self.answers.is_empty() {
            return;
        }
        let (taker, ask, given, records) = self.answers.remove(which % self.answers.len());
        let (replica, _) = &mut self.replicas[taker];
        // An answer that comes too late is refused.
        let _ = replica.take(&ask, &given, records);
    }

    fn seal(&mut self, at: usize) {
        let (replica, progress) = &mut self.replicas[at];
        let next = replica.state.active.next();
        if let Some(view) = self.views.iter().find(|view| view.epoch == next) {
            replica.learn(&[view]);
            replica.seal(next.number());
            progress.seal();
        }
    }

    fn activate(&mut self, at: usize) {
        self.seal(at);
        let (replica, progress) = &mut self.replicas[at];
        let next = replica.state.active.next();
        if replica.state.views.contains_key(&next) {
            replica.activate(next.number());
            begin(replica, progress);
        }
    }

    /// A replica holds each write that its vector includes, or a newer one; and nothing else (I9).
    fn check(&self) -> Result<(), TestCaseError> {
        for (replica, _) in &self.replicas {
            let holds = replica.state.holds(&replica.state.regions[0]);
            for record in &self.written {
                let held = replica.records.get(record.key());
                let has = held.is_some_and(|held| record.supersedes(held) != Supersedes::Yes);
                prop_assert!(
                    has || !holds.includes(record.dot()),
                    "{record:?} is missing at {:?}",
                    replica.state.me
                );
            }
            for held in replica.records.values() {
                prop_assert!(holds.includes(held.dot()), "{held:?} is not in the vector");
            }
        }
        Ok(())
    }

    fn come_to_rest(&mut self) {
        let count = self.replicas.len();
        self.answers.clear();
        for at in 0..count {
            while self.replicas[at].0.state.active < self.views[EPOCHS - 1].epoch {
                self.activate(at);
            }
        }
        for _ in 0..2 {
            for (taker, giver) in (0..count * count).map(|pair| (pair / count, pair % count)) {
                self.ask(taker, giver);
                self.take(0);
            }
        }
    }
}

fn begin(replica: &Node, progress: &mut Progress) {
    let state = &replica.state;
    let siblings = state.siblings().into_iter().map(|member| (member.id(), Step::In));
    progress.begin(state.own_log(), state.vector.number(state.own_log()), siblings);
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let at = || 0usize..3;
    let which = || 0usize..40;
    let event = prop_oneof![
        6 => (at(), 0..KEYS.len(), 1u64..6).prop_map(|(at, key, time)| Event::Put(at, key, time)),
        6 => (at(), which()).prop_map(|(at, which)| Event::Push(at, which)),
        5 => (at(), at()).prop_map(|(taker, giver)| Event::Ask(taker, giver)),
        5 => which().prop_map(Event::Take),
        4 => (at(), at()).prop_map(|(from, to)| Event::Tell(from, to)),
        4 => (at(), at()).prop_map(|(from, to)| Event::Spread(from, to)),
        1 => at().prop_map(Event::Seal),
        1 => at().prop_map(Event::Activate),
    ];
    proptest::collection::vec(event, 0..80)
}

proptest! {
    #[test]
    fn vectors_tell_the_truth_and_at_rest_all_hold_the_same(count in 2u64..4, events in events()) {
        let mut cluster = Cluster::new(count);
        for event in &events {
            cluster.happen(event);
            cluster.check()?;
        }
        cluster.come_to_rest();
        cluster.check()?;
        let (one, rest) = cluster.replicas.split_first().expect("there are two");
        for (other, _) in rest {
            prop_assert_eq!(&one.0.records, &other.records);
        }
        for record in &cluster.written {
            let held = &one.0.records[record.key()];
            prop_assert!(record.supersedes(held) != Supersedes::Yes, "{:?} is lost", record);
        }
    }
}
