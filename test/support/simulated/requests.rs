//! Sends clients' requests to the nodes on a stage, and interprets the answers.

use std::sync::Arc;
use std::time::Duration;

use causeway::names::{Key, Slot};
use causeway::node::{Done, Found, Node, Refusal, Written};
use causeway::protocol::causality::{Payload, Timestamp};
use causeway::protocol::replication;
use causeway::wire::peer as wire;
use tokio::time::{sleep, timeout};

use super::cluster::SimCluster;
use super::stage::Stage;
use crate::support::driver::Cluster;
use crate::support::history::{Action, Answer, Operation, Outcome, Reply, Stamp};

/// A client gives up after this time; a later answer counts as none.
const CLIENT_LIMIT: Duration = Duration::from_secs(3);

impl Cluster for Stage {
    async fn operate(&self, node: usize, operation: &Operation, payload: &str) -> Reply {
        let asked = self.request(node, async |node| ask(&node, operation, payload).await);
        asked.await.unwrap_or_else(|no_answer| no_answer)
    }

    async fn operate_all(&self, node: usize, operations: &[Operation], payload: &str) -> Vec<Reply> {
        if let [operation] = operations {
            return vec![self.operate(node, operation, payload).await];
        }
        let asked = self.request(node, async |node| ask_all(&node, operations, payload).await);
        asked
            .await
            .unwrap_or_else(|no_answer| vec![no_answer; operations.len()])
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

impl Stage {
    /// Sends a node a request, with a time limit. The error is what a missing answer means.
    pub(super) async fn request<T>(
        &self,
        node: usize,
        ask: impl AsyncFnOnce(Arc<Node>) -> T,
    ) -> Result<T, Reply> {
        let number = self.members.borrow().get(node).copied().unwrap_or(node);
        let Some((node, gate)) = self.asked(number) else {
            return Err(Reply::refused("connection refused"));
        };
        let killed = node.stopped();
        tokio::select! {
            biased;
            () = killed => Err(Reply::unknown("connection reset")),
            answer = timeout(CLIENT_LIMIT, gate.hold(ask(Arc::clone(&node)))) => {
                answer.map_err(|_| Reply::unknown("no answer"))
            }
        }
    }
}

/// An operation at one node, which does not borrow the cluster while it waits.
pub fn operate(
    cluster: &SimCluster,
    node: usize,
    key: &str,
    action: Action,
    payload: &str,
) -> impl Future<Output = Reply> + use<> {
    let node = Arc::clone(cluster.node(node).expect("runs"));
    let (key, payload) = (key.to_owned(), payload.to_owned());
    async move { ask(&node, &Operation { key, action }, &payload).await }
}

/// Asks a node, as a client would.
pub async fn ask(node: &Node, operation: &Operation, payload: &str) -> Reply {
    let key = Key::new(&operation.key).expect("the workload names keys");
    let payload = match node.requests.payload(payload) {
        Ok(payload) => payload,
        Err(refusal) => return Reply::refused(refusal.to_string()),
    };
    // All kinds of requests make the same promises: one in four lists the key, or is one of several.
    let by_another_way = Slot::of(format!(
        "{} {}",
        operation.key,
        node.requests.payload_text(&payload)
    ))
    .0
    .is_multiple_of(4);
    let answered = match &operation.action {
        Action::Get if by_another_way => list(node, &key, &payload).await,
        Action::Get => node.requests.get(&key, payload).await.map(found),
        Action::Put(value) if by_another_way => {
            let value = value.clone().into_bytes();
            one_in_a_batch(node, replication::Operation::Put { key, value }, payload).await
        }
        Action::Put(value) => node
            .requests
            .put(&key, value.clone().into(), payload)
            .await
            .map(written),
        Action::Delete if by_another_way => {
            one_in_a_batch(node, replication::Operation::Delete { key }, payload).await
        }
        Action::Delete => node.requests.delete(&key, payload).await.map(written),
    };
    reply(node, answered)
}

/// Asks a node for several operations in one request.
async fn ask_all(node: &Node, operations: &[Operation], payload: &str) -> Vec<Reply> {
    let payload = match node.requests.payload(payload) {
        Ok(payload) => payload,
        Err(refusal) => return vec![Reply::refused(refusal.to_string()); operations.len()],
    };
    let asked = operations.iter().map(|operation| {
        let key = Key::new(&operation.key).expect("the workload names keys");
        match &operation.action {
            Action::Get => replication::Operation::Get { key },
            Action::Put(value) => replication::Operation::Put {
                key,
                value: value.clone().into_bytes(),
            },
            Action::Delete => replication::Operation::Delete { key },
        }
    });
    let all = node.requests.batch(asked.collect(), payload).await;
    let results = all.results.into_iter();
    results.map(|result| reply(node, result.map(done))).collect()
}

fn reply(node: &Node, answered: Result<(Answer, Payload), Refusal>) -> Reply {
    match answered {
        Ok((answer, payload)) => Reply {
            outcome: Outcome::Ok(answer),
            payload: node.requests.payload_text(&payload),
        },
        Err(Refusal::KeyNotFound { payload, .. }) => Reply {
            outcome: Outcome::Ok(Answer::NotFound),
            payload: node.requests.payload_text(&payload),
        },
        Err(refusal @ Refusal::UnknownOutcome { .. }) => Reply::unknown(refusal.to_string()),
        Err(refusal) => Reply::refused(refusal.to_string()),
    }
}

async fn list(node: &Node, key: &Key, payload: &Payload) -> Result<(Answer, Payload), Refusal> {
    let listing = wire::Listing {
        prefix: key.as_str().into(),
        after: None,
        limit: 100,
        keys_only: false,
    };
    let page = node.requests.list(&listing, payload).await?;
    let item = page.items.into_iter().find(|item| item.key == *key);
    let answer = item.map_or(Answer::NotFound, |item| {
        let value = item.value.expect("values were asked for");
        found_answer(&value, item.timestamp)
    });
    Ok((answer, page.payload))
}

async fn one_in_a_batch(
    node: &Node,
    operation: replication::Operation,
    payload: Payload,
) -> Result<(Answer, Payload), Refusal> {
    let mut all = node.requests.batch(vec![operation], payload).await;
    all.results.pop().expect("one result for one operation").map(done)
}

fn done(done: Done) -> (Answer, Payload) {
    match done {
        Done::Found(one) => found(one),
        Done::Written(one) => written(one),
    }
}

fn found(found: Found) -> (Answer, Payload) {
    let value = found.record.value().expect("what is found has a value");
    (found_answer(value, found.record.timestamp()), found.payload)
}

fn found_answer(value: &[u8], timestamp: Timestamp) -> Answer {
    Answer::Found {
        value: String::from_utf8(value.to_vec()).expect("the workload writes text"),
        stamp: Stamp::parse(&timestamp.to_string()),
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
