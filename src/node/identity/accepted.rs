//! The view that this node accepted last, as proposers had it chosen: it may be chosen without any node knowing.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::names::Epoch;
use crate::protocol::placement::View;

/// The view that this node accepted last, and when.
#[derive(Debug, Default)]
pub(crate) struct Accepted(Mutex<Option<(Instant, Arc<View>)>>);

impl Accepted {
    pub(crate) fn note(&self, view: Arc<View>) {
        *self.0.lock() = Some((Instant::now(), view));
    }

    /// True if this member accepted a view of an epoch after this one: it may be chosen.
    pub(crate) fn may_be_chosen_after(&self, epoch: Epoch) -> bool {
        let accepted = self.0.lock();
        accepted.as_ref().is_some_and(|(_, view)| view.epoch > epoch)
    }

    /// The view accepted for `epoch`, if that was at least `patience` ago.
    pub(crate) fn undecided(&self, epoch: Epoch, patience: Duration) -> Option<Arc<View>> {
        let accepted = self.0.lock();
        let (since, view) = accepted.as_ref()?;
        let is_next = view.epoch.number() == epoch.number();
        (is_next && since.elapsed() >= patience).then(|| Arc::clone(view))
    }
}
