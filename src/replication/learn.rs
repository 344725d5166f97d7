//! Which views a node takes note of: those that follow what it knows, on the line that outranks all
//! others.
//!
//! Views of one epoch are decided once, unless disks are lost or a change is forced; then the view says so
//! by a higher generation, and whatever was built upon the other one counts no more.

use std::sync::Arc;

use super::{Closed, Facts};
use crate::names::Epoch;
use crate::placement::View;

impl Facts {
    /// Takes note of a chosen view. True if it is news. A generation outranks every number: along one
    /// line of views it never falls, so a view of a lower one than was known before belongs to a line
    /// that was given up.
    pub fn learn(&mut self, view: &Arc<View>) -> bool {
        self.forget_other_cluster(view);
        if view.epoch <= self.active && self.active != Epoch::NONE {
            return self.learn_of_another_line(view);
        }
        let outranks_it = |known: &Arc<View>| known.generation > view.generation;
        if self
            .views
            .range(..=view.epoch)
            .any(|(_, known)| outranks_it(known))
            || self
                .views
                .get(&view.epoch)
                .is_some_and(|known| known.generation == view.generation)
        {
            return false;
        }
        let (epoch, generation) = (view.epoch, view.generation);
        self.views
            .retain(|known, later| *known < epoch || later.generation >= generation);
        self.views.insert(epoch, Arc::clone(view));
        true
    }

    /// A node that waits to be added belongs to no cluster, whatever it has heard of before.
    fn forget_other_cluster(&mut self, view: &View) {
        let known = self.newest();
        let is_other = known.is_some_and(|known| known.cluster != view.cluster);
        if is_other && view.lists(&self.me.node) && self.is_free() {
            self.views.clear();
            self.closed = Closed::default();
            self.incoming = None;
        }
    }

    /// True for a node that keeps nothing and that no view lists, as far as it knows.
    pub fn is_free(&self) -> bool {
        self.active == Epoch::NONE && self.newest().is_none_or(|view| !view.lists(&self.me.node))
    }

    /// A view of an epoch that has passed here is news only if it outranks what is active: the nodes of
    /// its line decided without knowing of ours. True if it is.
    fn learn_of_another_line(&mut self, view: &Arc<View>) -> bool {
        let generation = self.view().map_or(0, |active| active.generation);
        if view.generation <= generation || self.outranked {
            return false;
        }
        let known = self.views.get(&view.epoch);
        if known.is_some_and(|known| is_same_but_for_generation(known, view)) {
            // What lost disks had decided was found and decided again: one line still.
            self.views.insert(view.epoch, Arc::clone(view));
        } else {
            self.outranked = true;
        }
        true
    }

    /// Takes note of views of epochs that are not closed, so that payload entries of theirs can be
    /// judged; only a node that has no active view yet needs them from others. True if any is news.
    pub fn learn_past(&mut self, views: &[Arc<View>], closed: Closed) -> bool {
        if self.active != Epoch::NONE {
            return false;
        }
        if let Some(view) = views.last() {
            self.forget_other_cluster(view);
        }
        let mut news = closed.below > self.closed.below;
        if news {
            self.closed = closed;
        }
        for view in views {
            news |= self.learn(view);
        }
        news
    }
}

fn is_same_but_for_generation(one: &View, other: &View) -> bool {
    let mut one = one.clone();
    one.generation = other.generation;
    one.raised_ms = other.raised_ms;
    one == *other
}
