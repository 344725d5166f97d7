//! Judges whether the writes that a causal payload claims can exist, so that a forged payload harms no
//! other client.
//!
//! A payload is a client's claim. Nothing signs it, and a write stores its entries as the record's
//! dependencies, which every reader of the record receives. So an entry is checked before it is stored:
//! it must name a log that the views allow, and a number that some member has seen. The judgement is a
//! pure function of the state and of numbers that are known to exist; `node::claims` asks other members.

use super::ReplicaState;
use super::runs::{COMPLETE, end_of, is_end};
use crate::names::{Dot, Epoch, Log};
use crate::protocol::causality::{Record, VersionVector};

/// What a node can tell about an entry by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Some member took this write, or every member drops the entry.
    Exists,
    /// No member had taken this write when the claim was made.
    Impossible,
    /// The view of the entry's epoch is not known here.
    UnknownEpoch,
    /// Another member may have taken it.
    Undecided,
}

/// How far a log goes, as far as one node can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Writes up to this number exist; `COMPLETE` if the number does not matter any more.
    pub exist: u64,
    /// No write above this number exists at this moment.
    pub end: Option<u64>,
}

impl ReplicaState {
    /// Judges an entry that was received before this state was published. `heard` has numbers that are
    /// known to exist.
    pub fn judge(&self, heard: &VersionVector, dot: Dot) -> Claim {
        if !self.is_closed(dot.log.epoch) && self.is_no_dot(dot) {
            return Claim::Impossible;
        }
        if dot.is_everything() && self.knows_epoch(dot.log.epoch) {
            return Claim::Exists;
        }
        let extent = self.extent(heard, dot.log);
        if dot.number <= extent.exist {
            Claim::Exists
        } else if extent.end.is_some() {
            Claim::Impossible
        } else if self.knows_epoch(dot.log.epoch) {
            Claim::Undecided
        } else {
            Claim::UnknownEpoch
        }
    }

    /// How far a log goes. Only its own member knows its end: any other member may merely be behind.
    pub fn extent(&self, heard: &VersionVector, log: Log) -> Extent {
        // An epoch from before the lines parted is in the history of both.
        if !self.has(log.epoch) && self.lost_with(log.epoch).is_some() {
            return Extent {
                exist: COMPLETE,
                end: None,
            };
        }
        if log.member == self.id && log.epoch <= self.active {
            // A member whose disk may have gone back in time does not know where its log ended.
            let number = self.own_end(log);
            return Extent {
                exist: number,
                end: self.is_member().then_some(number),
            };
        }
        let exist = if self.is_closed(log.epoch) {
            self.closed_end(log)
        } else {
            self.held(log).max(heard.number(log))
        };
        Extent { exist, end: None }
    }

    /// How far this member holds a log of an epoch that is not closed, in any of its slots.
    fn held(&self, log: Log) -> u64 {
        if log.epoch == self.active {
            return self.vector.number(log);
        }
        let owned = self.regions.iter().map(|region| &region.coverage);
        let coverages = owned.chain(self.kept.iter().map(|kept| &kept.coverage));
        coverages.map(|coverage| coverage.number(log)).max().unwrap_or(0)
    }

    /// Where a log of this member ends. For an earlier epoch, that is the end of the run in which it was
    /// sealed: an entry of that run counts as covered wherever the member has handed over, whatever its
    /// number.
    fn own_end(&self, log: Log) -> u64 {
        let held = self.held(log);
        if log.epoch == self.active {
            held
        } else if self.is_closed(log.epoch) {
            self.closed.end_of(self.id)
        } else if is_end(held) {
            held
        } else {
            end_of(self.runs.current().number)
        }
    }

    /// Up to which number every member drops the entries of a log of a closed epoch.
    fn closed_end(&self, log: Log) -> u64 {
        let number = COMPLETE;
        if self.is_of_later_run(Dot { log, number }) {
            self.closed.end_of(log.member)
        } else {
            COMPLETE
        }
    }

    /// Takes note of what a record claims to depend on. True if that is news.
    pub fn note_claims(&mut self, record: &Record) -> bool {
        if record.is_vouched() {
            return false;
        }
        self.learn_claims(&record.dependencies().collect())
    }

    /// Takes note of what records claimed to depend on, here or at a giver of slots. True if that is news.
    pub fn learn_claims(&mut self, claims: &VersionVector) -> bool {
        let is_news = !self.claimed.covers(claims);
        self.claimed.merge(claims);
        is_news
    }

    /// True if the known views alone exclude that a write of an open epoch has this dot. Only members of
    /// a partition in the view of that epoch number writes, and no write has the number that ends a log.
    pub fn is_no_dot(&self, dot: Dot) -> bool {
        let Log { epoch, member } = dot.log;
        if epoch == Epoch::NONE || is_end(dot.number) {
            return true;
        }
        if dot.is_everything() {
            return false;
        }
        self.views.get(&epoch).is_some_and(|view| {
            let writer = view.member_by_id(member);
            writer.is_none_or(|writer| view.partition_of_node(&writer.node).is_none())
        })
    }

    /// True if a stored record may have this dependency. A record depends on writes of epochs that had begun
    /// where it was taken, so wherever it is shown, each of them is active or past.
    pub fn may_be_dependency(&self, dot: Dot) -> bool {
        let epoch = dot.log.epoch;
        self.is_closed(epoch)
            || (epoch <= self.active || self.lost_with(epoch).is_some()) && !self.is_no_dot(dot)
    }

    /// True if this node can judge what was written in this epoch: it is closed, or its view is known.
    pub fn knows_epoch(&self, epoch: Epoch) -> bool {
        let is_known = self.views.contains_key(&epoch) || self.lost_with(epoch).is_some();
        epoch == Epoch::NONE || is_known || self.is_closed(epoch)
    }

    /// True if every member drops entries of this epoch.
    pub fn is_closed(&self, epoch: Epoch) -> bool {
        self.active != Epoch::NONE && epoch < self.closed.below && self.has(epoch)
    }
}
