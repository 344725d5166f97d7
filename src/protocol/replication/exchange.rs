//! Asks for and answers exchanges (anti-entropy): a replica gets the records that another one has.
//!
//! The taker says what it holds. The giver answers with every record that the taker does not hold, *as
//! one unit over all logs and all slots*, and with what it holds itself. The taker makes records and
//! vectors valid in one commit. Log by log would be wrong: a record that was superseded is not sent, and
//! the one that superseded it may belong to another log (I9).
//!
//! Relaying, catching up, copies and hand-overs are all this one operation with another starting vector.
//! Between members that are active in the same epoch it is *steady*. In the change to a view that the
//! taker has not activated, it is a *hand-over*, which only a sealed giver answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::replica_state::{Kept, Region, union_of};
use super::{Records, ReplicaState, Unstable};
use crate::names::{Epoch, Member, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::causality::{Record, VersionVector};
use crate::protocol::placement::{SlotSet, View};

/// What a taker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeRequest {
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
    /// As in [`Region::lacks`]. A taker that lacks gets everything that `holds` does not include; one
    /// that is ready gets only what may be unstable.
    pub lacks: Epoch,
    pub holds: VersionVector,
    /// Even a taker that lacks has every record of the epochs below this one.
    pub closed_below: Epoch,
}

impl Wanted {
    /// True if the taker lacks nothing of these slots.
    fn is_ready(&self) -> bool {
        self.lacks == Epoch::NONE
    }
}

impl ExchangeRequest {
    /// True between owners of one view; false for a hand-over to a view that is coming.
    pub fn is_steady(&self) -> bool {
        self.target == self.active
    }

    /// Asks for these slots only.
    pub fn restrict(&mut self, slots: &SlotSet) {
        for wanted in &mut self.wanted {
            wanted.slots = wanted.slots.intersection(slots);
        }
        self.wanted.retain(|wanted| !wanted.slots.is_empty());
    }
}

/// Slots that were copied from a giver while the previous view served. The records count only together
/// with a hand-over from the same giver: without it, a record that nobody can vouch for any more would
/// be at one owner only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub slots: SlotSet,
    /// What the giver held when the copy began.
    pub holds: VersionVector,
    /// The giver had every record of the epochs below this one.
    pub closed_below: Epoch,
}

/// The giver's answer, apart from the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeResponse {
    pub giver: Member,
    /// The giver's active epoch.
    pub active: Epoch,
    /// How far the giver holds the logs of the active epoch; empty in a hand-over, where the coverage
    /// says it.
    pub vector: VersionVector,
    pub offered: Vec<Offered>,
    /// Removed members from which nothing may be taken any more: the giver has dropped tombstones.
    pub too_late: BTreeSet<MemberId>,
    /// The dependencies that records claimed without confirmation: honest sessions may carry such entries.
    pub claimed: VersionVector,
}

/// What the giver has of some of the slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    pub slots: SlotSet,
    pub lacks: Epoch,
    /// The last epoch in which the giver owned the slots.
    pub last_owned: Epoch,
    pub coverage: VersionVector,
    /// Members that handed the slots over to the giver and are not listed any more: the taker need not
    /// wait for them.
    pub sources: BTreeSet<MemberId>,
}

/// Why an exchange does not take place. Every reason is temporary: the taker asks again when it knows more.
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

impl ReplicaState {
    /// The steady exchange that this member may ask its siblings for.
    pub fn ask_steady(&self) -> ExchangeRequest {
        let wanted = self.regions.iter().map(|region| Wanted {
            slots: region.slots.clone(),
            lacks: region.lacks,
            holds: self.holds(region),
            closed_below: Epoch::NONE,
        });
        ExchangeRequest {
            taker: self.me.clone(),
            active: self.active,
            target: self.active,
            wanted: wanted.collect(),
        }
    }

