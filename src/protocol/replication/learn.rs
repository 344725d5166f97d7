//! Decides which views a node takes note of: those that follow what it knows, on the highest line.
//!
//! Each epoch has one decided view, unless disks are lost or a change is forced. Such a view begins a
//! line of a higher generation, and views of the lower line do not count any more.

use std::sync::Arc;

use super::{Closed, Ending, ReplicaState};
use crate::names::Epoch;
use crate::planted::{self, Fault};
use crate::protocol::placement::View;

impl ReplicaState {
    /// Takes note of a chosen view. True if it is news.
    ///
    /// A view that follows the active one is to be activated here. Of two that both follow it but not each
    /// other, the one of the higher line counts; the other is noted as lost, since clients may have seen it.
    /// A view of a higher line that does not follow the active one ends this life ([`ReplicaState::end`]).
    pub fn learn(&mut self, view: &Arc<View>) -> bool {
        self.forget_other_cluster(view);
        let Some(tip) = self.newest().cloned() else {
            self.views.insert(view.epoch, Arc::clone(view));
            return true;
        };
        if self
            .views
            .get(&view.epoch)
            .is_some_and(|known| is_twin_of(known, view))
        {
            return self.learn_of_twin(view);
        }
        if tip.has(view.epoch) {
            // A step on the way to the newest view; of use only above the active one.
            let is_news = view.epoch > self.active && !self.views.contains_key(&view.epoch);
            if is_news {
                self.views.insert(view.epoch, Arc::clone(view));
            }
            return is_news;
        }
        let outranks = view.epoch.line() > tip.epoch.line() && !planted::is(Fault::LinesNotCompared);
        if !(view.has(tip.epoch) || outranks) {
            return self.note_lost(view);
        }
        if !view.has(self.active) {
            self.end(Ending::Outranked);
        } else if self.is_replaced_in(view) {
            self.end(Ending::WentBack);
        }
        self.follow_line_of(view);
        true
    }

    /// True if this life was active and the view lists another life of its node: the disk was lost, and
    /// then restored.
    fn is_replaced_in(&self, view: &View) -> bool {
        let listed = view.member(&self.me.node);
        self.active != Epoch::NONE && listed.is_some_and(|listed| listed != self.me)
    }

    /// Drops the views that are not in the history of this one. A life that ended keeps those up to its
    /// active one, since it has to say what it saw.
    fn follow_line_of(&mut self, view: &Arc<View>) {
        let is_dropped = |epoch: &Epoch| !view.has(*epoch) && (self.ended.is_none() || *epoch > self.active);
        let others: Vec<Arc<View>> = self
            .views
            .values()
            .filter(|other| is_dropped(&other.epoch))
            .cloned()
            .collect();
        for other in others {
            self.views.remove(&other.epoch);
            self.note_lost(&other);
        }
        self.lost.retain(|epoch, _| !view.has(*epoch));
        if self.active == Epoch::NONE && !view.has(self.closed.below.max(self.closed.at)) {
            self.closed = Closed::default();
        }
        self.views.insert(view.epoch, Arc::clone(view));
    }

    /// Resolves two views of one epoch, which exist if a member forgot its vote: the one with the higher
    /// fingerprint counts, on every node.
    fn learn_of_twin(&mut self, view: &Arc<View>) -> bool {
        let known = &self.views[&view.epoch];
        if view.fingerprint() < known.fingerprint() || self.ended.is_some() {
            return false;
        }
        if view.epoch <= self.active {
            self.end(Ending::Outranked);
        }
        self.views.retain(|epoch, _| *epoch <= view.epoch);
        self.views.insert(view.epoch, Arc::clone(view));
        true
    }

    /// A node that waits to be added belongs to no cluster, whatever views it knows.
    fn forget_other_cluster(&mut self, view: &View) {
        let known = self.newest();
        let is_other = known.is_some_and(|known| known.cluster != view.cluster);
        if is_other && view.lists(&self.me.node) && self.is_free() {
            self.views.clear();
            self.closed = Closed::default();
            self.incoming = None;
        }
    }

    /// True if this node has no active view, and the newest known view lists no life of it.
    pub fn is_free(&self) -> bool {
        self.active == Epoch::NONE && self.newest().is_none_or(|view| !view.lists(&self.me.node))
    }

    /// Takes note of views of epochs that are not closed, so that payload entries from those can be
    /// judged. Only a node without an active view needs them from others. True if any is news.
    pub fn learn_past(&mut self, views: &[Arc<View>], closed: &Closed) -> bool {
        if self.active != Epoch::NONE {
            return false;
        }
        if let Some(view) = views.last() {
            self.forget_other_cluster(view);
        }
        let mut news = false;
        for view in views {
            news |= self.learn(view);
        }
        let is_of_ours = self
            .newest()
            .is_some_and(|view| view.has(closed.below) && view.has(closed.at));
        if is_of_ours && closed.below > self.closed.below {
            self.closed = closed.clone();
            news = true;
        }
        news
    }
}

fn is_twin_of(known: &View, view: &View) -> bool {
    known.epoch == view.epoch && known != view
}
