//! A few replicas, the views that follow one another, one client that goes from node to node, and
//! everything that may happen next: messages are lost (they are not delivered), late and repeated (they
//! may be delivered at any time), nodes start again, and every node takes each step of the change by
//! itself and when it likes.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use causeway::causality::{Payload, Record, Timestamp, VersionVector};
use causeway::names::{ClusterId, Epoch, Incarnation, Key, Member, NodeId};
use causeway::placement::{SlotSet, View, is_quorum_of, next};
use causeway::replication::{Closed, answer, may_read};
use stateright::{Model, Property};

use super::heal::heal;
use super::replica::Replica;

/// The property that shows that the model gets anywhere at all.
pub(crate) const REACHED: &str = "all are in the last view";

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

pub(crate) fn minus(view: &Arc<View>, number: u64) -> Arc<View> {
    let mut next = next::remove(view, &node(number)).expect("is listed");
    next.note_removals(view, 1, u64::MAX, false);
    Arc::new(next)
}

pub(crate) fn plus(view: &Arc<View>, number: u64) -> Arc<View> {
    Arc::new(next::add(view, &member(number)).expect("is new"))
}

/// What may happen, and how often.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    /// The views as they follow one another; the first one is active in the beginning.
    pub(crate) views: Vec<Arc<View>>,
    pub(crate) nodes: u64,
    pub(crate) key: Key,
    pub(crate) writes: u64,
    pub(crate) restarts: u64,
    /// Slots are copied before they are handed over.
    pub(crate) copies: bool,
    /// One state in so many is healed, and must come to a good end: that takes its time.
    pub(crate) heals: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) replicas: Vec<Replica>,
    /// How many of the views are chosen.
    pub(crate) chosen: usize,
    /// Every write, and what a node took over as its own.
    pub(crate) written: Vec<Record>,
    pub(crate) payload: Payload,
    /// The last write that the client knows of.
    pub(crate) seen: Timestamp,
    /// The last write that was ever called stable.
    stable: Timestamp,
    writes: u64,
    restarts: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Write(usize),
    Read(usize),
    Push(usize, usize),
    /// The first hears from the second, in answer to a push or unasked.
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
        // Whoever tells of the newest view tells of those before it, too.
        let closed = self.replicas.iter().filter(|one| one.facts.is_member());
        let closed = closed
            .map(|one| one.facts.closed)
            .min_by_key(|closed| closed.below);
        let views = &steps.views[..self.chosen];
        self.replicas[number].learn(views, closed.unwrap_or_default());
        views.last().expect("one is chosen").epoch
    }

    /// Gives one replica to a step, and the other to look at.
    fn two(&mut self, one: usize, other: usize) -> (&mut Replica, Replica) {
        let other = self.replicas[other].clone();
        (&mut self.replicas[one], other)
    }

    /// Carries an action out. False if nothing can come of it.
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
                if !self.takes_part(number, target) || self.replicas[number].facts.sealed >= target {
                    return false;
                }
                self.replicas[number].seal(target);
            }
            Action::Copy(to, from) => {
                let target = self.learned(steps, to);
                self.learned(steps, from);
                let (taker, giver) = self.two(to, from);
                return !taker.has_copied() && taker.copy_from(&giver, target);
            }
            Action::TakeOver(to, from) => {
                let target = self.learned(steps, to);
                let before = &steps.views[self.chosen.saturating_sub(2)];
                if to == from || !before.is_member(&self.replicas[from].facts.me) {
                    return false;
                }
                self.replicas[to].seal(target);
                let (taker, giver) = self.two(to, from);
                return taker.take_over(&giver, target);
            }
            Action::Activate(number) => {
                let target = self.learned(steps, number);
                if !self.takes_part(number, target) || self.replicas[number].facts.active >= target {
                    return false;
                }
                self.replicas[number].activate(target);
            }
            Action::CleanUp(number) => return self.clean_up(number),
            Action::Return(from, to) => return self.give_back(from, to),
            Action::Close(number) => return self.close(number),
            Action::Restart(number) => {
                self.restarts += 1;
                self.replicas[number].restart();
            }
        }
        true
    }

    fn takes_part(&self, number: usize, target: Epoch) -> bool {
        let facts = &self.replicas[number].facts;
        let view = facts.views.get(&target);
        view.is_some_and(|view| view.is_member(&facts.me) || facts.is_member())
    }

    fn write(&mut self, steps: &Steps, number: usize) -> bool {
        let timestamp = Timestamp(self.writes + 1);
        let payload = self.payload.clone();
        let replica = &mut self.replicas[number];
        let Some(record) = replica.write(&steps.key, &payload, timestamp) else {
            return false;
        };
        self.payload = answer(&replica.facts, replica.progress.stable(), &payload, Some(&record));
        (self.seen, self.writes) = (timestamp, self.writes + 1);
        self.written.push(record);
        true
    }

    fn read(&mut self, steps: &Steps, number: usize) -> bool {
        let replica = &self.replicas[number];
        let stable = replica.progress.stable();
        let Ok(payload) = may_read(&replica.facts, stable, steps.key.slot(), &self.payload) else {
            return false;
        };
        let told = answer(&replica.facts, stable, &payload, replica.record());
        let is_news = told.epoch != self.payload.epoch || told.entries != self.payload.entries;
        self.payload = told;
        is_news
    }

    fn push(&mut self, record: usize, to: usize) -> bool {
        let record = self.written[record].clone();
        self.replicas[to].take_push(&record)
    }

    fn gossip(&mut self, to: usize, from: usize) -> bool {
        let (hearer, teller) = self.two(to, from);
        if hearer.facts.active == Epoch::NONE {
            return false;
        }
        let mut news = false;
        if hearer
            .facts
            .view()
            .is_some_and(|view| view.is_member(&teller.facts.me))
        {
            let mut stable = teller.progress.stable().clone();
            stable.retain(|dot| dot.log.epoch >= hearer.facts.closed.below);
            news |= hearer.progress.learn_stable(&stable);
        }
        let before = hearer.progress.stable().clone();
        let (epoch, held) = (teller.facts.active, &teller.facts.vector);
        hearer.progress.acknowledged(epoch, teller.facts.id, held, true);
        news |= before != *hearer.progress.stable();
        if teller.facts.closed.below > hearer.facts.closed.below {
            let closed = teller.facts.closed;
            news |= Self::count(hearer, closed);
        }
        news
    }

    fn count(replica: &mut Replica, closed: Closed) -> bool {
        let news = replica.facts.close(closed);
        replica.progress.forget_below(replica.facts.closed.below);
        news
    }

    /// Concludes that epochs are closed, from what every member says.
    fn close(&mut self, number: usize) -> bool {
        let facts = &self.replicas[number].facts;
        let Some(view) = facts.view().filter(|_| facts.is_member()) else {
            return false;
        };
        let mut below = facts.done_below();
        for member in view.members() {
            let other = self.replicas.iter().find(|one| one.facts.me == member);
            let Some(other) = other.filter(|other| other.facts.active == facts.active) else {
                return false;
            };
            below = below.min(other.facts.done_below());
        }
        let at = facts.active;
        below > facts.closed.below && Self::count(&mut self.replicas[number], Closed { below, at })
    }

    /// Drops what all owners confirm, and begins another life if nothing is kept.
    fn clean_up(&mut self, number: usize) -> bool {
        let keeper = &self.replicas[number];
        let Some(view) = keeper.owners_view().cloned() else {
            return false;
        };
        if keeper.facts.kept.is_empty() {
            if keeper.facts.is_leaving() {
                self.replicas[number].leave();
                return true;
            }
            return false;
        }
        let confirm = keeper.facts.ask_to_confirm(view.epoch);
        let mut all = SlotSet::default();
        for (partition, nodes) in view.partitions() {
            let others: Vec<_> = nodes
                .iter()
                .filter(|node| **node != keeper.facts.me.node)
                .collect();
            let mut confirmed = view.slots_of_partition(partition);
            for node in &others {
                let owner = self.replicas.iter().find(|one| one.facts.me.node == **node);
                let says = owner.map_or_else(SlotSet::default, |owner| owner.facts.confirms(&confirm));
                confirmed = confirmed.intersection(&says);
            }
            if !others.is_empty() {
                all = all.union(&confirmed);
            }
        }
        let before = keeper.facts.kept_slots();
        self.replicas[number].drop_kept(view.epoch, &all);
        before != self.replicas[number].facts.kept_slots()
    }

    /// A removed node gives back what it keeps; once the owner's siblings have it too, it drops it.
    fn give_back(&mut self, from: usize, to: usize) -> bool {
        let giver = self.replicas[from].clone();
        let Some(view) = giver.facts.newest().filter(|_| giver.facts.is_leaving()).cloned() else {
            return false;
        };
        let slots = view.slots_of_node(&self.replicas[to].facts.me.node);
        let slots = slots.intersection(&giver.facts.kept_slots());
        if slots.is_empty() {
            return false;
        }
        let Some(adopted) = self.replicas[to].adopt(&giver, &slots) else {
            return false;
        };
        self.written.extend(adopted);
        let taker = &self.replicas[to];
        if taker.progress.is_held_by_all(&taker.facts.vector) {
            self.replicas[from].drop_kept(view.epoch, &slots);
        }
        true
    }

    /// Notes which writes are stable, by the word of anybody.
    fn note_stable(&mut self) {
        for record in &self.written {
            let is_stable = |one: &Replica| one.progress.stable().includes(record.dot());
            if self.replicas.iter().any(is_stable) {
                self.stable = self.stable.max(record.timestamp());
            }
        }
    }

    /// The last write is somewhere where it counts.
    pub(crate) fn is_lost(&self) -> bool {
        let last = self.written.iter().map(Record::timestamp).max();
        let holds = |one: &Replica| one.valid().map(Record::timestamp) >= last;
        !self.replicas.iter().any(holds)
    }

    /// A reader is told what it may not be told: it depends on a later write, or a later one is stable.
    pub(crate) fn is_misled(&self, steps: &Steps) -> bool {
        self.replicas.iter().any(|replica| {
            let told = replica.record().map_or(Timestamp::ZERO, Record::timestamp);
            let may_answer = |payload: &Payload| {
                let stable = replica.progress.stable();
                may_read(&replica.facts, stable, steps.key.slot(), payload).is_ok()
            };
            let owed = if may_answer(&self.payload) && !self.is_given_up(replica) {
                self.seen
            } else {
                Timestamp::ZERO
            };
            told < owed || told < self.stable && self.is_behind_stable(replica, steps)
        })
    }

    /// Nobody listed has what the client depends on: whoever was removed with it brings it late, and
    /// readers do not wait for it.
    fn is_given_up(&self, replica: &Replica) -> bool {
        let Some(view) = replica.facts.view() else {
            return false;
        };
        let mut seen = self
            .written
            .iter()
            .filter(|record| record.timestamp() == self.seen);
        let original = seen.next().map(Record::dot);
        let depends_on_what_returned = seen.any(|record| self.payload.entries.includes(record.dot()));
        let has = |one: &Replica| {
            let record = one.record();
            record.is_some_and(|record| Some(record.dot()) == original || record.timestamp() > self.seen)
        };
        let mut listed = self.replicas.iter().filter(|one| view.is_member(&one.facts.me));
        !depends_on_what_returned && !listed.any(has)
    }

    /// A ready owner lacks what became stable before its epoch, or in it.
    fn is_behind_stable(&self, replica: &Replica, steps: &Steps) -> bool {
        let stable = self
            .written
            .iter()
            .filter(|record| record.timestamp() == self.stable);
        let first = stable.map(|record| record.dot().log.epoch).min();
        let may_answer = may_read(
            &replica.facts,
            &VersionVector::default(),
            steps.key.slot(),
            &Payload::default(),
        );
        may_answer.is_ok() && first.is_some_and(|epoch| epoch <= replica.facts.active)
    }
}

