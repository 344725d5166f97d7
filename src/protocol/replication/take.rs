//! Applies an exchange at the taker: how far it holds each log, which members it has heard, and which
//! slots that makes ready (I6, I9).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::replica_state::{Region, owners_of, union_of};
use super::{Confirm, ExchangeRequest, ExchangeResponse, Incoming, NoExchange, Offered, ReplicaState};
use crate::names::{Dot, Epoch, Member, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::placement::{SlotSet, View};

impl ReplicaState {
    /// Takes what a steady exchange brought, apart from the records, which are in the same commit.
    pub fn take_steady(&mut self, ask: &ExchangeRequest, given: &ExchangeResponse) -> Result<(), NoExchange> {
        if self.active != ask.active || given.active != ask.active || self.is_sealed() {
            return Err(NoExchange::Stale);
        }
        let is_listed = self.view().is_some_and(|view| view.is_member(&given.giver));
        if !is_listed || !self.is_member() {
            return Err(NoExchange::NotListed);
        }
        for dot in given.vector.iter() {
            if dot.log.epoch == self.active && self.is_sibling(dot.log.member) {
                self.vector.raise(dot);
            }
        }
        let (id, counts) = (given.giver.id(), self.counts());
        let regions = std::mem::take(Arc::make_mut(&mut self.regions));
        self.regions = Arc::new(merge_offers(regions, given, counts, |region| {
            region.heard.insert(id);
        }));
        self.settle();
        Ok(())
    }

    /// Takes what a hand-over brought into the incoming slots.
    pub fn take_hand_over(
        &mut self,
        ask: &ExchangeRequest,
        given: &ExchangeResponse,
    ) -> Result<(), NoExchange> {
        if self.active != ask.active || self.active >= ask.target {
            return Err(NoExchange::Stale);
        }
        // Only members of the previous view may bring old dots. The other owners have given up the logs
        // of anyone else, so those records would come back at one owner only.
        let before = self.views.range(..ask.target).next_back();
        let is_listed = before.is_some_and(|(_, view)| view.is_member(&given.giver));
        if (!is_listed && !planted::is(Fault::OldDotsTaken)) || self.ended.is_some() {
            return Err(NoExchange::NotListed);
        }
        let incoming = self.incoming_for(ask);
        let regions = merge_offers(incoming.regions, given, self.counts(), |_| {});
        self.incoming = Some(Incoming {
            target: ask.target,
            regions,
        });
        Ok(())
    }

    /// The incoming slots so far, and those that only this exchange asked for.
    fn incoming_for(&self, ask: &ExchangeRequest) -> Incoming {
        let known = self.incoming.as_ref();
        let mut incoming = known
            .filter(|incoming| incoming.target == ask.target)
            .cloned()
            .unwrap_or_else(|| Incoming {
                target: ask.target,
                regions: Vec::new(),
            });
        let known = union_of(incoming.regions.iter().map(|region| &region.slots));
        let gained = ask
            .wanted
            .iter()
            .map(|wanted| Region::gained(wanted.slots.difference(&known), wanted.lacks));
        incoming
            .regions
            .extend(gained.filter(|region| !region.slots.is_empty()));
        incoming
    }

    /// Gives up what was handed over for another view than that of `target`; returns the slots.
    pub fn give_up_incoming(&mut self, target: Epoch) -> SlotSet {
        let others = self.incoming.take_if(|incoming| incoming.target != target);
        let regions = others.map_or_else(Vec::new, |incoming| incoming.regions);
        union_of(regions.iter().map(|region| &region.slots))
    }

    /// Makes ready the regions that every member which could bring them has handed over. Notes the slots
    /// that became ready although an owner that might have held more is gone for good.
    pub(super) fn settle(&mut self) {
        for at in 0..self.regions.len() {
            let region = &self.regions[at];
            if region.is_ready()
                || !self.owners_then_and_now(&region.slots).is_subset(&region.sources)
                || self.awaits_a_removed_owner(region)
            {
                continue;
            }
            if self.lost_an_owner(region) {
                self.gone = self.gone.union(&region.slots);
            }
            Arc::make_mut(&mut self.regions)[at].lacks = Epoch::NONE;
        }
    }

    /// True if a removed member had these slots, did not hand them over, and was not given up: until it
    /// returns them, no owner knows what there is.
    pub(super) fn awaits_a_removed_owner(&self, region: &Region) -> bool {
        let mut lost = self.lost_owners(region);
        !planted::is(Fault::RemovedNotAwaited) && lost.any(|owner| self.awaits_life(region, owner.id()))
    }

    /// True if a member that owned any of these slots in an epoch that is not closed is not listed any
    /// more, and has not handed them over.
    fn lost_an_owner(&self, region: &Region) -> bool {
        self.lost_owners(region).next().is_some()
    }

    fn lost_owners<'a>(&'a self, region: &'a Region) -> impl Iterator<Item = Member> + 'a {
        let past = self
            .views_of(self.closed.below, self.active)
            .filter(|view| view.epoch < self.active);
        past.flat_map(|view| owners_of(view, &region.slots))
            .filter(|owner| {
                let is_listed = self.view().is_some_and(|active| active.is_member(owner));
                !is_listed && !self.is_back(region, owner.id())
            })
    }

    /// True if the member was removed, or served a lost line.
    pub(super) fn is_waited_for(&self, view: &View, id: MemberId) -> bool {
        view.removed.contains_key(&id) || self.owners_of_lost().any(|owner| owner.id() == id)
    }

    /// Notes that what these removed members keep may not be taken any more. A sibling may have taken it just
    /// in time, so it is given up only after all siblings were heard once more. True if that is news.
    pub fn expire(&mut self, members: &BTreeSet<MemberId>) -> bool {
        let Some(view) = self.view().cloned() else {
            return false;
        };
        let is_news = |id: &&MemberId| self.is_waited_for(&view, **id) && !self.expired.contains(id);
        let news: Vec<MemberId> = members.iter().filter(is_news).copied().collect();
        if news.is_empty() {
            return false;
        }
        self.expired.extend(news);
        let siblings: Vec<MemberId> = self.siblings().iter().map(Member::id).collect();
        for region in Arc::make_mut(&mut self.regions) {
            region
                .heard
                .retain(|id| !siblings.contains(id) || planted::is(Fault::TimeUpUnheard));
        }
        self.settle();
        true
    }

    /// Notes that this owner has all that a removed member keeps of the slots in `confirmed`: it need
    /// not wait for that member. True if that is news.
    pub fn note_confirmed(&mut self, confirm: &Confirm, confirmed: &SlotSet) -> bool {
        let keeper = &confirm.keeper;
        if self.view().is_some_and(|view| view.is_member(keeper)) {
            return false;
        }
        let confirmed = confirm
            .kept
            .iter()
            .map(|kept| (kept.slots.intersection(confirmed), kept));
        confirmed.fold(false, |news, (slots, kept)| {
            news | self.note_returned(keeper.id(), &kept.sources, &slots)
        })
    }

    /// Notes that a removed member has returned everything that it kept of these slots. True if that is news.
    ///
    /// That includes what others had handed over to it. Those that are still listed may have more.
    pub fn note_returned(&mut self, from: MemberId, sources: &BTreeSet<MemberId>, slots: &SlotSet) -> bool {
        let before = Arc::clone(&self.regions);
        let mut sources = sources.clone();
        sources.retain(|id| self.view().is_some_and(|view| view.member_by_id(*id).is_none()));
        sources.insert(from);
        let mut regions = Vec::new();
        for mut rest in std::mem::take(Arc::make_mut(&mut self.regions)) {
            let returned = rest.slots.intersection(slots);
            if !returned.is_empty() {
                let mut region = Region {
                    slots: returned,
                    ..rest.clone()
                };
                region.sources.extend(&sources);
                rest.slots = rest.slots.difference(&region.slots);
                regions.push(region);
            }
            if !rest.slots.is_empty() {
                regions.push(rest);
            }
        }
        self.regions = Arc::new(join_alike(regions));
        self.settle();
        // Slots that came back do not count as gone any more.
        let gone = self.gone.difference(slots);
        let is_less = gone != self.gone;
        self.gone = gone;
        is_less || before != self.regions
    }
}

/// Merges what a giver offers into the taker's regions, splitting those that it offers in part.
fn merge_offers(
    regions: Vec<Region>,
    given: &ExchangeResponse,
    counts: impl Fn(Dot) -> bool,
    mut note: impl FnMut(&mut Region),
) -> Vec<Region> {
    let mut merged = Vec::new();
    for mut rest in regions {
        for offered in &given.offered {
            let slots = rest.slots.intersection(&offered.slots);
            if slots.is_empty() {
                continue;
            }
            rest.slots = rest.slots.difference(&slots);
            let mut region = Region {
                slots,
                ..rest.clone()
            };
            lay_over(&mut region, offered, given);
            region.coverage.retain(&counts);
            note(&mut region);
            merged.push(region);
        }
        if !rest.slots.is_empty() {
            merged.push(rest);
        }
    }
    join_alike(merged)
}

fn lay_over(region: &mut Region, offered: &Offered, given: &ExchangeResponse) {
    region.coverage.merge(&offered.coverage);
    region.sources.insert(given.giver.id());
    region.sources.extend(&offered.sources);
    // An owner that lost the slot earlier does not know what became stable after that.
    let recent = offered.last_owned.next() >= region.lacks || planted::is(Fault::LacksLoweredByAnyOwner);
    if recent && offered.lacks < region.lacks {
        region.lacks = offered.lacks;
    }
}

/// Joins the regions that differ only in their slots.
pub(super) fn join_alike(regions: Vec<Region>) -> Vec<Region> {
    let mut joined: Vec<Region> = Vec::new();
    for region in regions {
        let alike = |other: &&mut Region| {
            (other.lacks, &other.coverage, &other.sources, &other.heard)
                == (region.lacks, &region.coverage, &region.sources, &region.heard)
        };
        match joined.iter_mut().find(alike) {
            Some(other) => other.slots = other.slots.union(&region.slots),
            None => joined.push(region),
        }
    }
    joined
}