    /// The hand-over that this node may ask a sealed owner for, in the change to `target`; `copied` is
    /// what was copied from that owner.
    pub fn ask_hand_over(&self, target: Epoch, copied: &[Copied]) -> Option<ExchangeRequest> {
        let is_coming = |view: &&Arc<View>| view.is_member(&self.me) && target > self.active;
        self.views.get(&target).filter(is_coming)?;
        // A slot that was lost and regained in between counts as gained.
        let mut ahead = self.clone();
        ahead.walk_until(target);
        let held = self.held_of_gained(target, copied);
        let wanted = ahead.regions.iter().flat_map(|region| {
            if region.lacks > self.active {
                divide(region, &held)
            } else {
                vec![Wanted {
                    slots: region.slots.clone(),
                    lacks: region.lacks,
                    holds: self.holds(region),
                    closed_below: Epoch::NONE,
                }]
            }
        });
        Some(ExchangeRequest {
            taker: self.me.clone(),
            active: self.active,
            target,
            wanted: wanted.collect(),
        })
    }

    /// What this node already holds of incoming slots: handed over, copied, or kept from before, in this
    /// order.
    fn held_of_gained(&self, target: Epoch, copied: &[Copied]) -> Vec<Wanted> {
        let closed = |lacks: Epoch| {
            if lacks == Epoch::NONE {
                self.closed.below
            } else {
                Epoch::NONE
            }
        };
        let incoming = self.incoming.iter().filter(|incoming| incoming.target == target);
        let handed_over = incoming
            .flat_map(|incoming| &incoming.regions)
            .filter(|region| !region.sources.is_empty())
            .map(|region| Wanted {
                slots: region.slots.clone(),
                lacks: region.lacks,
                holds: region.coverage.clone(),
                closed_below: closed(region.lacks),
            });
        let copied = copied.iter().map(|copied| Wanted {
            slots: copied.slots.clone(),
            lacks: target,
            holds: copied.holds.clone(),
            closed_below: copied.closed_below,
        });
        let kept = self.kept.iter().map(|kept| Wanted {
            slots: kept.slots.clone(),
            lacks: target,
            holds: kept.coverage.clone(),
            closed_below: closed(kept.lacks),
        });
        handed_over.chain(copied).chain(kept).collect()
    }

    /// What this member holds of the slots that `taker` gains with the view of `target`, as a copy
    /// begins; empty if it owns none of them.
    pub fn offer_copy(&self, taker: &Member, target: Epoch) -> Vec<Copied> {
        let view = self.views.get(&target).filter(|view| view.is_member(taker));
        let Some(view) = view.filter(|_| self.active < target && self.is_member()) else {
            return Vec::new();
        };
        let coming = view.slots_of_node(&taker.node);
        let offer = |region: &Region| Copied {
            slots: region.slots.intersection(&coming),
            holds: self.holds(region),
            closed_below: if region.is_ready() {
                self.closed.below
            } else {
                Epoch::NONE
            },
        };
        let offers = self.regions.iter().map(offer);
        offers.filter(|copied| !copied.slots.is_empty()).collect()
    }

    /// Answers an exchange with what this member holds and with the records that the taker does not hold. For
    /// takers that lack, it searches the stored records; otherwise the unstable ones are enough.
    pub fn give(
        &self,
        ask: &ExchangeRequest,
        unstable: &Unstable,
        stored: &impl Records,
    ) -> Result<(ExchangeResponse, Vec<Record>), NoExchange> {
        self.may_give(ask)?;
        let offered = self.offer(ask);
        let here = self.owned_slots().union(&self.kept_slots());
        let mut records = Vec::new();
        for wanted in &ask.wanted {
            let shared = wanted.slots.intersection(&here);
            records.extend(self.records_for(wanted, &shared, unstable, stored));
        }
        let mut vector = if ask.is_steady() {
            self.vector.clone()
        } else {
            VersionVector::default()
        };
        if planted::is(Fault::LogByLog) && ask.is_steady() {
            vector.retain(|dot| dot.log.member == self.id);
            records.retain(|record| record.dot().log.member == self.id);
        }
        Ok((
            ExchangeResponse {
                giver: self.me.clone(),
                active: self.active,
                vector,
                offered,
                too_late: (*self.too_late).clone(),
                claimed: self.claimed.clone(),
            },
            records,
        ))
    }

