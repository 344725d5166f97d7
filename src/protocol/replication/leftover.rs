//! Lives that end while their node runs, and what they leave behind.
//!
//! A life ends when its line of views was outranked, or when its disk went back in time: what it holds and
//! says is not what its members rely on. It serves no more. Its records are laid aside, the node begins
//! another life, and that one hands them over as new writes, once the view says that they are to come.

use std::collections::BTreeSet;
use std::ops::Range;

use super::replica_state::{Kept, union_of};
use super::{NoReturn, ReplicaState};
use crate::names::{Dot, Epoch, Member, MemberId, Slot};
use crate::planted::{self, Fault};
use crate::protocol::causality::VersionVector;
use crate::protocol::placement::{LeftBehind, SlotSet, View};

/// A time at which nothing was stored yet; 0 stands for none.
const LONG_AGO_MS: u64 = 1;

/// Why a life ended though its node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It followed a line of views that was given up.
    Outranked,
    /// Its disk went back in time.
    WentBack,
}

/// What an earlier life of this node left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub left: LeftBehind,
    /// The slots that it had, owned or kept.
    pub kept: Vec<Kept>,
    /// Its records, as pages by number.
    pub pages: Range<u64>,
}

impl Leftover {
    /// What there is of each slot. Of those that a disk which went back in time had not gained yet, there is
    /// nothing: the members wait to hear that, too.
    pub fn of_all_slots(&self) -> Vec<Kept> {
        let had = union_of(self.kept.iter().map(|kept| &kept.slots));
        let nothing = Kept {
            slots: SlotSet::all().difference(&had),
            last_owned: Epoch::NONE,
            lacks: Epoch::NONE,
            coverage: VersionVector::default(),
            sources: BTreeSet::new(),
        };
        self.kept.iter().cloned().chain([nothing]).collect()
    }
}

impl ReplicaState {
    /// This life ends. What it owned it keeps, for the next one to hand over.
    pub fn end(&mut self, ending: Ending) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(ending);
        self.is_unproven = false;
        self.laid_aside = self.next_page()..self.next_page();
        self.keep_all();
    }

    /// The number of the next page that is laid aside.
    pub fn next_page(&self) -> u64 {
        let earlier = self.leftovers.iter().map(|leftover| leftover.pages.end);
        earlier.chain([self.laid_aside.end]).max().unwrap_or(0)
    }

    /// The life after one that ended or left: it has nothing but what earlier ones left behind, this one
    /// under `name`, and knows the newest view.
    pub fn next_life(&self, life: Member, name: MemberId) -> Self {
        let mut next = Self {
            position: self.position,
            runs: super::Runs::of_new_life(self.runs.current().id, self.position),
            lost: self.lost.clone(),
            // Honest sessions go on carrying what records claimed here.
            claimed: self.claimed.clone(),
            leftovers: self.leftovers.clone(),
            laid_aside: self.next_page()..self.next_page(),
            // Whatever `VIEW` says: a node that is listed still, in the life that ends, asks to be listed in the
            // next, and another one waits to be added.
            has_left: true,
            ..Self::new(life)
        };
        let newest = self.newest().cloned();
        if self.ended.is_some() && !self.kept.is_empty() {
            next.leftovers.push(Leftover {
                left: LeftBehind {
                    name,
                    by: self.me.clone(),
                    epoch: self.active,
                    since_ms: newest.as_deref().and_then(|winner| self.missed_since_ms(winner)),
                },
                kept: self.kept.to_vec(),
                pages: self.laid_aside.clone(),
            });
        }
        if let Some(newest) = newest {
            for view in self.views.values().filter(|view| !newest.has(view.epoch)) {
                next.note_lost(view);
            }
            // Nobody else may be left who knows which epochs its history has, and which are closed.
            for view in self.views.values().filter(|view| newest.has(view.epoch)) {
                next.learn(view);
            }
            if newest.has(self.closed.below) && newest.has(self.closed.at) {
                next.closed = self.closed.clone();
            }
        }
        next
    }

    /// True if this life may vote for the view of `epoch` though no view lists it: the newest one lists its node
    /// in a life that has ended. That counts only if all others have ended, too.
    pub fn votes_after_all_ended(&self, epoch: Epoch) -> bool {
        let newest = self.newest().filter(|_| self.active == Epoch::NONE);
        newest.is_some_and(|view| {
            let had_ended = view.member(&self.me.node).is_some_and(|listed| listed != self.me);
            had_ended && epoch == view.epoch.next() && !planted::is(Fault::LaterLivesDoNotVote)
        })
    }

    /// What readers of records depend on that were left behind on a lost line: all of that line, since what a
    /// record was written after may come back later than it. Nothing, if the life was of our line.
    pub fn readers_depend_on(&self, left: &LeftBehind) -> Result<Option<Dot>, NoReturn> {
        if self.has(left.epoch) {
            return Ok(None);
        }
        // Until the views of that line are known here, nobody could tell when it has all come.
        let is_known = self.lost.contains_key(&left.epoch);
        is_known
            .then_some(Some(Dot::everything_of(left.epoch)))
            .ok_or(NoReturn::NotNow)
    }

    /// True if the active view says that this is to come back.
    pub fn awaits_return_of(&self, name: MemberId) -> bool {
        self.view().is_some_and(|view| view.removed.contains_key(&name))
    }

    /// True if a slot owned here came from another owner, or is here since it was written; false if all of it
    /// is still to come back. None until every owner was asked.
    pub fn is_held_elsewhere(&self, slot: Slot) -> Option<bool> {
        let region = self.region_of(slot)?;
        let is_ready = region.is_ready();
        let are_all_asked = self.owners_then_and_now(&region.slots).is_subset(&region.sources);
        (is_ready || are_all_asked).then_some(is_ready || planted::is(Fault::OnlyCopyRefused))
    }

    /// Since when this member may have missed deletions, if it followed a line that was given up: from the
    /// first view of either line after the fork, or since it was removed.
    fn missed_since_ms(&self, winner: &View) -> Option<u64> {
        if self.ended != Some(super::Ending::Outranked) {
            return None;
        }
        let ours = self.view()?;
        // Removals are forgotten when nothing of them may be taken any more.
        if !ours.lists(&self.me.node) && ours.left_ms(self.id).is_none() {
            return Some(LONG_AGO_MS);
        }
        let removed = ours.removed.iter();
        let since_fork = removed.filter(|(id, _)| !winner.removed.contains_key(id));
        let since_fork = since_fork.map(|(_, removal)| removal.at_ms);
        let own = ours.left_ms(self.id).into_iter().chain(winner.left_ms(self.id));
        let all = since_fork.chain(own).chain([winner.raised_ms, ours.raised_ms]);
        all.filter(|at_ms| *at_ms > 0).min()
    }
}
