//! The state that the model searches, and the actions on it: a few replicas, their successive views, and
//! one client that moves from node to node. Messages are lost (not delivered), late or repeated
//! (delivered at any time). Nodes restart, and every node takes each step of the change on its own
//! schedule.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use causeway::names::{ClusterId, Epoch, Incarnation, Member, NodeId};
use causeway::protocol::causality::{Payload, Record, Timestamp};
use causeway::protocol::placement::{SlotSet, View, next};
use causeway::protocol::replication::{Closed, answer, may_read};

use super::Steps;
use super::node::Node;

pub(crate) fn member(number: u64) -> Member {
    Member {
        node: format!("n{number}:80").parse().expect("is a node"),
        incarnation: Incarnation {
            started_ms: 1,
            random: number,
        },
    }
}

pub(crate) fn node(number: u64) -> NodeId {
    member(number).node
}

/// The first view of nodes 0 to `count`.
pub(crate) fn first(replicas: u32, count: u64) -> Arc<View> {
    let up = (0..count).map(|number| (node(number), member(number).incarnation));
    let nodes = (0..count).map(node).collect();
    Arc::new(View::first(ClusterId(1), replicas, &nodes, &up.collect()))
}

/// The view without one node that follows these views, whose epochs are open.
pub(crate) fn minus(open: &[&Arc<View>], number: u64) -> Arc<View> {
    let view = open.last().expect("there is a view before");
    let mut next = next::remove(view, &node(number)).expect("is listed");
    let open: Vec<&View> = open.iter().map(|view| view.as_ref()).collect();
    next.note_removals(&open, 1, false);
    Arc::new(next)
}

pub(crate) fn plus(view: &Arc<View>, number: u64) -> Arc<View> {
    Arc::new(next::add(view, &member(number)).expect("is new"))
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    /// How many of the views are chosen.
    pub(crate) chosen: usize,
    /// Every write, and every record that a node adopted as its own.
    pub(crate) written: Vec<Record>,
    pub(crate) payload: Payload,
    /// The last write that the client knows of.
    pub(crate) seen: Timestamp,
    /// The last write that any replica ever called stable.
    pub(super) stable: Timestamp,
    pub(super) writes: u64,
    pub(super) restarts: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Write(usize),
    Read(usize),
    Push(usize, usize),
    /// The first learns from the second, in answer to a push or unasked.
    Gossip(usize, usize),
    Exchange(usize, usize),
    /// The next view is chosen.
    Choose,
    Seal(usize),
    Copy(usize, usize),
    TakeOver(usize, usize),
    Activate(usize),
    CleanUp(usize),
    /// The first gives back to the second.
    Return(usize, usize),
    Close(usize),
    Restart(usize),
}

impl World {
    fn learned(&mut self, steps: &Steps, number: usize) -> Epoch {
        // A node that tells of the newest view tells of the earlier ones, too.
        let closed = self.nodes.iter().filter(|one| one.state.is_member());
        let closed = closed
            .map(|one| one.state.closed.clone())
            .min_by_key(|closed| closed.below);
        let views = &steps.views[..self.chosen];
        self.nodes[number].learn(views, &closed.unwrap_or_default());
        views.last().expect("one is chosen").epoch
    }

    /// One replica for a step to change, and a copy of the other for it to read.
    fn two(&mut self, one: usize, other: usize) -> (&mut Node, Node) {
        let other = self.nodes[other].clone();
        (&mut self.nodes[one], other)
    }

    /// Carries an action out. False if it has no effect.
    pub(crate) fn act(&mut self, steps: &Steps, action: &Action) -> bool {
        match *action {
            Action::Write(number) => return self.write(steps, number),
            Action::Read(number) => return self.read(steps, number),
            Action::Push(record, to) => return self.push(record, to),
            Action::Gossip(to, from) => return self.gossip(to, from),
            Action::Exchange(to, from) => {
                let (taker, giver) = self.two(to, from);
                return taker.asks(&giver) && taker.exchange_with(&giver);
            }
            Action::Choose => self.chosen += 1,
            Action::Seal(number) => {
                let target = self.learned(steps, number);
                if !self.takes_part(number, target) || self.nodes[number].state.sealed >= target {
                    return false;
                }
                self.nodes[number].seal(target);
            }
            Action::Copy(to, from) => {
                self.learned(steps, to);
                self.learned(steps, from);
                let (taker, giver) = self.two(to, from);
                return !taker.has_copied() && taker.copy_from(&giver);
            }
            Action::TakeOver(to, from) => {
                let target = self.learned(steps, to);
                let before = &steps.views[self.chosen.saturating_sub(2)];
                if to == from || !before.is_member(&self.nodes[from].state.me) {
                    return false;
                }
                self.nodes[to].seal(target);
                let (taker, giver) = self.two(to, from);
                return taker.take_over(&giver);
            }
            Action::Activate(number) => {
                let target = self.learned(steps, number);
                if !self.takes_part(number, target) || self.nodes[number].state.active >= target {
                    return false;
                }
                self.nodes[number].activate(target);
            }
            Action::CleanUp(number) => return self.clean_up(number),
            Action::Return(from, to) => return self.give_back(from, to),
            Action::Close(number) => return self.close(number),
            Action::Restart(number) => {
                self.restarts += 1;
                self.nodes[number].restart();
            }
        }
        true
    }

