//! A replica of one key, without disk, network or clock: does what `node` does with its state, record by
//! record, in the same order.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use causeway::names::{Dot, Epoch, Incarnation, Key, Member, MemberId, Slot};
use causeway::planted::{self, Fault};
use causeway::protocol::causality::{Payload, Record, Supersedes, Timestamp, VersionVector};
use causeway::protocol::placement::{SlotSet, View};
use causeway::protocol::replication::{
    Closed, Copied, Progress, Region, ReplicaState, Step, Unstable, may_write,
};

/// Later than any removal, and early enough to accept all that returns.
const NOW_MS: u64 = 1;
const LIMIT_MS: u64 = 1000;

#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub(crate) state: ReplicaState,
    pub(crate) progress: Progress,
    /// The record of the one key: valid if its slot is owned, kept or handed over, else a copy.
    record: Option<Record>,
    /// What was copied, by giver; lost in a restart.
    copied: BTreeMap<MemberId, Vec<Copied>>,
}

impl Replica {
    pub(crate) fn new(me: Member) -> Self {
        let state = ReplicaState::new(me);
        Self {
            progress: Progress::new(state.own_log()),
            state,
            record: None,
            copied: BTreeMap::new(),
        }
    }

    /// The record, if it may be read, given or counted here.
    pub(crate) fn valid(&self) -> Option<&Record> {
        self.record
            .as_ref()
            .filter(|record| self.counted().contains(record.slot()))
    }

    pub(crate) fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    fn counted(&self) -> SlotSet {
        let target = self.state.newest().map_or(Epoch::NONE, |view| view.epoch);
        let counted = self.state.owned_slots().union(&self.state.kept_slots());
        counted.union(&self.state.handed_over(target))
    }

    pub(crate) fn write(&mut self, key: &Key, payload: &Payload, timestamp: Timestamp) -> Option<Record> {
        may_write(&self.state, key.slot(), payload.epoch).ok()?;
        let dot = self.state.next_dot();
        let record = Record::new(key, Some(b"v"), dot, timestamp, &payload.entries);
        self.take_own(&record);
        Some(record)
    }

    fn take_own(&mut self, record: &Record) {
        self.state.vector.raise(record.dot());
        self.merge(record.clone());
        self.progress.stored(record.dot().number);
    }

    fn merge(&mut self, record: Record) {
        let current = self.record.as_ref();
        if current.is_none_or(|current| record.supersedes(current) == Supersedes::Yes) {
            self.record = Some(record);
        }
    }

    /// Takes a push. True if the record is new here.
    pub(crate) fn take_push(&mut self, record: &Record) -> bool {
        let Dot { log, number } = record.dot();
        let is_sealed = self.state.is_sealed() && !planted::is(Fault::PushesAfterTheSeal);
        if log.epoch != self.state.active || is_sealed || !self.state.is_sibling(log.member) {
            return false;
        }
        if number != self.state.vector.number(log) + 1 {
            return false;
        }
        self.state.vector.raise(record.dot());
        self.merge(record.clone());
        if self.state.siblings().len() == 1 {
            self.progress.learn_stable(&[record.dot()].into_iter().collect());
        }
        true
    }

    fn unstable(&self) -> Unstable {
        let mut unstable = Unstable::default();
        if let Some(record) = self.valid() {
            unstable.insert(record.clone());
        }
        unstable.settle(self.progress.stable(), self.state.closed.below);
        unstable
    }

    fn scan(&self, slots: &SlotSet, is_wanted: &dyn Fn(Dot) -> bool) -> Vec<Record> {
        let is_inside = |record: &&Record| slots.contains(record.slot()) && is_wanted(record.dot());
        self.valid().filter(is_inside).cloned().into_iter().collect()
    }

    /// A steady exchange. True if it took place.
    pub(crate) fn exchange_with(&mut self, giver: &Self) -> bool {
        let ask = self.state.ask_steady();
        let Ok((given, records)) = giver.state.give(&ask, &giver.unstable(), |slots, is_wanted| {
            giver.scan(slots, is_wanted)
        }) else {
            return false;
        };
        if self.state.take_steady(&ask, &given).is_err() {
            return false;
        }
        records.into_iter().for_each(|record| self.merge(record));
        self.progress
            .acknowledged(given.active, given.giver.id(), &given.vector, false);
        true
    }

    /// True if this replica asks the other one for exchanges.
    pub(crate) fn asks(&self, other: &Self) -> bool {
        self.state.is_sibling(other.state.id) || self.state.has_not_heard(other.state.id)
    }

    pub(crate) fn learn(&mut self, views: &[std::sync::Arc<View>], closed: &Closed) {
        self.state.learn_past(views, closed);
        for view in views {
            self.state.learn(view);
        }
        if let Some(newest) = self.state.newest().filter(|_| self.state.is_passed_by()) {
            let target = newest.epoch;
            self.forget(&SlotSet::all());
            self.activate(target);
        }
    }

    pub(crate) fn seal(&mut self, target: Epoch) {
        if self.state.views.contains_key(&target) && self.state.seal(target) {
            self.progress.seal();
        }
    }

