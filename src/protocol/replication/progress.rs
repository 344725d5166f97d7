//! Who has how much: what siblings acknowledged in the active epoch, and what is therefore stable.
//!
//! Volatile on purpose. After a restart nothing is known to be acknowledged, so nothing is called
//! stable that might not be; stable numbers learned from others are state and stay true.

use std::collections::BTreeMap;

use crate::names::{Dot, Epoch, Log, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::causality::VersionVector;

/// How a sibling takes what is pushed to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Pushes go to it and writers wait for its acknowledgement.
    In,
    /// Pushes go to it again, but nobody waits until it has answered, and holds all that we have.
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
    /// Up to where our own log is held here, durably.
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

    /// Our own log reached `number`, durably.
    pub fn stored(&mut self, number: u64) {
        self.own_number = self.own_number.max(number);
        if self.siblings.is_empty() && !self.sealed {
            self.recount();
        }
    }

    /// A sibling of the same active epoch says what it holds. Its answer to a question of ours shows that
    /// pushes get through, and brings it into step.
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

    /// This member is sealed: what it has is all that its epoch will have, and nobody waits for more.
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

    /// A sibling has been given everything up to now: what comes next is pushed to it.
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

    /// How many hold our own log up to `number`, this member included.
    pub fn replicas_of(&self, number: u64) -> u32 {
        let holds = |sibling: &&Sibling| sibling.held.number(self.own) >= number;
        1 + u32::try_from(self.siblings.values().filter(holds).count()).expect("few siblings")
    }

    /// True if every sibling has acknowledged all of this.
    pub fn is_held_by_all(&self, held: &VersionVector) -> bool {
        self.siblings.values().all(|sibling| sibling.held.covers(held))
    }

    /// Up to which number of our own log every sibling in step has acknowledged: writers up to there
    /// need not wait any longer.
    pub fn settled_number(&self) -> u64 {
        let in_step = self.siblings.values().filter(|sibling| sibling.step == Step::In);
        in_step
            .map(|sibling| sibling.held.number(self.own))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Every number known to be held, durably, by all members of its partition.
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

    /// Our own log is stable as far as all siblings hold it. (The logs of siblings become stable by
    /// their own word, which gossip brings.)
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
