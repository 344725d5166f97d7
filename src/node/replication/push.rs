//! Pushes this node's writes to its siblings, in the order of their numbers.

use std::sync::Arc;

use tokio::time::Instant;

use crate::node::replication::Replication;
use crate::protocol::causality::Record;
use crate::protocol::replication::{Push, ReplicaState, pages};
use crate::wire::peer::{Answer, Question};

impl Replication {
    /// Pushes this node's writes, which begin at number `first` and follow number `after`, to the siblings
    /// in step. Must be called in the order of the numbers. A batch of large values takes several pushes,
    /// because a frame cannot hold all of it.
    pub(crate) fn push(
        self: &Arc<Self>,
        state: &ReplicaState,
        after: u64,
        first: u64,
        records: Vec<Record>,
        deadline: Instant,
    ) {
        let (mut first, mut after) = (first, after);
        for page in pages(records) {
            let next = first + page.len() as u64;
            self.push_page(state, after, first, &page, deadline);
            (after, first) = (next - 1, next);
        }
    }

    fn push_page(
        self: &Arc<Self>,
        state: &ReplicaState,
        after: u64,
        first: u64,
        records: &[Record],
        deadline: Instant,
    ) {
        let Some(view) = state.view() else { return };
        let stable = self.shared.acks.stable().number(state.own_log());
        for sibling in self.shared.acks.pushed_to() {
            let Some(member) = view.member_by_id(sibling) else {
                continue;
            };
            let push = Push {
                epoch: state.active,
                first,
                after,
                records: records.to_vec(),
                stable,
            };
            let question = Question::Push(push);
            let begun = self.shared.peers.begin(&member, question.clone());
            let (node, epoch) = (Arc::clone(self), state.active);
            self.shared.tasks.spawn(async move {
                let answer = match begun {
                    Ok(pending) => pending.answer(deadline).await,
                    Err(_) => {
                        // Boxed because it is rare and large: inline it would make every push task larger.
                        let limit = deadline.saturating_duration_since(Instant::now());
                        Box::pin(node.shared.peers.call_member(&member, question, limit)).await
                    }
                };
                match answer {
                    Ok(Answer::Held { epoch, held }) => {
                        node.shared.acks.acknowledged(epoch, sibling, &held, true)
                    }
                    _ => node.shared.acks.fell_behind(epoch, sibling),
                }
            });
        }
    }
}
