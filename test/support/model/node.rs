//! A node of the model, without disk, network and clock: its replica is the real one, and keeps the record of one key.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use causeway::names::{Dot, Epoch, Incarnation, Key, Member, MemberId, Slot};
use causeway::protocol::causality::{Clock, Payload, Record, VersionVector};
use causeway::protocol::placement::{SlotSet, View};
use causeway::protocol::replication::{
    ChangeAttempt, Closed, Copied, Effects, ExchangeRequest, ExchangeResponse, Progress, Push, Records,
    Region, Replica, ReplicaState, Return, ReturnTime, Step, Unstable, Write,
};
use causeway::protocol::view_change::Acceptors;

/// The present time wherever only the age of removals matters: returns are in time.
const NOW_MS: u64 = 1;

/// Later than any removal, and early enough to accept all that returns.
const RETURN_TIME: ReturnTime = ReturnTime {
    limit_ms: 1000,
    counted_ms: None,
    low_ms: NOW_MS,
    likely_ms: NOW_MS,
    is_doubted: false,
    missed_too_much: false,
};

/// The record of the one key, if there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored(Option<Record>);

impl Records for Stored {
    fn get(&self, key: &str) -> Option<Record> {
        self.0.clone().filter(|record| record.key() == key)
    }

    fn for_each_in(&self, slots: &SlotSet, visit: impl FnMut(&Record)) {
        let inside = self.0.iter().filter(|record| slots.contains(record.slot()));
        inside.for_each(visit);
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) state: ReplicaState,
    pub(crate) progress: Progress,
    /// Valid if its slot is owned, kept or handed over, else a copy.
    stored: Stored,
    /// What was copied, by giver; lost in a restart.
    copied: BTreeMap<MemberId, Vec<Copied>>,
}

impl Node {
    pub(crate) fn new(me: Member) -> Self {
        let state = ReplicaState::new(me);
        Self {
            progress: Progress::new(state.own_log()),
            state,
            stored: Stored::default(),
            copied: BTreeMap::new(),
        }
    }

    /// The record, if it may be read, given or counted here.
    pub(crate) fn valid(&self) -> Option<&Record> {
        let counted = self.counted();
        self.record().filter(|record| counted.contains(record.slot()))
    }

    pub(crate) fn record(&self) -> Option<&Record> {
        self.stored.0.as_ref()
    }

    fn counted(&self) -> SlotSet {
        let counted = self.state.owned_slots().union(&self.state.kept_slots());
        counted.union(&self.state.handed_over(self.attempt().target))
    }

    /// The change that this node follows: the one to the newest view.
    fn attempt(&self) -> ChangeAttempt {
        ChangeAttempt {
            target: self.state.newest().map_or(Epoch::NONE, |view| view.epoch),
            number: 0,
        }
    }

