//! The operators of a stage: they ask nodes for view changes, and wait for the answers.

use std::time::Duration;

use causeway::names::{Epoch, NodeId};
use causeway::node::{RequestKind, ViewOutcome, ViewRefusal, ViewRequest};
use tokio::time::Instant;

use super::cluster::{SimCluster, SimNode};
use super::stage::Stage;

/// A change proceeds without a member that is silent for this long.
const PASSED_OVER: Duration = Duration::from_secs(2);

/// The node to ask, and the one to add or remove.
struct Wish {
    via: usize,
    node: NodeId,
}

impl Stage {
    /// Asks one node for a change, and waits for the answer or for the end of that node.
    pub(super) async fn change_view(&self, node: usize, via: usize, kind: RequestKind) {
        let wish = wish(&self.cluster.borrow(), node, via, kind);
        if let Some(wish) = wish {
            self.ask_for(wish, kind).await;
        }
    }

    /// Asks exactly this node to remove exactly that one.
    pub(super) async fn remove_here(&self, node: usize, via: usize, force: bool) {
        let node = self.cluster.borrow().nodes[node].id.clone();
        self.ask_for(Wish { via, node }, RequestKind::Remove { force })
            .await;
    }

    async fn ask_for(&self, Wish { via, node }: Wish, kind: RequestKind) {
        let Some((asked, gate)) = self.asked(via) else {
            return;
        };
        let request = ViewRequest {
            node: node.clone(),
            kind,
            dry_run: false,
        };
        let removes = matches!(kind, RequestKind::Remove { .. });
        self.left_behind.set(self.left_behind.get() + u32::from(removes));
        let (began, was_away) = (Instant::now(), asked.status().away.contains(&node));
        let outcome = tokio::select! {
            biased;
            () = asked.stopped() => return,
            outcome = gate.hold(asked.view_changes.change_view(request)) => outcome,
        };
        self.changes.set(self.changes.get() + u64::from(outcome.is_ok()));
        if let Ok(ViewOutcome::Changed(changed)) = &outcome {
            self.gave_up_slots
                .set(self.gave_up_slots.get() || changed.slots_given_up > 0);
        }
        let is_clean = match outcome {
            // A node that was down, or was passed over, may be back and have returned what it had.
            Ok(_) => {
                let was_quick = !was_away && began.elapsed() < PASSED_OVER;
                was_quick && !self.is_over.get() && self.has_left(&node)
            }
            // A change that may still have been chosen, or goes on, or was accepted by a node that
            // finishes it later.
            Err(
                ViewRefusal::Impossible(_) | ViewRefusal::Unfinished { .. } | ViewRefusal::NoMajority { .. },
            ) => false,
            Err(_) => true,
        };
        if removes && is_clean {
            self.left_behind.set(self.left_behind.get() - 1);
        }
    }

    /// True if a node handed over all that it had and began a new life.
    fn has_left(&self, node: &NodeId) -> bool {
        let cluster = self.cluster.borrow();
        let known = cluster.nodes.iter().find(|one| one.id == *node);
        let running = known.and_then(|one| one.running.as_ref());
        running.is_some_and(|running| running.status().epoch == Epoch::NONE)
    }
}

/// A wish that is possible now, nearly always: otherwise most wishes would be refused.
fn wish(cluster: &SimCluster, node: usize, via: usize, kind: RequestKind) -> Option<Wish> {
    let members = cluster.members();
    let others: Vec<usize> = (0..cluster.nodes.len())
        .filter(|number| !members.contains(number))
        .collect();
    let wished = match kind {
        RequestKind::Add => &others,
        RequestKind::Remove { .. } => &members,
    };
    let node = wished.get(node % wished.len().max(1)).copied().unwrap_or(node);
    let via = *members.get(via % members.len().max(1))?;
    let SimNode { id, .. } = &cluster.nodes[node];
    Some(Wish {
        via,
        node: id.clone(),
    })
}
