//! Tracks what siblings acknowledged in the active epoch, and what is therefore stable.
//!
//! Volatile on purpose. After a restart no acknowledgement is known, so nothing counts as stable that
//! might not be. Stable numbers that others report stay true.

use std::collections::BTreeMap;

use crate::names::{Dot, Epoch, Log, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::causality::VersionVector;

/// Whether pushes go to a sibling, and whether writers wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Pushes go to it and writers wait for its acknowledgement.
    In,
    /// Pushes go to it again, but writers do not wait for it until it answers that it holds all that we have.
    Joining,
    /// It did not answer in time: served by exchanges only.
    Out,
}

#[derive(Debug, Clone)]
struct Sibling {
    held: VersionVector,
    step: Step,
}

/// What siblings acknowledged in one epoch, and every stable number known.
#[derive(Debug, Clone)]
pub struct Progress {
    own: Log,
    /// How far our own log is durable here.
    own_number: u64,
    siblings: BTreeMap<MemberId, Sibling>,
    stable: VersionVector,
    /// After the seal no acknowledgement counts any more (I11).
    sealed: bool,
}

impl Progress {
    pub fn new(own: Log) -> Self {
        Self {
            own,
            own_number: 0,
            siblings: BTreeMap::new(),
            stable: VersionVector::default(),
            sealed: false,
        }
    }

    /// Begins an epoch: acknowledgements count only in the one they were given in.
    pub fn begin(&mut self, own: Log, own_number: u64, siblings: impl IntoIterator<Item = (MemberId, Step)>) {
        self.own = own;
        self.own_number = own_number;
        self.sealed = false;
        let fresh = |step| Sibling {
            held: VersionVector::default(),
            step,
        };
        self.siblings = siblings.into_iter().map(|(id, step)| (id, fresh(step))).collect();
        self.recount();
    }

    /// Our own log is durable up to `number`.
    pub fn stored(&mut self, number: u64) {
        self.own_number = self.own_number.max(number);
        if self.siblings.is_empty() && !self.sealed {
            self.recount();
        }
    }

    /// A sibling of the same active epoch says what it holds. If it answers a request of ours, pushes
    /// get through, and it may come into step.
    pub fn acknowledged(&mut self, epoch: Epoch, sibling: MemberId, held: &VersionVector, answers_us: bool) {
        let is_sealed = self.sealed && !planted::is(Fault::AcknowledgementsAfterTheSeal);
        if epoch != self.own.epoch || is_sealed {
            return;
        }
        let Some(known) = self.siblings.get_mut(&sibling) else {
            return;
        };
        known.held.merge(held);
        if answers_us && known.step == Step::Joining && known.held.number(self.own) >= self.own_number {
            known.step = Step::In;
        }
        self.recount();
    }

    /// This member is sealed: it takes nothing more in its epoch, and no writer waits for siblings.
    pub fn seal(&mut self) {
        self.sealed = true;
        for sibling in self.siblings.values_mut() {
            sibling.step = Step::Out;
        }
    }

    /// A sibling did not answer in time, or refused.
    pub fn fell_behind(&mut self, epoch: Epoch, sibling: MemberId) {
        if epoch == self.own.epoch
            && let Some(known) = self.siblings.get_mut(&sibling)
        {
            known.step = Step::Out;
        }
    }

    /// A sibling has been given everything so far: what comes next is pushed to it.
    pub fn rejoins(&mut self, sibling: MemberId) {
        if let Some(known) = self.siblings.get_mut(&sibling)
            && known.step == Step::Out
            && !self.sealed
        {
            known.step = Step::Joining;
        }
    }

    /// The siblings that pushes go to.
    pub fn pushed_to(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.siblings
            .iter()
            .filter(|(_, sibling)| sibling.step != Step::Out)
            .map(|(id, _)| *id)
    }

    /// How many members hold our own log up to `number`, this one included.
    pub fn replicas_of(&self, number: u64) -> u32 {
        let holds = |sibling: &&Sibling| sibling.held.number(self.own) >= number;
        1 + u32::try_from(self.siblings.values().filter(holds).count()).expect("few siblings")
    }

    /// True if every sibling has acknowledged all of this.
    pub fn is_held_by_all(&self, held: &VersionVector) -> bool {
        self.siblings.values().all(|sibling| sibling.held.covers(held))
    }

    /// The number of our own log that every sibling in step has acknowledged: writers up to it need not wait.
    pub fn settled_number(&self) -> u64 {
        let in_step = self.siblings.values().filter(|sibling| sibling.step == Step::In);
        in_step
            .map(|sibling| sibling.held.number(self.own))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Every number known to be durable at all members of its partition.
    pub fn stable(&self) -> &VersionVector {
        &self.stable
    }

    /// Takes stable numbers that another node knows. True if any is news.
    pub fn learn_stable(&mut self, stable: &VersionVector) -> bool {
        let news = !self.stable.covers(stable);
        self.stable.merge(stable);
        news
    }

    /// Forgets the numbers of closed epochs.
    pub fn forget_below(&mut self, closed_below: Epoch) {
        self.stable.retain(|dot| dot.log.epoch >= closed_below);
    }

    /// Our own log is stable as far as all siblings hold it. (Siblings gossip how far their own logs are
    /// stable.)
    fn recount(&mut self) {
        let held = self
            .siblings
            .values()
            .map(|sibling| sibling.held.number(self.own));
        let held = if planted::is(Fault::StableByMajority) {
            held.max()
        } else {
            held.min()
        };
        let number = held.unwrap_or(u64::MAX).min(self.own_number);
        self.stable.raise(Dot {
            log: self.own,
            number,
        });
    }
}
