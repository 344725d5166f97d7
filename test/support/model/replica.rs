//! A replica of one key, without a disk, a network and a clock: what `node` does with facts, record by
//! record, in the order in which it does it.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use causeway::names::{Dot, Epoch, Incarnation, Key, Member, MemberId, Slot};
use causeway::planted::{self, Fault};
use causeway::protocol::causality::{Payload, Record, Supersedes, Timestamp, VersionVector};
use causeway::protocol::placement::{SlotSet, View};
use causeway::protocol::replication::{Closed, Copied, Facts, Progress, Region, Step, Unstable, may_write};

/// Later than any removal, and early enough for everything to be taken.
const NOW_MS: u64 = 1;
const LIMIT_MS: u64 = 1000;

#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub(crate) facts: Facts,
    pub(crate) progress: Progress,
    /// The record of the one key: valid if its slot is owned, kept or handed over, else a copy.
    record: Option<Record>,
    /// What was copied, by giver; forgotten in a restart.
    copied: BTreeMap<MemberId, Vec<Copied>>,
}

impl Replica {
    pub(crate) fn new(me: Member) -> Self {
        let facts = Facts::new(me);
        Self {
            progress: Progress::new(facts.own_log()),
            facts,
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
        let target = self.facts.newest().map_or(Epoch::NONE, |view| view.epoch);
        let counted = self.facts.owned_slots().union(&self.facts.kept_slots());
        counted.union(&self.facts.handed_over(target))
    }

    pub(crate) fn write(&mut self, key: &Key, payload: &Payload, timestamp: Timestamp) -> Option<Record> {
        may_write(&self.facts, key.slot(), payload.epoch).ok()?;
        let dot = self.facts.next_dot();
        let record = Record::new(key, Some(b"v"), dot, timestamp, &payload.entries);
        self.take_own(&record);
        Some(record)
    }

    fn take_own(&mut self, record: &Record) {
        self.facts.vector.raise(record.dot());
        self.merge(record.clone());
        self.progress.stored(record.dot().number);
    }

    fn merge(&mut self, record: Record) {
        let current = self.record.as_ref();
        if current.is_none_or(|current| record.supersedes(current) == Supersedes::Yes) {
            self.record = Some(record);
        }
    }

    /// Takes a push. True if that is news.
    pub(crate) fn take_push(&mut self, record: &Record) -> bool {
        let Dot { log, number } = record.dot();
        let is_sealed = self.facts.is_sealed() && !planted::is(Fault::PushesAfterTheSeal);
        if log.epoch != self.facts.active || is_sealed || !self.facts.is_sibling(log.member) {
            return false;
        }
        if number != self.facts.vector.number(log) + 1 {
            return false;
        }
        self.facts.vector.raise(record.dot());
        self.merge(record.clone());
        if self.facts.siblings().len() == 1 {
            self.progress.learn_stable(&[record.dot()].into_iter().collect());
        }
        true
    }

    fn unstable(&self) -> Unstable {
        let mut unstable = Unstable::default();
        if let Some(record) = self.valid() {
            unstable.insert(record.clone());
        }
        unstable.settle(self.progress.stable(), self.facts.closed.below);
        unstable
    }

    fn scan(&self, slots: &SlotSet, is_wanted: &dyn Fn(Dot) -> bool) -> Vec<Record> {
        let is_inside = |record: &&Record| slots.contains(record.slot()) && is_wanted(record.dot());
        self.valid().filter(is_inside).cloned().into_iter().collect()
    }

    /// A steady exchange. True if it took place.
    pub(crate) fn exchange_with(&mut self, giver: &Self) -> bool {
        let ask = self.facts.ask_steady();
        let Ok((given, records)) = giver.facts.give(&ask, &giver.unstable(), |slots, is_wanted| {
            giver.scan(slots, is_wanted)
        }) else {
            return false;
        };
        if self.facts.take_steady(&ask, &given).is_err() {
            return false;
        }
        records.into_iter().for_each(|record| self.merge(record));
        self.progress
            .acknowledged(given.active, given.giver.id(), &given.vector, false);
        true
    }

    /// Whether this replica asks the other one for exchanges.
    pub(crate) fn asks(&self, other: &Self) -> bool {
        self.facts.is_sibling(other.facts.id) || self.facts.has_not_heard(other.facts.id)
    }

    pub(crate) fn learn(&mut self, views: &[std::sync::Arc<View>], closed: &Closed) {
        self.facts.learn_past(views, closed);
        for view in views {
            self.facts.learn(view);
        }
        if let Some(newest) = self.facts.newest().filter(|_| self.facts.is_passed_by()) {
            let target = newest.epoch;
            self.forget(&SlotSet::all());
            self.activate(target);
        }
    }

    pub(crate) fn seal(&mut self, target: Epoch) {
        if self.facts.views.contains_key(&target) && self.facts.seal(target) {
            self.progress.seal();
        }
    }

    /// Copies from an owner while the view before serves. True if there was anything to copy.
    pub(crate) fn copy_from(&mut self, giver: &Self, target: Epoch) -> bool {
        let mut offered = giver.facts.offer_copy(&self.facts.me, target);
        let counted = self.counted();
        for one in &mut offered {
            one.slots = one.slots.difference(&counted);
        }
        offered.retain(|one| !one.slots.is_empty());
        if offered.is_empty() || self.facts.active >= target || self.facts.sealed >= target {
            return false;
        }
        for one in &offered {
            giver
                .scan(&one.slots, &|_| true)
                .into_iter()
                .for_each(|record| self.merge(record));
        }
        self.copied.insert(giver.facts.id, offered);
        true
    }

    pub(crate) fn has_copied(&self) -> bool {
        !self.copied.is_empty()
    }

    /// Takes what a sealed owner hands over. True if it did.
    pub(crate) fn take_over(&mut self, giver: &Self, target: Epoch) -> bool {
        let copied = self.copied.remove(&giver.facts.id).unwrap_or_default();
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
        let Some(ask) = self.facts.ask_hand_over(target, copied) else {
            return false;
        };
        let Ok((given, records)) = giver.facts.give(&ask, &giver.unstable(), |slots, is_wanted| {
            giver.scan(slots, is_wanted)
        }) else {
            return false;
        };
        if self.facts.take_hand_over(&ask, &given).is_err() {
            return false;
        }
        records.into_iter().for_each(|record| self.merge(record));
        true
    }

    /// Drops what was copied and nobody vouches for.
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
        let coming = self.facts.views.get(&target);
        let coming = coming.map_or_else(SlotSet::default, |view| view.slots_of_member(&self.facts.me));
        let staged = coming.difference(&self.counted());
        self.facts.activate(target);
        if self.facts.active != target {
            return;
        }
        if !planted::is(Fault::CopiesNotVouchedFor) {
            self.forget(&staged);
        }
        if planted::is(Fault::DroppedAtActivation) {
            let lost = self.facts.kept_slots();
            self.facts.kept = std::sync::Arc::default();
            self.forget(&lost);
        }
        self.copied.clear();
        self.begin_epoch();
    }

