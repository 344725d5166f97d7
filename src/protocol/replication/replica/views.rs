//! Changes the view of a replica in a batch: votes, learned views, the seal, the activation, and the end of a life.

use std::sync::Arc;

use super::{NotDone, Replica};
use crate::names::{Epoch, Member, MemberId};
use crate::planted::{self, Fault};
use crate::protocol::placement::{SlotSet, View};
use crate::protocol::replication::{Closed, Ending, Records};
use crate::protocol::view_change::{Acceptor, Ballot, Vote};

impl<R: Records> Replica<'_, R> {
    /// Promises to accept no lower ballot.
    pub fn promise(&mut self, epoch: Epoch, ballot: &Ballot) -> Vote {
        self.vote(epoch, |acceptor| acceptor.promise(ballot))
    }

    /// Accepts a view under a ballot.
    pub fn accept(&mut self, epoch: Epoch, ballot: &Ballot, view: &Arc<View>) -> Vote {
        self.vote(epoch, |acceptor| acceptor.accept(ballot, view))
    }

    fn vote(&mut self, epoch: Epoch, decide: impl FnOnce(&mut Acceptor) -> Vote) -> Vote {
        let state = &self.state;
        let is_new = state.active == Epoch::NONE && state.views.is_empty() && !state.has_left;
        let in_first = epoch == Epoch::FIRST && is_new;
        let in_next = state.active != Epoch::NONE && epoch == state.active.next() && state.is_member();
        if !(in_first || in_next && !state.is_between_views() || state.votes_after_all_ended(epoch)) {
            return Vote::NotVoting;
        }
        self.effects.changed.acceptors = !planted::is(Fault::VotesNotStored);
        decide(self.acceptors.entry(epoch).or_default())
    }

    /// Learns views, those of lost lines too, and what is known of closed epochs. `now_ms` is the most likely time.
    pub fn learn(&mut self, views: &[Arc<View>], lost: &[Arc<View>], closed: &Closed, now_ms: u64) {
        let mut news = self.state.learn_past(views, closed);
        for view in views.iter().chain(lost) {
            news |= self.state.learn(view);
        }
        self.state.date_lost(now_ms);
        if self.state.is_out() {
            // No hand-over vouches for slots that were copied for a view that is not served here.
            self.forget_slots(&SlotSet::all());
            news |= self.state.incoming.take().is_some();
        }
        if let Some(newest) = self.state.newest().filter(|_| self.state.is_passed_by()) {
            let target = newest.epoch;
            self.activate(target);
        }
        self.effects.changed.standing |= news;
    }

    /// Seals this replica for a view that it knows: it takes no write until that view is active.
    pub fn seal(&mut self, target: Epoch) {
        if self.state.views.contains_key(&target) && self.state.seal(target) {
            self.effects.changed.standing = true;
        }
    }

    /// Activates a view. Copies that no hand-over vouches for are dropped.
    pub fn activate(&mut self, target: Epoch) {
        let uncounted = self.uncounted(target);
        self.state.activate(target);
        if self.state.active != target {
            return;
        }
        if !planted::is(Fault::CopiesNotVouchedFor) {
            self.forget_slots(&uncounted);
        }
        if planted::is(Fault::DroppedAtActivation) {
            let lost = self.state.kept_slots();
            self.state.kept = Default::default();
            self.forget_slots(&lost);
        }
        self.acceptors.retain(|epoch, _| *epoch > target);
        self.effects.changed.standing = true;
        self.effects.changed.vector = true;
        self.effects.changed.acceptors = true;
    }

    /// Remembers that an epoch is closed.
    pub fn close(&mut self, closed: Closed) {
        self.effects.changed.standing |= self.state.close(closed);
    }

    /// Ends this life, whose disk went back in time.
    pub fn end(&mut self, life: &Member, ending: Ending) {
        if self.state.me == *life && self.state.ended.is_none() {
            self.state.end(ending);
            self.effects.changed.standing = true;
        }
    }

    /// Notes that no member that answers has seen this member further than its disk shows.
    pub fn prove(&mut self) {
        self.state.is_unproven = false;
    }

    /// Begins the node's next life, unless this one still keeps records that are not laid aside.
    pub fn leave(&mut self, life: Member, name: MemberId) -> Result<(), NotDone> {
        let is_laid_aside =
            self.state.ended.is_some() && self.records.is_empty() && self.effects.winners.is_empty();
        let keeps_nothing = self.state.is_leaving() && self.state.kept.is_empty();
        if !(is_laid_aside || keeps_nothing) {
            return Err(NotDone::MovedOn);
        }
        self.state = self.state.next_life(life, name);
        self.acceptors.clear();
        self.forget_slots(&SlotSet::all());
        self.effects.changed.life = true;
        Ok(())
    }

    /// Slots of which only copies are here that no hand-over for `target` vouches for: copies for that view, or for a
    /// view that was given up. Copies for a later view do not count among them: their hand-over may still come.
    pub fn uncounted(&self, target: Epoch) -> SlotSet {
        let later = self.state.views.get(&self.attempt.target);
        let later = later.filter(|view| view.epoch > target);
        let coming = later.map(|view| view.slots_of_member(&self.state.me));
        let counted = self.state.owned_slots().union(&self.state.kept_slots());
        let counted = counted.union(&self.state.handed_over(target));
        SlotSet::all().difference(&counted.union(&coming.unwrap_or_default()))
    }
}
