//! Sessions read and write at random while links are cut and nodes freeze, die and restart; the shared
//! oracle judges the answers.
//!
//! The simulator runs thousands of such histories; here a few run on a real kernel, real disks and HTTP.
#![expect(
    clippy::disallowed_methods,
    reason = "requests and faults block, so each has a thread of the test's own runtime"
)]

use std::cell::RefCell;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};

use crate::ask::{get, put};
use crate::cluster::Cluster;
use crate::patience::{HEALED, Stopwatch, let_pass};
use crate::plan::Plan;
use crate::support::driver::{self, final_reads};
use crate::support::history::{Action, Answer, Operation, Outcome, Reply, Stamp};
use crate::support::oracle::{Rules, judge};
use crate::support::request::{self, Request};
use crate::support::timing::{Calm, late_reads};
use crate::support::workload::{Shape, Workload, spread_keys};

/// A client gives up on a frozen node after this time; any other answer comes within a second.
const PATIENCE: Duration = Duration::from_millis(1500);

pub(crate) struct Clients {
    cluster: Arc<Cluster>,
    since: Stopwatch,
    /// The nodes that clients ask; all nodes if this is empty.
    asked: RefCell<Vec<usize>>,
}

impl Clients {
    pub(crate) fn of(cluster: &Arc<Cluster>) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            since: Stopwatch::start(),
            asked: RefCell::default(),
        }
    }

    /// From now on clients ask only these nodes, by their places in this list.
    pub(crate) fn ask_only(&self, nodes: Vec<usize>) {
        *self.asked.borrow_mut() = nodes;
    }

    /// Runs sessions while `disturb` acts on the cluster. An error is a panic in `disturb`.
    pub(crate) async fn work_during<T: Send + 'static>(
        &self,
        workload: &RefCell<Workload>,
        disturb: impl FnOnce(&Cluster) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let cluster = Arc::clone(&self.cluster);
        let faults = async {
            let ended = spawn_blocking(move || disturb(&cluster)).await;
            workload.borrow_mut().stop();
            ended
        };
        tokio::join!(driver::run(self, workload), faults).1
    }
}

impl driver::Cluster for Clients {
    async fn operate(&self, node: usize, operation: &Operation, payload: &str) -> Reply {
        let request = match &operation.action {
            Action::Get => get(&operation.key, payload),
            Action::Put(value) => put(&operation.key, value, payload),
            Action::Delete => Request::new("DELETE", &format!("/kv-store/{}", operation.key))
                .form(&[("causal_payload", payload)]),
        };
        let cluster = Arc::clone(&self.cluster);
        let node = self.asked.borrow().get(node).copied().unwrap_or(node);
        let sent = spawn_blocking(move || cluster.try_send(node, request.deadline(PATIENCE))).await;
        match sent.expect("sending does not panic") {
            Ok(reply) => told(&reply, operation),
            Err(error) if error.kind() == ErrorKind::NotConnected => Reply::refused(error.to_string()),
            Err(error) => Reply::unknown(error.to_string()),
        }
    }

    fn nodes(&self) -> usize {
        match self.asked.borrow().len() {
            0 => self.cluster.nodes.len(),
            asked => asked,
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).expect("a run is short")
    }

    async fn sleep_us(&self, us: u64) {
        tokio::time::sleep(Duration::from_micros(us)).await;
    }
}

/// The meaning of a reply, according to the contract.
fn told(reply: &request::Reply, operation: &Operation) -> Reply {
    let answer = match (reply.status, &operation.action) {
        (200, Action::Get) => Answer::Found {
            value: reply.text("value"),
            stamp: Stamp::parse(&reply.text("timestamp")),
        },
        (200 | 201, _) => Answer::Written {
            created: reply.status == 201,
            replicas: u32::try_from(reply.number("replicas")).expect("a small number"),
            stamp: Stamp::parse(&reply.text("timestamp")),
        },
        (404, Action::Get | Action::Delete) => Answer::NotFound,
        (504, _) => return Reply::unknown(reply.to_string()),
        _ => return Reply::refused(reply.to_string()),
    };
    Reply {
        outcome: Outcome::Ok(answer),
        payload: reply.payload(),
    }
}

/// Runs sessions while `disturb` acts on the cluster. Then heals it, waits until replicas must agree,
/// reads every key at every node, and has the oracle judge the history.
pub(crate) fn run(plan: Plan, seed: u64, disturb: impl FnOnce(&Cluster) + Send + 'static) {
    let clients = Clients::of(&Arc::new(plan.start()));
    let shape = Shape {
        lanes: 8,
        keys: spread_keys(4, 2),
        operations: 20_000,
        pause_us_max: 20_000,
        ..Shape::default()
    };
    let workload = RefCell::new(Workload::new(seed, shape));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        let ended = clients.work_during(&workload, disturb).await;
        ended.expect("every fault could be made and taken back");
        tokio::time::sleep(HEALED).await;
        final_reads(&clients, &workload).await;
    });
    let workload = workload.into_inner();
    let history = workload.history();
    let verdict = judge(history, &Rules::default());
    println!("seed {seed}: {verdict}");
    assert!(verdict.is_clean(), "seed {seed}: {}", verdict.explain(history));
    // An empty history would be clean, too.
    let counts = verdict.counts;
    assert!(
        counts.acknowledged > 100 && counts.bound > 100 && counts.final_reads > 100,
        "{verdict}"
    );
}

#[test]
fn sessions_stay_causal_while_links_are_cut() {
    run(Plan::new(6, 3), 1, |cluster| {
        let_pass(1.0);
        for (a, b) in [(0, 1), (3, 4), (2, 0)] {
            cluster.cut_link(a, b);
            let_pass(1.5);
            cluster.cut_link(a, (b + 3) % 6);
            let_pass(1.5);
            cluster.heal_links(a);
        }
        cluster.cut_off(1);
        let_pass(3.0);
        cluster.heal_links(1);
        let_pass(1.0);
    });
}

#[test]
fn sessions_stay_causal_while_nodes_freeze() {
    run(Plan::new(5, 2), 2, |cluster| {
        for node in [0, 3, 1, 4, 2] {
            let_pass(0.6);
            cluster.pause(node);
            let_pass(1.2);
            cluster.unpause(node);
        }
        let_pass(1.0);
    });
}

#[test]
fn sessions_stay_causal_while_nodes_die_and_return() {
    run(Plan::new(5, 2), 3, |cluster| {
        for node in [0, 3, 1, 4, 2] {
            let_pass(0.8);
            cluster.kill(node);
            let_pass(0.8);
            cluster.start(node);
            cluster.wait_ready(node);
        }
        let_pass(1.0);
    });
}

#[test]
fn sessions_of_a_whole_cluster_see_every_write_at_once() {
    let clients = Clients::of(&Arc::new(Cluster::start_new(5, 2)));
    let shape = Shape {
        operations: 1500,
        pause_us_max: 10_000,
        ..Shape::default()
    };
    let workload = RefCell::new(Workload::new(4, shape));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        driver::run(&clients, &workload).await;
        final_reads(&clients, &workload).await;
    });
    let workload = workload.into_inner();
    let history = workload.history();
    let verdict = judge(history, &Rules::default());
    assert!(verdict.is_clean(), "{}", verdict.explain(history));
    assert_eq!(
        (verdict.counts.refused, verdict.counts.unknown),
        (0, 0),
        "{verdict}"
    );
    let calm = Calm {
        writes_us: 0..u64::MAX,
        reads_us: 0..u64::MAX,
        grace_us: 500_000,
    };
    let late = late_reads(history, &calm);
    assert!(late.is_empty(), "{late:?}");
}