    /// Has the replica decide a command at `wall_ms`, and carries its effects out in the order in which a node does.
    /// Also gives the records to push.
    fn command_at<T>(
        &mut self,
        wall_ms: u64,
        command: impl FnOnce(&mut Replica<'_, Stored>) -> T,
    ) -> (T, Vec<Record>) {
        let clock = Clock::default();
        let (state, attempt) = (self.state.clone(), self.attempt());
        let mut replica = Replica::new(state, Acceptors::new(), attempt, &self.stored, &clock, wall_ms);
        let answer = command(&mut replica);
        let (state, _, effects) = replica.finish();
        let before = std::mem::replace(&mut self.state, state);
        self.store(&effects);
        self.progress.learn_stable(&effects.stable);
        if let Some(last) = effects.own.last() {
            self.progress.stored(last.dot().number);
        }
        self.settle_epoch(&before);
        (answer, effects.own)
    }

    fn command<T>(&mut self, command: impl FnOnce(&mut Replica<'_, Stored>) -> T) -> T {
        self.command_at(NOW_MS, command).0
    }

    fn store(&mut self, effects: &Effects) {
        self.stored
            .0
            .take_if(|record| effects.forgotten.contains(record.key()));
        if let Some(winner) = effects.winners.values().next() {
            self.stored.0 = Some(winner.clone());
        }
    }

    /// Begins an epoch or a life if the replica did, and takes note of a seal and of closed epochs.
    fn settle_epoch(&mut self, before: &ReplicaState) {
        self.progress.forget_below(self.state.closed.below);
        if self.state.me != before.me {
            self.progress = Progress::new(self.state.own_log());
        }
        let place = |state: &ReplicaState| (state.id, state.active);
        if place(&self.state) != place(before) {
            self.copied.clear();
            self.begin_epoch();
        } else if self.state.is_sealed() && !before.is_sealed() {
            self.progress.seal();
        }
    }

    fn begin_epoch(&mut self) {
        let own = self.state.own_log();
        let siblings = self.state.siblings().into_iter();
        let number = self.state.vector.number(own);
        self.progress
            .begin(own, number, siblings.map(|member| (member.id(), Step::In)));
    }

    /// Restarts from what is on the disk.
    pub(crate) fn restart(&mut self) {
        self.progress = Progress::new(self.state.own_log());
        self.begin_epoch();
        if self.state.is_sealed() {
            self.progress.seal();
        }
        self.copied.clear();
    }

    pub(crate) fn write(&mut self, key: &Key, payload: &Payload, wall_ms: u64) -> Option<Record> {
        let write = Write {
            key: key.clone(),
            value: Some("v".into()),
            payload: payload.clone(),
            vouched: true,
        };
        let (stored, mut own) = self.command_at(wall_ms, |replica| replica.write(&write));
        stored.ok()?;
        own.pop()
    }

    /// Takes a push. True if the record is new here.
    pub(crate) fn take_push(&mut self, record: &Record) -> bool {
        let Dot { log, number } = record.dot();
        let push = Push {
            epoch: log.epoch,
            first: number,
            after: number - 1,
            records: vec![record.clone()],
            stable: 0,
        };
        let before = self.state.vector.clone();
        self.command(|replica| replica.push(log.member, &push));
        before != self.state.vector
    }

    fn give(&self, ask: &ExchangeRequest) -> Option<(ExchangeResponse, Vec<Record>)> {
        let mut unstable = Unstable::default();
        if let Some(record) = self.record() {
            unstable.insert(record.clone());
        }
        unstable.settle(self.progress.stable(), self.state.closed.below);
        self.state.give(ask, &unstable, &self.stored).ok()
    }

    fn records_in(&self, slots: &SlotSet) -> Vec<Record> {
        let mut records = Vec::new();
        self.stored
            .for_each_in(slots, |record| records.push(record.clone()));
        records
    }

    /// A steady exchange. True if it took place.
    pub(crate) fn exchange_with(&mut self, giver: &Self) -> bool {
        let ask = self.state.ask_steady();
        let Some((given, records)) = giver.give(&ask) else {
            return false;
        };
        let taken = self.command(|replica| replica.take(&ask, &given, records, None));
        if taken.is_err() {
            return false;
        }
        self.progress
            .acknowledged(given.active, given.giver.id(), &given.vector, false);
        true
    }

    /// True if this node asks the other one for exchanges.
    pub(crate) fn asks(&self, other: &Self) -> bool {
        self.state.is_sibling(other.state.id) || self.state.has_not_heard(other.state.id)
    }

    pub(crate) fn learn(&mut self, views: &[Arc<View>], closed: &Closed) {
        self.command(|replica| replica.learn(views, &[], closed, NOW_MS));
    }

    /// Counts epochs as closed. True if that is news.
    pub(crate) fn close(&mut self, closed: Closed) -> bool {
        let before = self.state.closed.clone();
        self.command(|replica| replica.close(closed));
        before != self.state.closed
    }

    pub(crate) fn seal(&mut self, target: Epoch) {
        self.command(|replica| replica.seal(target));
    }

    /// Copies from an owner while the previous view serves. True if there was anything to copy.
    pub(crate) fn copy_from(&mut self, giver: &Self) -> bool {
        let attempt = self.attempt();
        let mut offered = giver.state.offer_copy(&self.state.me, attempt.target);
        let counted = self.counted();
        for one in &mut offered {
            one.slots = one.slots.difference(&counted);
        }
        offered.retain(|one| !one.slots.is_empty());
        let records = giver.records_in(&slots_of(&offered));
        if offered.is_empty() || self.command(|replica| replica.stage(attempt, records)).is_err() {
            return false;
        }
        self.copied.insert(giver.state.id, offered);
        true
    }

    pub(crate) fn has_copied(&self) -> bool {
        !self.copied.is_empty()
    }

    /// Takes what a sealed owner hands over. True if it did. Drops copied records that no giver vouches for.
    pub(crate) fn take_over(&mut self, giver: &Self) -> bool {
        let attempt = self.attempt();
        let copied = self.copied.remove(&giver.state.id).unwrap_or_default();
        self.copied.clear();
        let vouched = slots_of(&copied);
        let others = SlotSet::all().difference(&vouched);
        self.command(|replica| replica.unstage(attempt, &others));
        let taken = self.try_take_over(giver, &copied);
        if !taken {
            self.command(|replica| replica.unstage(attempt, &vouched));
        }
        taken
    }

    fn try_take_over(&mut self, giver: &Self, copied: &[Copied]) -> bool {
        let attempt = self.attempt();
        let Some(ask) = self.state.ask_hand_over(attempt.target, copied) else {
            return false;
        };
        let Some((given, records)) = giver.give(&ask) else {
            return false;
        };
        let taken = self.command(|replica| replica.take(&ask, &given, records, Some(attempt)));
        taken.is_ok()
    }

    pub(crate) fn activate(&mut self, target: Epoch) {
        self.command(|replica| replica.activate(target));
    }

    /// The view whose owners have what is kept here.
    pub(crate) fn owners_view(&self) -> Option<&Arc<View>> {
        if self.state.is_member() {
            self.state.view()
        } else {
            self.state.newest()
        }
    }

    /// Drops the kept slots that the owners confirmed.
    pub(crate) fn drop_kept(&mut self, epoch: Epoch, confirmed: &SlotSet) {
        self.command(|replica| replica.drop_kept(epoch, confirmed));
    }

    /// Takes what a removed node returns, as writes of its own if they win. None if it does not take it.
    pub(crate) fn adopt(&mut self, from: &Self, slots: &SlotSet) -> Option<Vec<Record>> {
        let returned = Return {
            from: from.state.me.clone(),
            left: None,
            records: from.records_in(slots),
            slots: slots.clone(),
            kept: from.state.kept.to_vec(),
            claimed: from.state.claimed.clone(),
        };
        let (adopted, own) = self.command_at(NOW_MS, |replica| replica.adopt(&returned, &RETURN_TIME));
        adopted.ok()?;
        Some(own)
    }

    /// Begins another life, if this one keeps nothing. True if it does.
    pub(crate) fn leave(&mut self) -> bool {
        let incarnation = Incarnation {
            started_ms: 2,
            ..self.state.me.incarnation
        };
        let life = Member {
            node: self.state.me.node.clone(),
            incarnation,
        };
        let name = life.id();
        self.command(|replica| replica.leave(life, name)).is_ok()
    }

    pub(crate) fn owns(&self, slot: Slot) -> bool {
        self.state.is_member() && self.state.region_of(slot).is_some()
    }
}

fn slots_of(copied: &[Copied]) -> SlotSet {
    copied
        .iter()
        .fold(SlotSet::default(), |all, one| all.union(&one.slots))
}

fn dots(vector: &VersionVector) -> Vec<Dot> {
    vector.iter().collect()
}

fn outline(slots: &SlotSet) -> (usize, Option<Slot>) {
    (slots.len(), slots.iter().next())
}

/// Two nodes that are equal in these fields behave alike.
impl Hash for Node {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let state = &self.state;
        (
            state.id,
            state.active,
            state.sealed,
            state.closed.below,
            state.closed.at,
        )
            .hash(hasher);
        state.views.keys().collect::<Vec<_>>().hash(hasher);
        dots(&state.vector).hash(hasher);
        state
            .regions
            .iter()
            .for_each(|region| hash_region(region, hasher));
        for kept in state.kept.iter() {
            kept.sources.hash(hasher);
            (
                outline(&kept.slots),
                kept.last_owned,
                kept.lacks,
                dots(&kept.coverage),
            )
                .hash(hasher);
        }
        if let Some(incoming) = &state.incoming {
            incoming.target.hash(hasher);
            incoming
                .regions
                .iter()
                .for_each(|region| hash_region(region, hasher));
        }
        self.stored.0.as_ref().map(Record::as_block).hash(hasher);
        for (giver, copied) in &self.copied {
            giver.hash(hasher);
            for one in copied {
                (outline(&one.slots), dots(&one.holds), one.closed_below).hash(hasher);
            }
        }
        dots(self.progress.stable()).hash(hasher);
        let mut siblings: Vec<MemberId> = self.progress.pushed_to().collect();
        siblings.sort();
        siblings.hash(hasher);
    }
}

fn hash_region<H: Hasher>(region: &Region, hasher: &mut H) {
    (outline(&region.slots), region.lacks, dots(&region.coverage)).hash(hasher);
    (&region.sources, &region.heard).hash(hasher);
}
