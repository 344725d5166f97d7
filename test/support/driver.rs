//! Runs a workload against a cluster: simulated replicas in one process, or containers. All lanes are
//! one future that spawns nothing, so a single-threaded simulator keeps control of the order.

use std::cell::RefCell;
use std::future::Future;

use futures_util::future::join_all;

use super::history::{Operation, Outcome, Reply};
use super::workload::Workload;

/// A cluster under test, as clients see it.
pub trait Cluster {
    /// Sends an operation to one node, with a time limit: a request without an answer is `Unknown`.
    fn operate(&self, node: usize, operation: &Operation, payload: &str) -> impl Future<Output = Reply>;

    /// Sends several operations and gives a reply for each. By default it sends them one by one, each
    /// with the payload of the last success. A cluster that can send them in one request overrides this.
    fn operate_all(
        &self,
        node: usize,
        operations: &[Operation],
        payload: &str,
    ) -> impl Future<Output = Vec<Reply>> {
        async move {
            let (mut payload, mut replies) = (payload.to_owned(), Vec::new());
            for operation in operations {
                let reply = self.operate(node, operation, &payload).await;
                if let Outcome::Ok(_) = reply.outcome {
                    payload.clone_from(&reply.payload);
                }
                replies.push(reply);
            }
            replies
        }
    }

    /// How many nodes can be asked.
    fn nodes(&self) -> usize;

    /// The run's own clock, in microseconds.
    fn now_us(&self) -> u64;

    fn sleep_us(&self, us: u64) -> impl Future<Output = ()>;
}

/// Runs all lanes until the workload is used up or stopped. Borrow it only between awaits.
pub async fn run<C: Cluster>(cluster: &C, workload: &RefCell<Workload>) {
    let lanes = workload.borrow().lanes();
    join_all((0..lanes).map(|lane| run_lane(cluster, workload, lane))).await;
}

async fn run_lane<C: Cluster>(cluster: &C, workload: &RefCell<Workload>, lane: usize) {
    loop {
        let step = workload.borrow_mut().next(lane, cluster.nodes());
        let Some(step) = step else { return };
        cluster.sleep_us(step.pause_us).await;
        let start_us = cluster.now_us();
        let replies = cluster
            .operate_all(step.node, &step.operations, &step.payload)
            .await;
        let end_us = cluster.now_us();
        workload
            .borrow_mut()
            .finished(lane, step, replies, start_us, end_us);
    }
}

/// Reads every key at every node. The caller has healed the cluster and let it come to rest: no write is
/// in flight, and the replicas had the time that the contract allows them.
pub async fn final_reads<C: Cluster>(cluster: &C, workload: &RefCell<Workload>) {
    let steps = workload.borrow_mut().final_steps(cluster.nodes());
    for step in steps {
        let start_us = cluster.now_us();
        let replies = cluster
            .operate_all(step.node, &step.operations, &step.payload)
            .await;
        let end_us = cluster.now_us();
        workload.borrow_mut().record(step, replies, start_us, end_us);
    }
}
