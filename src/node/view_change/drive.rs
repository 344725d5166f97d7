//! Drives a view change: asks every node again and again for its progress, and orders the next step.
//!
//! `view_change::Change` decides the next step. Any node may drive, and two drivers at once do no harm.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::config::millis;
use crate::names::{Epoch, NodeId};
use crate::node::view_change::ViewChanges;
use crate::node::view_change::view_request::ChangeProgress;
use crate::protocol::placement::View;
use crate::protocol::view_change::{Change, Phase};
use crate::wire::SharedView;
use crate::wire::peer::{Answer, Known, Question};

/// How often a driver asks each node how far it is.
const ORDER_PAUSE: Duration = Duration::from_millis(15);

const ORDER_LIMIT: Duration = Duration::from_millis(350);

/// How often a waiting change logs the nodes that it waits for.
const WAIT_PAUSE: Duration = Duration::from_secs(2);

impl ViewChanges {
    /// Drives the change to a chosen view, until every node that answers serves it.
    pub(crate) async fn drive(self: &Arc<Self>, view: Arc<View>) {
        self.learn_driven(&view).await;
        let state = self.shared.me.state();
        let before = state
            .views
            .range(..view.epoch)
            .next_back()
            .map(|(_, before)| Arc::clone(before));
        let silence_ms = |node: &NodeId| {
            let is_me = *node == self.shared.me.node;
            let silence = self.shared.peers.silence(node).as_millis();
            if is_me || !self.shared.peers.is_away(node) {
                0
            } else {
                u64::try_from(silence).unwrap_or(u64::MAX)
            }
        };
        let began = Instant::now();
        let change = Change::new(before.as_deref(), &view, elapsed_ms(began), silence_ms);
        let change = Mutex::new(change);
        let nodes: Vec<NodeId> = change.lock().nodes().cloned().collect();
        let mut polls: FuturesUnordered<_> = nodes
            .into_iter()
            .map(|node| self.poll_node(node, &change, began))
            .collect();
        let mut told = began;
        while change.lock().phase() != Phase::Done && !self.is_overtaken(view.epoch) {
            tokio::select! {
                biased;
                Some(()) = polls.next() => {}
                () = sleep(ORDER_PAUSE) => self.learn_driven(&view).await,
            }
            let now_ms = elapsed_ms(began);
            let mut change = change.lock();
            if change.step(now_ms) {
                told = Instant::now();
            }
            let progress = progress_of(&change, view.epoch, began);
            if told.elapsed() >= WAIT_PAUSE {
                told = Instant::now();
                let ChangeProgress {
                    phase,
                    waits_for,
                    keys_moved,
                    keys_to_go,
                    ..
                } = &progress;
                tracing::info!(epoch = %view.epoch, ?waits_for, keys_moved, keys_to_go, "view change waits: {phase}");
            }
            *self.driven.lock() = Some(progress);
        }
        // No node waits for a removed driver, and it may be the last to activate.
        if self.shared.me.state().active < view.epoch && !self.is_overtaken(view.epoch) {
            self.activate(view.epoch).await;
        }
        self.driven.lock().take();
        tracing::info!(epoch = %view.epoch, "view change: done, after {} ms", began.elapsed().as_millis());
    }

    /// Learns the driven view again, if the disk had refused it.
    async fn learn_driven(&self, view: &Arc<View>) {
        let state = self.shared.me.state();
        if state.active < view.epoch && !state.views.contains_key(&view.epoch) {
            self.learn(Known {
                views: vec![SharedView(Arc::clone(view))],
                ..self.known()
            })
            .await;
        }
    }

    /// Polls one node with the current order, until the change is done.
    async fn poll_node(self: &Arc<Self>, node: NodeId, change: &Mutex<Change>, began: Instant) {
        // Views are large after many changes: send them only until the node knows them.
        let mut knows = false;
        loop {
            let order = change.lock().order();
            if order.phase == Phase::Done {
                return;
            }
            let report = if node == self.shared.me.node {
                Some(self.follow(order, None).await)
            } else {
                let question = Question::Order {
                    order,
                    known: (!knows).then(|| self.known()),
                };
                match self.shared.peers.call_known(&node, question, ORDER_LIMIT).await {
                    Ok((Answer::Report(report), by)) if report.by == by.id() => Some(report),
                    _ => None,
                }
            };
            match report {
                Some(report) => {
                    knows = report.knows;
                    change.lock().heard(&node, report, elapsed_ms(began));
                }
                None if self.shared.peers.is_dead(&node) => change.lock().refused(&node),
                None => {}
            }
            sleep(ORDER_PAUSE).await;
        }
    }

    /// The progress of the change that is under way, if there is one: as its driver sees it, or from this
    /// node's own part in it.
    pub(crate) fn change_progress(&self) -> Option<ChangeProgress> {
        if let Some(driven) = self.driven.lock().clone() {
            return Some(driven);
        }
        let state = self.shared.me.state();
        let concerns_us = |view: &&Arc<View>| view.is_member(&state.me) || state.is_member();
        let newest = state.newest().filter(|view| view.epoch > state.active);
        let newest = newest.filter(concerns_us)?;
        let progress = self.following.progress.lock();
        let is_current = progress.attempt.target == newest.epoch;
        Some(ChangeProgress {
            epoch: newest.epoch,
            phase: progress.phase.filter(|_| is_current).unwrap_or(Phase::Copy),
            waits_for: Vec::new(),
            keys_moved: progress.keys_moved,
            keys_to_go: progress.keys_to_go.values().sum(),
            since: self.following.followed_for(),
        })
    }
}

fn progress_of(change: &Change, epoch: Epoch, began: Instant) -> ChangeProgress {
    let (keys_moved, keys_to_go) = change.keys();
    ChangeProgress {
        epoch,
        phase: change.phase(),
        waits_for: change.waits_for(elapsed_ms(began)),
        keys_moved,
        keys_to_go,
        since: began.elapsed(),
    }
}

/// A drive's own clock. It does not begin at 0, so that silence from before the drive can be counted.
fn elapsed_ms(since: Instant) -> u64 {
    const BEGIN_MS: u64 = 3_600_000;
    BEGIN_MS + millis(since.elapsed())
}
