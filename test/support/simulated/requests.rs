//! What clients ask of the nodes on a stage, and what comes of it.

use std::time::Duration;

use causeway::causality::{Payload, Timestamp};
use causeway::names::Key;
use causeway::node::{Node, Refusal, Written};
use tokio::time::{sleep, timeout};

use super::stage::Stage;
use crate::support::driver::Cluster;
use crate::support::history::{Action, Answer, Operation, Outcome, Reply, Stamp};

/// A client gives up after this; an answer that takes longer counts as none.
const CLIENT_LIMIT: Duration = Duration::from_secs(3);

impl Cluster for Stage {
    async fn operate(&self, node: usize, operation: &Operation, payload: &str) -> Reply {
        let number = self.members.borrow().get(node).copied().unwrap_or(node);
        let Some((node, gate)) = self.asked(number) else {
            return Reply::refused("connection refused");
        };
        let killed = node.stopped();
        tokio::select! {
            biased;
            () = killed => Reply::unknown("connection reset"),
            reply = timeout(CLIENT_LIMIT, gate.hold(ask(&node, operation, payload))) => {
                reply.unwrap_or_else(|_| Reply::unknown("no answer"))
            }
        }
    }

    fn nodes(&self) -> usize {
        match self.members.borrow().len() {
            0 => self.cluster.borrow().nodes.len(),
            members => members,
        }
    }

    fn now_us(&self) -> u64 {
        self.cluster.borrow().now_us()
    }

    async fn sleep_us(&self, us: u64) {
        sleep(Duration::from_micros(us)).await;
    }
}

/// Asks a node, as a client would.
pub async fn ask(node: &Node, operation: &Operation, payload: &str) -> Reply {
    let key = Key::new(&operation.key).expect("the workload names keys");
    let payload = match node.payload(payload) {
        Ok(payload) => payload,
        Err(refusal) => return Reply::refused(refusal.to_string()),
    };
    let stamp = |timestamp: Timestamp| Stamp::parse(&timestamp.to_string());
    let answered = match &operation.action {
        Action::Get => node.get(&key, payload).await.map(|found| {
            let value = found.record.value().expect("what is found has a value");
            let value = String::from_utf8(value.to_vec()).expect("the workload writes text");
            (
                Answer::Found {
                    value,
                    stamp: stamp(found.record.timestamp()),
                },
                found.payload,
            )
        }),
        Action::Put(value) => node.put(&key, value.clone().into(), payload).await.map(written),
        Action::Delete => node.delete(&key, payload).await.map(written),
    };
    match answered {
        Ok((answer, payload)) => Reply {
            outcome: Outcome::Ok(answer),
            payload: node.payload_text(&payload),
        },
        Err(Refusal::KeyNotFound { payload, .. }) => Reply {
            outcome: Outcome::Ok(Answer::NotFound),
            payload: node.payload_text(&payload),
        },
        Err(refusal @ Refusal::UnknownOutcome { .. }) => Reply::unknown(refusal.to_string()),
        Err(refusal) => Reply::refused(refusal.to_string()),
    }
}

fn written(written: Written) -> (Answer, Payload) {
    let stamp = Stamp::parse(&written.timestamp.to_string());
    (
        Answer::Written {
            created: written.created,
            replicas: written.replicas,
            stamp,
        },
        written.payload,
    )
}