    fn may_give(&self, ask: &ExchangeRequest) -> Result<(), NoExchange> {
        if ask.is_steady() {
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

    fn offer(&self, ask: &ExchangeRequest) -> Vec<Offered> {
        let steady = ask.is_steady();
        let asked = union_of(ask.wanted.iter().map(|wanted| &wanted.slots));
        let complete = |coverage: &VersionVector| {
            let mut coverage = coverage.clone();
            if !steady {
                coverage.merge(&self.own_sealed_logs(ask.target).collect());
            }
            coverage
        };
        let of_the_gone = |sources: &BTreeSet<MemberId>| {
            let mut sources = sources.clone();
            sources.retain(|id| self.view().is_some_and(|view| view.member_by_id(*id).is_none()));
            sources
        };
        let owned = self.regions.iter().map(|region| Offered {
            sources: of_the_gone(&region.sources),
            slots: region.slots.intersection(&asked),
            lacks: region.lacks,
            last_owned: self.active,
            coverage: complete(&if steady {
                region.coverage.clone()
            } else {
                self.holds(region)
            }),
        });
        let kept = self.kept.iter().map(|kept: &Kept| Offered {
            slots: kept.slots.intersection(&asked),
            lacks: kept.lacks,
            last_owned: kept.last_owned,
            coverage: complete(&kept.coverage),
            sources: of_the_gone(&kept.sources),
        });
        // This member has nothing of the other slots, or nothing any more. If the view lists both, the
        // taker need not wait for it.
        let here = self.owned_slots().union(&self.kept_slots());
        let nothing = steady.then(|| Offered {
            slots: asked.difference(&here),
            lacks: self.active,
            last_owned: Epoch::NONE,
            coverage: VersionVector::default(),
            sources: BTreeSet::new(),
        });
        owned
            .chain(kept)
            .chain(nothing)
            .filter(|offered| !offered.slots.is_empty())
            .collect()
    }

    fn records_for(
        &self,
        wanted: &Wanted,
        shared: &SlotSet,
        unstable: &Unstable,
        stored: &impl Records,
    ) -> Vec<Record> {
        let has_the_closed = wanted.closed_below >= self.closed.below;
        if wanted.is_ready() || has_the_closed && unstable.knows_all_not_in(&wanted.holds) {
            let in_shared = |record: &&Record| shared.contains(record.slot());
            unstable
                .not_in(&wanted.holds)
                .filter(in_shared)
                .filter(|record| record.dot().log.epoch >= wanted.closed_below)
                .cloned()
                .collect()
        } else {
            let mut records = Vec::new();
            stored.for_each_in(shared, |record| {
                let dot = record.dot();
                if dot.log.epoch >= wanted.closed_below && !wanted.holds.includes(dot) {
                    records.push(record.clone());
                }
            });
            records
        }
    }
}

/// Splits a region by what is already held of its slots; the first entry of `held` with a slot counts for it.
fn divide(region: &Region, held: &[Wanted]) -> Vec<Wanted> {
    let mut rest = region.slots.clone();
    let mut wanted = Vec::new();
    for held in held {
        let slots = rest.intersection(&held.slots);
        if !slots.is_empty() {
            rest = rest.difference(&slots);
            wanted.push(Wanted {
                slots,
                lacks: region.lacks.min(held.lacks),
                ..held.clone()
            });
        }
    }
    if !rest.is_empty() {
        wanted.push(Wanted {
            slots: rest,
            lacks: region.lacks,
            holds: VersionVector::default(),
            closed_below: Epoch::NONE,
        });
    }
    wanted
}