impl Steps {
    pub(crate) fn begin(&self) -> World {
        let one = &self.views[..1];
        let replicas = (0..self.nodes).map(|number| {
            let mut replica = Replica::new(member(number));
            if one[0].lists(&node(number)) {
                replica.learn(one, Closed::default());
                replica.activate(Epoch::FIRST);
            }
            replica
        });
        World {
            replicas: replicas.collect(),
            chosen: 1,
            written: Vec::new(),
            payload: Payload::default(),
            seen: Timestamp::ZERO,
            stable: Timestamp::ZERO,
            writes: 0,
            restarts: 0,
        }
    }

    /// The members of the view before must have it active: a quorum of them votes.
    fn may_choose(&self, world: &World) -> bool {
        let Some(before) = self
            .views
            .get(world.chosen - 1)
            .filter(|_| world.chosen < self.views.len())
        else {
            return false;
        };
        let votes = |one: &&Replica| one.facts.active == before.epoch && before.is_member(&one.facts.me);
        let agreeing: BTreeSet<NodeId> = world
            .replicas
            .iter()
            .filter(votes)
            .map(|one| one.facts.me.node.clone())
            .collect();
        is_quorum_of(&agreeing, &before.nodes().cloned().collect())
    }
}

impl Model for Steps {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.begin()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let all = || 0..world.replicas.len();
        let pairs = || all().flat_map(|one| all().map(move |other| (one, other)));
        let pairs = || pairs().filter(|(one, other)| one != other);
        if world.writes < self.writes {
            actions.extend(all().map(Action::Write));
        }
        if world.restarts < self.restarts {
            actions.extend(all().map(Action::Restart));
        }
        if self.may_choose(world) {
            actions.push(Action::Choose);
        }
        actions.extend(all().map(Action::Read));
        let records = 0..world.written.len();
        actions.extend(records.flat_map(|record| all().map(move |to| Action::Push(record, to))));
        actions.extend(pairs().map(|(one, other)| Action::Gossip(one, other)));
        actions.extend(pairs().map(|(one, other)| Action::Exchange(one, other)));
        if world.chosen > 1 {
            actions.extend(all().map(Action::Seal));
            actions.extend(all().map(Action::Activate));
            actions.extend(all().map(Action::CleanUp));
            actions.extend(all().map(Action::Close));
            actions.extend(pairs().map(|(one, other)| Action::TakeOver(one, other)));
            actions.extend(pairs().map(|(one, other)| Action::Return(one, other)));
            if self.copies {
                actions.extend(pairs().map(|(one, other)| Action::Copy(one, other)));
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        if !world.act(self, &action) {
            return None;
        }
        world.note_stable();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("no write is lost", |_, world: &World| !world.is_lost()),
            Property::always("no reader is misled", |steps: &Self, world: &World| {
                !world.is_misled(steps)
            }),
            Property::sometimes(REACHED, |steps: &Self, world: &World| {
                let last = steps.views.last().expect("there are views");
                let is_there =
                    |one: &Replica| one.facts.active == last.epoch || !last.is_member(&one.facts.me);
                world.replicas.iter().all(is_there)
            }),
        ];
        properties.push(Property::always(
            "all is well in the end",
            |steps: &Self, world: &World| {
                !world.fingerprint().is_multiple_of(steps.heals) || heal(steps, world).is_ok()
            },
        ));
        properties
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
        (&self.replicas, self.chosen, self.seen, self.stable).hash(state);
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
