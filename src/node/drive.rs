//! Driving a view change: every node is asked again and again how far it is, and told what comes next.
//!
//! What comes next is decided by `view_change::Change`; any node may drive, and two at once do no harm.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::Node;
use crate::names::NodeId;
use crate::placement::View;
use crate::view_change::{Change, Phase};
use crate::wire::peer::{Answer, Known, Question};

/// How often a driver asks each node how far it is.
const ORDER_PAUSE: Duration = Duration::from_millis(15);

const ORDER_LIMIT: Duration = Duration::from_millis(350);

impl Node {
    /// Drives the change to a chosen view, until every node that answers serves it.
    pub(super) async fn drive(self: &Arc<Self>, view: Arc<View>) {
        self.learn(Known {
            views: vec![crate::wire::SharedView(Arc::clone(&view))],
            ..self.known()
        })
        .await;
        let facts = self.me.facts();
        let before = facts
            .views
            .range(..view.epoch)
            .next_back()
            .map(|(_, before)| Arc::clone(before));
        let silence_ms = |node: &NodeId| {
            let is_me = *node == self.me.member.node;
            let silence = self.peers.silence(node).as_millis();
            if is_me || !self.peers.is_away(node) {
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
        tracing::info!(epoch = %view.epoch, "view change: copying");
        while change.lock().phase() != Phase::Done {
            tokio::select! {
                biased;
                Some(()) = polls.next() => {}
                () = sleep(ORDER_PAUSE) => {}
            }
            let now_ms = elapsed_ms(began);
            let mut change = change.lock();
            if change.step(now_ms) {
                tracing::info!(epoch = %view.epoch, phase = ?change.phase(), "view change");
            }
        }
    }

    /// Gives one node the orders of the moment, again and again.
    async fn poll_node(self: &Arc<Self>, node: NodeId, change: &Mutex<Change>, began: Instant) {
        loop {
            let order = change.lock().order();
            if order.phase == Phase::Done {
                return;
            }
            let report = if node == self.me.member.node {
                Some(self.follow(order, self.known()).await)
            } else {
                let question = Question::Order {
                    order,
                    known: self.known(),
                };
                match self.peers.call(&node, question, ORDER_LIMIT).await {
                    Ok(Answer::Report(report)) => Some(report),
                    _ => None,
                }
            };
            if let Some(report) = report {
                change.lock().heard(&node, report, elapsed_ms(began));
            }
            sleep(ORDER_PAUSE).await;
        }
    }
}

/// A drive's own clock. It does not begin at 0, so that silence from before the drive can be counted.
fn elapsed_ms(since: Instant) -> u64 {
    const BEGIN_MS: u64 = 3_600_000;
    BEGIN_MS + u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
}