    fn takes_part(&self, number: usize, target: Epoch) -> bool {
        let state = &self.nodes[number].state;
        let view = state.views.get(&target);
        view.is_some_and(|view| view.is_member(&state.me) || state.is_member())
    }

    fn write(&mut self, steps: &Steps, number: usize) -> bool {
        let payload = self.payload.clone();
        let replica = &mut self.nodes[number];
        let Some(record) = replica.write(&steps.key, &payload, self.writes + 1) else {
            return false;
        };
        self.payload = answer(&replica.state, replica.progress.stable(), &payload, Some(&record));
        (self.seen, self.writes) = (record.timestamp(), self.writes + 1);
        self.written.push(record);
        true
    }

    fn read(&mut self, steps: &Steps, number: usize) -> bool {
        let replica = &self.nodes[number];
        let stable = replica.progress.stable();
        let Ok(payload) = may_read(&replica.state, stable, steps.key.slot(), &self.payload) else {
            return false;
        };
        let told = answer(&replica.state, stable, &payload, replica.record());
        let is_news = told.epoch != self.payload.epoch || told.entries != self.payload.entries;
        self.payload = told;
        is_news
    }

    fn push(&mut self, record: usize, to: usize) -> bool {
        let record = self.written[record].clone();
        self.nodes[to].take_push(&record)
    }

    fn gossip(&mut self, to: usize, from: usize) -> bool {
        let (hearer, teller) = self.two(to, from);
        if hearer.state.active == Epoch::NONE {
            return false;
        }
        let mut news = false;
        if hearer
            .state
            .view()
            .is_some_and(|view| view.is_member(&teller.state.me))
        {
            let mut stable = teller.progress.stable().clone();
            stable.retain(|dot| dot.log.epoch >= hearer.state.closed.below);
            news |= hearer.progress.learn_stable(&stable);
        }
        let before = hearer.progress.stable().clone();
        let (epoch, held) = (teller.state.active, &teller.state.vector);
        hearer.progress.acknowledged(epoch, teller.state.id, held, true);
        news |= before != *hearer.progress.stable();
        if teller.state.closed.below > hearer.state.closed.below {
            let closed = teller.state.closed;
            news |= hearer.close(closed);
        }
        news
    }

    /// Concludes that epochs are closed, from what every member says.
    fn close(&mut self, number: usize) -> bool {
        let state = &self.nodes[number].state;
        let Some(view) = state.view().filter(|_| state.is_member()) else {
            return false;
        };
        let mut below = state.done_below();
        for member in view.members() {
            let other = self.nodes.iter().find(|one| one.state.me == member);
            let Some(other) = other.filter(|other| other.state.active == state.active) else {
                return false;
            };
            below = below.min(other.state.done_below());
        }
        let closed = Closed {
            below,
            at: state.active,
            ..Closed::default()
        };
        below > state.closed.below && self.nodes[number].close(closed)
    }

    /// Drops what all owners confirm, and begins a new life if nothing is kept.
    fn clean_up(&mut self, number: usize) -> bool {
        let keeper = &self.nodes[number];
        let Some(view) = keeper.owners_view().cloned() else {
            return false;
        };
        if keeper.state.kept.is_empty() {
            return self.nodes[number].leave();
        }
        let confirm = keeper.state.ask_to_confirm(view.epoch);
        let mut all = SlotSet::default();
        for (partition, nodes) in view.partitions() {
            let others: Vec<_> = nodes
                .iter()
                .filter(|node| **node != keeper.state.me.node)
                .collect();
            let mut confirmed = view.slots_of_partition(partition);
            for node in &others {
                let owner = self.nodes.iter().find(|one| one.state.me.node == **node);
                let says = owner.map_or_else(SlotSet::default, |owner| owner.state.confirms(&confirm));
                confirmed = confirmed.intersection(&says);
            }
            if !others.is_empty() {
                all = all.union(&confirmed);
            }
        }
        let before = keeper.state.kept_slots();
        self.nodes[number].drop_kept(view.epoch, &all);
        before != self.nodes[number].state.kept_slots()
    }

    /// A removed node returns what it keeps, and drops it once the owner's siblings have it too.
    fn give_back(&mut self, from: usize, to: usize) -> bool {
        let giver = self.nodes[from].clone();
        let Some(view) = giver.state.newest().filter(|_| giver.state.is_leaving()).cloned() else {
            return false;
        };
        let slots = view.slots_of_node(&self.nodes[to].state.me.node);
        let slots = slots.intersection(&giver.state.kept_slots());
        if slots.is_empty() {
            return false;
        }
        let Some(adopted) = self.nodes[to].adopt(&giver, &slots) else {
            return false;
        };
        self.written.extend(adopted);
        let taker = &self.nodes[to];
        if taker.progress.is_held_by_all(&taker.state.vector) {
            self.nodes[from].drop_kept(view.epoch, &slots);
        }
        true
    }
}

impl World {
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.nodes, self.chosen, self.seen, self.stable).hash(state);
        for record in &self.written {
            record.as_block().hash(state);
        }
        (
            self.payload.epoch,
            self.payload.entries.iter().collect::<Vec<_>>(),
        )
            .hash(state);
        (self.writes, self.restarts).hash(state);
    }
}
