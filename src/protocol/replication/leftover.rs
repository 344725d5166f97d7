//! Ends lives while their node runs, and tracks what they leave behind.
//!
//! A life ends when its line of views was outranked, or when its disk went back in time: other members
//! cannot rely on what it holds and says. It stops serving, and its records are laid aside. The node
//! begins another life, which hands them over as new writes once the view announces them.

use std::collections::BTreeSet;
use std::ops::Range;

use super::replica_state::{Kept, union_of};
use super::{NoReturn, ReplicaState};
use crate::names::{Dot, Epoch, Member, MemberId, Slot};
use crate::planted::{self, Fault};
use crate::protocol::causality::VersionVector;
use crate::protocol::placement::{LeftBehind, SlotSet, View};

/// A time at which nothing was stored yet; 0 means no time.
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
    /// What there is of each slot. A disk that went back in time may not have gained some slots yet:
    /// there is nothing of those, and the members wait to hear that, too.
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
    /// The leftovers of earlier lives of this node, in the form sent to other nodes.
    pub fn left_behind(&self) -> Vec<LeftBehind> {
        let left = self.leftovers.iter().map(|leftover| &leftover.left);
        left.cloned().collect()
    }

    /// Ends this life. It keeps what it owned, for the next one to hand over.
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

    /// The life after one that ended or left. It has only what earlier lives left behind, this one under
    /// `name`, and it knows the newest view.
    pub fn next_life(&self, life: Member, name: MemberId) -> Self {
        let mut next = Self {
            position: self.position,
            runs: super::Runs::of_new_life(self.runs.current().id, self.position),
            lost: self.lost.clone(),
            // Honest sessions still carry what records claimed here.
            claimed: self.claimed.clone(),
            leftovers: self.leftovers.clone(),
            laid_aside: self.next_page()..self.next_page(),
            // Whatever `VIEW` says: if the ended life is still listed, its node asks to be listed in the
            // next one; otherwise it waits to be added.
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
            // No other node may be left that knows which epochs the newest view's history has, and which
            // are closed.
            for view in self.views.values().filter(|view| newest.has(view.epoch)) {
                next.learn(view);
            }
            if newest.has(self.closed.below) && newest.has(self.closed.at) {
                next.closed = self.closed.clone();
            }
        }
        next
    }

    /// True if this life may vote for the view of `epoch` though no view lists it: the newest one lists
    /// its node in a life that has ended. The vote counts only if all others have ended, too.
    pub fn votes_after_all_ended(&self, epoch: Epoch) -> bool {
        let newest = self.newest().filter(|_| self.active == Epoch::NONE);
        newest.is_some_and(|view| {
            let had_ended = view.member(&self.me.node).is_some_and(|listed| listed != self.me);
            had_ended && epoch == view.epoch.next() && !planted::is(Fault::LaterLivesDoNotVote)
        })
    }

    /// What readers of records that this life left behind depend on. On a lost line that is all of the
    /// line, since a record may come back earlier than the writes that it follows. Nothing, if the life
    /// was of our line.
    pub fn readers_depend_on(&self, left: &LeftBehind) -> Result<Option<Dot>, NoReturn> {
        if self.has(left.epoch) {
            return Ok(None);
        }
        // Until the views of that line are known here, this node cannot tell when all of it has come.
        let is_known = self.lost.contains_key(&left.epoch);
        is_known
            .then_some(Some(Dot::everything_of(left.epoch)))
            .ok_or(NoReturn::NotNow)
    }

    /// True if the active view says that something is to come back under this name.
    pub fn awaits_return_of(&self, name: MemberId) -> bool {
        self.view().is_some_and(|view| view.removed.contains_key(&name))
    }

    /// True if a slot owned here came from another owner, or has been here from the start; false if all
    /// of it is still to come back. None until every owner was asked.
    pub fn is_held_elsewhere(&self, slot: Slot) -> Option<bool> {
        let region = self.region_of(slot)?;
        let is_ready = region.is_ready();
        let are_all_asked = self.owners_then_and_now(&region.slots).is_subset(&region.sources);
        (is_ready || are_all_asked).then_some(is_ready || planted::is(Fault::OnlyCopyRefused))
    }

    /// Since when this member may have missed deletions, if it followed a line that was given up: since
    /// the first view of either line after the fork, or its own removal, whichever was first.
    fn missed_since_ms(&self, winner: &View) -> Option<u64> {
        if self.ended != Some(super::Ending::Outranked) {
            return None;
        }
        let ours = self.view()?;
        // A removal is forgotten when nothing may be taken from its member any more.
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
