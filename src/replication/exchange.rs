//! The exchange: how a replica gets what another one has.
//!
//! The taker says what it holds; the giver answers with every record that is not included, *as one
//! unit over all logs and all slots*, and with what it holds itself; the taker makes records and
//! vectors valid in one commit. Log by log would be wrong: a record that was superseded is not sent,
//! and the one that superseded it may belong to another log (I9).
//!
//! Relaying, catching up, copies and hand-overs are all this one operation with another starting
//! vector. Between siblings that are active in the same epoch it is *steady*; in the change to a view
//! that the taker has not activated, it is a *hand-over*, which only a sealed giver answers.

use std::sync::Arc;

use super::facts::Region;
use super::{Facts, Unstable};
use crate::causality::{Record, VersionVector};
use crate::names::{Epoch, Member};
use crate::placement::{SlotSet, View};
use crate::planted::{self, Fault};

/// What a taker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub taker: Member,
    /// The taker's active epoch.
    pub active: Epoch,
    /// The same for a steady exchange; for a hand-over, the epoch of the view that is coming.
    pub target: Epoch,
    pub wanted: Vec<Wanted>,
}

/// Slots that are asked for, and what the taker holds of them already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub slots: SlotSet,
    /// As in [`Region::lacks`]: a taker that lacks gets everything that `holds` does not include, one
    /// that is ready gets what may be unstable.
    pub lacks: Epoch,
    pub holds: VersionVector,
}

/// What a giver answers, beside the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub giver: Member,
    /// The giver's active epoch.
    pub active: Epoch,
    /// The logs of the active epoch; empty in a hand-over, where they are part of the coverage.
    pub vector: VersionVector,
    pub offered: Vec<Offered>,
}

/// How the giver stands with some of the slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    pub slots: SlotSet,
    pub lacks: Epoch,
    /// The last epoch in which the giver owned the slots.
    pub last_owned: Epoch,
    pub coverage: VersionVector,
}

/// Why an exchange does not take place. All of them pass: the taker asks again when it knows more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoExchange {
    #[error("giver and taker are not active in the same epoch")]
    OtherEpoch,
    #[error("the giver is not sealed for the view that is coming")]
    NotSealed,
    #[error("the view does not list both")]
    NotListed,
    #[error("the taker has moved on since it asked")]
    Stale,
}

impl Facts {
    /// The steady exchange that this member may ask its siblings for.
    pub fn ask_steady(&self) -> Ask {
        let wanted = self.regions.iter().map(|region| Wanted {
            slots: region.slots.clone(),
            lacks: region.lacks,
            holds: self.holds(region),
        });
        Ask {
            taker: self.me.clone(),
            active: self.active,
            target: self.active,
            wanted: wanted.collect(),
        }
    }

    /// The hand-over that this node may ask sealed owners for, in the change to `target`. For slots
    /// that it has copied, `copied` is what the giver held when the copy began.
    pub fn ask_hand_over(&self, target: Epoch, copied: &VersionVector) -> Option<Ask> {
        let is_coming = |view: &&Arc<View>| view.is_member(&self.me) && target > self.active;
        self.views.get(&target).filter(is_coming)?;
        // A copy says nothing of older logs: the giver's number for one may hold for other slots only.
        let before = self.views.range(..target).next_back().map(|(epoch, _)| *epoch);
        let mut copied = copied.clone();
        copied.retain(|dot| Some(dot.log.epoch) == before);
        // A slot that was lost and regained in the views between is gained.
        let mut ahead = self.clone();
        ahead.walk_until(target);
        let wanted = ahead.regions.iter().map(|region| Wanted {
            slots: region.slots.clone(),
            lacks: region.lacks,
            holds: if region.lacks > self.active {
                copied.clone()
            } else {
                self.holds(region)
            },
        });
        Some(Ask {
            taker: self.me.clone(),
            active: self.active,
            target,
            wanted: wanted.collect(),
        })
    }

    /// Answers an exchange: what this member holds, and the records that the taker does not. `scan`
    /// gives every record of a set of slots, for takers that lack.
    pub fn give(
        &self,
        ask: &Ask,
        unstable: &Unstable,
        scan: impl Fn(&SlotSet) -> Vec<Record>,
    ) -> Result<(Given, Vec<Record>), NoExchange> {
        self.may_give(ask)?;
        let steady = ask.target == ask.active;
        let offered = self.offer(ask, steady);
        let mut records = Vec::new();
        for wanted in &ask.wanted {
            let shared = self.regions.iter().fold(SlotSet::default(), |shared, region| {
                shared.union(&region.slots.intersection(&wanted.slots))
            });
            records.extend(self.records_for(wanted, &shared, unstable, &scan));
        }
        let mut vector = if steady {
            self.vector.clone()
        } else {
            VersionVector::default()
        };
        if planted::is(Fault::LogByLog) && steady {
            vector.retain(|dot| dot.log.member == self.id);
            records.retain(|record| record.dot().log.member == self.id);
        }
        Ok((
            Given {
                giver: self.me.clone(),
                active: self.active,
                vector,
                offered,
            },
            records,
        ))
    }

    fn may_give(&self, ask: &Ask) -> Result<(), NoExchange> {
        if ask.target == ask.active {
            if ask.active != self.active || self.active == Epoch::NONE {
                return Err(NoExchange::OtherEpoch);
            }
            let listed = self.view().is_some_and(|view| view.is_member(&ask.taker));
            return if listed && self.is_member() {
                Ok(())
            } else {
                Err(NoExchange::NotListed)
            };
        }
        if self.sealed < ask.target || self.active >= ask.target {
            return Err(NoExchange::NotSealed);
        }
        let listed = self
            .views
            .get(&ask.target)
            .is_some_and(|view| view.is_member(&ask.taker));
        if listed && self.is_member() {
            Ok(())
        } else {
            Err(NoExchange::NotListed)
        }
    }

    fn offer(&self, ask: &Ask, steady: bool) -> Vec<Offered> {
        let asked = ask
            .wanted
            .iter()
            .fold(SlotSet::default(), |all, wanted| all.union(&wanted.slots));
        let offer = |region: &Region| {
            let mut coverage = region.coverage.clone();
            if !steady {
                coverage.merge(&self.vector);
                coverage.merge(&self.own_sealed_logs(ask.target).collect());
            }
            let slots = region.slots.intersection(&asked);
            Offered {
                slots,
                lacks: region.lacks,
                last_owned: self.active,
                coverage,
            }
        };
        self.regions
            .iter()
            .map(offer)
            .filter(|offered| !offered.slots.is_empty())
            .collect()
    }

    fn records_for(
        &self,
        wanted: &Wanted,
        shared: &SlotSet,
        unstable: &Unstable,
        scan: impl Fn(&SlotSet) -> Vec<Record>,
    ) -> Vec<Record> {
        if wanted.lacks == Epoch::NONE {
            let in_shared = |record: &&Record| shared.contains(record.slot());
            unstable
                .not_in(&wanted.holds)
                .filter(in_shared)
                .cloned()
                .collect()
        } else {
            let mut records = scan(shared);
            records.retain(|record| !wanted.holds.includes(record.dot()));
            records
        }
    }
}