    /// Copies from an owner while the previous view serves. True if there was anything to copy.
    pub(crate) fn copy_from(&mut self, giver: &Self, target: Epoch) -> bool {
        let mut offered = giver.state.offer_copy(&self.state.me, target);
        let counted = self.counted();
        for one in &mut offered {
            one.slots = one.slots.difference(&counted);
        }
        offered.retain(|one| !one.slots.is_empty());
        if offered.is_empty() || self.state.active >= target || self.state.sealed >= target {
            return false;
        }
        for one in &offered {
            giver
                .scan(&one.slots, &|_| true)
                .into_iter()
                .for_each(|record| self.merge(record));
        }
        self.copied.insert(giver.state.id, offered);
        true
    }

    pub(crate) fn has_copied(&self) -> bool {
        !self.copied.is_empty()
    }

    /// Takes what a sealed owner hands over. True if it did.
    pub(crate) fn take_over(&mut self, giver: &Self, target: Epoch) -> bool {
        let copied = self.copied.remove(&giver.state.id).unwrap_or_default();
        self.copied.clear();
        let vouched = copied
            .iter()
            .fold(SlotSet::default(), |all, one| all.union(&one.slots));
        self.unstage(&SlotSet::all().difference(&vouched));
        let taken = self.try_take_over(giver, target, &copied);
        if !taken {
            self.unstage(&vouched);
        }
        taken
    }

    fn try_take_over(&mut self, giver: &Self, target: Epoch, copied: &[Copied]) -> bool {
        let Some(ask) = self.state.ask_hand_over(target, copied) else {
            return false;
        };
        let Ok((given, records)) = giver.state.give(&ask, &giver.unstable(), |slots, is_wanted| {
            giver.scan(slots, is_wanted)
        }) else {
            return false;
        };
        if self.state.take_hand_over(&ask, &given).is_err() {
            return false;
        }
        records.into_iter().for_each(|record| self.merge(record));
        true
    }

    /// Drops copied records that no giver vouches for.
    fn unstage(&mut self, slots: &SlotSet) {
        if planted::is(Fault::CopiesNotVouchedFor) {
            return;
        }
        self.forget(&slots.difference(&self.counted()));
    }

    fn forget(&mut self, slots: &SlotSet) {
        self.record.take_if(|record| slots.contains(record.slot()));
    }

    pub(crate) fn activate(&mut self, target: Epoch) {
        let coming = self.state.views.get(&target);
        let coming = coming.map_or_else(SlotSet::default, |view| view.slots_of_member(&self.state.me));
        let staged = coming.difference(&self.counted());
        self.state.activate(target);
        if self.state.active != target {
            return;
        }
        if !planted::is(Fault::CopiesNotVouchedFor) {
            self.forget(&staged);
        }
        if planted::is(Fault::DroppedAtActivation) {
            let lost = self.state.kept_slots();
            self.state.kept = std::sync::Arc::default();
            self.forget(&lost);
        }
        self.copied.clear();
        self.begin_epoch();
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

    /// The view whose owners have what is kept here.
    pub(crate) fn owners_view(&self) -> Option<&std::sync::Arc<View>> {
        if self.state.is_member() {
            self.state.view()
        } else {
            self.state.newest()
        }
    }

    /// Drops the kept slots that the owners confirmed.
    pub(crate) fn drop_kept(&mut self, epoch: Epoch, confirmed: &SlotSet) {
        let dropped = self.state.drop_kept(epoch, confirmed);
        self.forget(&dropped);
    }

    /// Takes what a removed node returns, as a write of its own if it wins. None if it does not take it.
    pub(crate) fn adopt(&mut self, from: &Self, slots: &SlotSet) -> Option<Option<Record>> {
        self.state.may_adopt(from.state.id, NOW_MS, LIMIT_MS).ok()?;
        let returned = from.valid().filter(|record| slots.contains(record.slot()));
        let owned = self.state.owned_slots();
        if !slots.difference(&owned).is_empty() {
            return None;
        }
        let wins = |record: &&Record| {
            let current = self.valid();
            current.is_none_or(|current| current.timestamp() < record.timestamp())
        };
        let adopted = returned
            .filter(wins)
            .map(|record| record.renumbered(self.state.next_dot()));
        if let Some(record) = &adopted {
            self.take_own(record);
        }
        for one in from.state.kept.iter() {
            let returned = one.slots.intersection(slots);
            self.state.note_returned(from.state.id, &one.sources, &returned);
        }
        Some(adopted)
    }

    /// Ends this life: keeps nothing.
    pub(crate) fn leave(&mut self) {
        let life = Member {
            node: self.state.me.node.clone(),
            incarnation: Incarnation {
                started_ms: 2,
                random: self.state.me.incarnation.random,
            },
        };
        *self = Self::new(life);
        self.state.has_left = true;
    }

    pub(crate) fn owns(&self, slot: Slot) -> bool {
        self.state.is_member() && self.state.region_of(slot).is_some()
    }
}

fn dots(vector: &VersionVector) -> Vec<Dot> {
    vector.iter().collect()
}

fn outline(slots: &SlotSet) -> (usize, Option<Slot>) {
    (slots.len(), slots.iter().next())
}

/// Two replicas that are equal in these fields behave alike.
impl Hash for Replica {
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
        self.record.as_ref().map(Record::as_block).hash(hasher);
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