    fn begin_epoch(&mut self) {
        let own = self.facts.own_log();
        let siblings = self.facts.siblings().into_iter();
        let number = self.facts.vector.number(own);
        self.progress
            .begin(own, number, siblings.map(|member| (member.id(), Step::In)));
    }

    /// Starts again with what is on the disk.
    pub(crate) fn restart(&mut self) {
        self.progress = Progress::new(self.facts.own_log());
        self.begin_epoch();
        if self.facts.is_sealed() {
            self.progress.seal();
        }
        self.copied.clear();
    }

    /// The view whose owners have what is kept here.
    pub(crate) fn owners_view(&self) -> Option<&std::sync::Arc<View>> {
        if self.facts.is_member() {
            self.facts.view()
        } else {
            self.facts.newest()
        }
    }

    /// Drops the kept slots that the owners confirmed.
    pub(crate) fn drop_kept(&mut self, epoch: Epoch, confirmed: &SlotSet) {
        let dropped = self.facts.drop_kept(epoch, confirmed);
        self.forget(&dropped);
    }

    /// Takes what a removed node returns, as a write of its own if it wins. None if it does not take it.
    pub(crate) fn adopt(&mut self, from: &Self, slots: &SlotSet) -> Option<Option<Record>> {
        self.facts.may_adopt(from.facts.id, NOW_MS, LIMIT_MS).ok()?;
        let returned = from.valid().filter(|record| slots.contains(record.slot()));
        let owned = self.facts.owned_slots();
        if !slots.difference(&owned).is_empty() {
            return None;
        }
        let wins = |record: &&Record| {
            let current = self.valid();
            current.is_none_or(|current| current.timestamp() < record.timestamp())
        };
        let adopted = returned
            .filter(wins)
            .map(|record| record.renumbered(self.facts.next_dot()));
        if let Some(record) = &adopted {
            self.take_own(record);
        }
        for one in from.facts.kept.iter() {
            let returned = one.slots.intersection(slots);
            self.facts.note_returned(from.facts.id, &one.sources, &returned);
        }
        Some(adopted)
    }

    /// Ends this life: nothing is kept any more.
    pub(crate) fn leave(&mut self) {
        let life = Member {
            node: self.facts.me.node.clone(),
            incarnation: Incarnation {
                started_ms: 2,
                random: self.facts.me.incarnation.random,
            },
        };
        *self = Self::new(life);
        self.facts.has_left = true;
    }

    pub(crate) fn owns(&self, slot: Slot) -> bool {
        self.facts.is_member() && self.facts.region_of(slot).is_some()
    }
}

fn dots(vector: &VersionVector) -> Vec<Dot> {
    vector.iter().collect()
}

fn outline(slots: &SlotSet) -> (usize, Option<Slot>) {
    (slots.len(), slots.iter().next())
}

/// Two replicas that are alike in this go on alike.
impl Hash for Replica {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let facts = &self.facts;
        (
            facts.id,
            facts.active,
            facts.sealed,
            facts.closed.below,
            facts.closed.at,
        )
            .hash(state);
        facts.views.keys().collect::<Vec<_>>().hash(state);
        dots(&facts.vector).hash(state);
        facts.regions.iter().for_each(|region| hash_region(region, state));
        for kept in facts.kept.iter() {
            kept.sources.hash(state);
            (
                outline(&kept.slots),
                kept.last_owned,
                kept.lacks,
                dots(&kept.coverage),
            )
                .hash(state);
        }
        if let Some(incoming) = &facts.incoming {
            incoming.target.hash(state);
            incoming
                .regions
                .iter()
                .for_each(|region| hash_region(region, state));
        }
        self.record.as_ref().map(Record::as_block).hash(state);
        for (giver, copied) in &self.copied {
            giver.hash(state);
            for one in copied {
                (outline(&one.slots), dots(&one.holds), one.closed_below).hash(state);
            }
        }
        dots(self.progress.stable()).hash(state);
        let mut siblings: Vec<MemberId> = self.progress.pushed_to().collect();
        siblings.sort();
        siblings.hash(state);
    }
}

fn hash_region<H: Hasher>(region: &Region, state: &mut H) {
    (outline(&region.slots), region.lacks, dots(&region.coverage)).hash(state);
    (&region.sources, &region.heard).hash(state);
}
