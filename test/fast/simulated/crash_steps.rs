//! View changes in which a node is killed at every step: after each store by any node, each node with a
//! part in the change dies once, and restarts soon or much later.
//!
//! Then the others serve. The change completes or was never agreed, without a second request. When all
//! nodes are back, no acknowledged write is lost.

use std::cell::RefCell;
use std::time::Duration;

use causeway::node::{NodeStatus, RequestKind, ViewOutcome};
use http::Method;
use tokio::time::{Instant, sleep};

use crate::simulated::client::{Door, Ending, form};
use crate::simulated::cluster::{REMOVE, SimCluster};
use crate::simulated::simulate;
use crate::simulated::stage::Stage;
use crate::support::driver;
use crate::support::oracle::{Rules, judge};
use crate::support::shape::{Shape, spread_keys};
use crate::support::workload::Workload;

/// Clients work for this long before the change begins.
const BEFORE: Duration = Duration::from_millis(100);

/// A node that restarts soon is down for this long; the others have not detected it by then.
const SOON: Duration = Duration::from_millis(300);

/// After this time a change whose driver is silent was taken over and completed, and one that was not
/// agreed is forgotten.
const SETTLED: Duration = Duration::from_secs(12);

/// All nodes are back and replicas are equal within this time.
const RECOVERED: Duration = Duration::from_secs(30);

/// A change, and the nodes with a part in it.
struct Scene {
    name: &'static str,
    /// Nodes of the first view, with K = 2; those after them wait to be added.
    listed: usize,
    spares: usize,
    kind: RequestKind,
    node: usize,
    via: usize,
    victims: &'static [usize],
}

const SCENES: [Scene; 5] = [
    Scene {
        name: "a partition is formed",
        listed: 5,
        spares: 1,
        kind: RequestKind::Add,
        node: 5,
        via: 0,
        // The driver and old owner, its sibling, an owner elsewhere, the proxy that becomes an owner,
        // the node that joins.
        victims: &[0, 1, 2, 4, 5],
    },
    Scene {
        name: "a partition is formed, and a new owner drives",
        listed: 5,
        spares: 1,
        kind: RequestKind::Add,
        node: 5,
        via: 4,
        victims: &[4],
    },
    Scene {
        name: "a proxy takes a replica's place",
        listed: 5,
        spares: 0,
        kind: REMOVE,
        node: 1,
        via: 2,
        // The sibling, the node that leaves, the driver, the node that replaces it.
        victims: &[0, 1, 2, 4],
    },
    Scene {
        name: "a partition is dissolved",
        listed: 4,
        spares: 0,
        kind: REMOVE,
        node: 3,
        via: 0,
        // The driver and new owner, its sibling, the old owner that becomes a proxy, the leaving node.
        victims: &[0, 1, 2, 3],
    },
    Scene {
        name: "a node removes itself",
        listed: 4,
        spares: 0,
        kind: REMOVE,
        node: 3,
        via: 3,
        victims: &[3],
    },
];

#[derive(Debug, Clone, Copy)]
struct Crash {
    victim: usize,
    /// Counted from the request.
    at_ms: u64,
    soon_back: bool,
}

impl Scene {
    /// Runs the change and judges the outcome. Returns the milliseconds, counted from the request, in
    /// which something was stored.
    fn run(&self, crash: Option<Crash>) -> Result<Vec<u64>, String> {
        simulate(async move {
            let mut cluster = SimCluster::with_spares(1, self.listed, self.spares, 2);
            for node in &cluster.nodes {
                node.disk.set_sync_ms(2);
            }
            cluster.start_all().await;
            let stage = Stage::new(cluster);
            stage.ask_only((0..self.listed).collect());
            let shape = Shape {
                operations: 120,
                lanes: 3,
                keys: spread_keys(6, 2),
                pause_us_max: 15_000,
                ..Shape::default()
            };
            let workload = RefCell::new(Workload::new(1, shape));
            let (_, steps, ()) = tokio::join!(
                driver::run(&stage, &workload),
                self.change(&stage, crash.is_none()),
                strike(&stage, crash)
            );
            sleep(SETTLED).await;
            self.is_settled(&stage).await?;
            bring_back(&stage).await;
            sleep(SETTLED).await;
            let unequal = stage.cluster.borrow().differences();
            if !unequal.is_empty() {
                return Err(format!("replicas differ: {unequal:?}"));
            }
            stage.ask_members();
            driver::final_reads(&stage, &workload).await;
            let history = workload.into_inner().history().clone();
            // If a node is removed while it is down, its last writes return when it does; readers do not
            // wait for them.
            let goes = crash.is_some_and(|crash| self.kind == REMOVE && crash.victim == self.node);
            let rules = Rules {
                lasting_replicas: 1 + u32::from(goes),
                ..Rules::default()
            };
            let verdict = judge(&history, &rules);
            if verdict.is_clean() {
                Ok(steps)
            } else {
                Err(verdict.explain(&history).to_string())
            }
        })
    }

    /// Asks for the change, and watches what is stored until the answer comes.
    async fn change(&self, stage: &Stage, must_succeed: bool) -> Vec<u64> {
        sleep(BEFORE).await;
        let (change, life) = {
            let cluster = stage.cluster.borrow();
            let change = cluster.change_view(self.via, self.node, self.kind);
            (change, cluster.nodes[self.via].life.clone())
        };
        let mut steps = Vec::new();
        tokio::select! {
            biased;
            () = life.cancelled() => {}
            outcome = change => {
                let is_done = matches!(outcome, Ok(ViewOutcome::Changed(_)));
                assert!(is_done || !must_succeed, "{}: {outcome:?}", self.name);
            }
            () = watch(stage, &mut steps) => {}
        }
        steps
    }

    /// Checks that no node changes the view, that all running members serve in the same one, and that
    /// each of them takes writes of all keys.
    async fn is_settled(&self, stage: &Stage) -> Result<(), String> {
        let doors: Vec<Door> = {
            let cluster = stage.cluster.borrow();
            let members = cluster.members();
            let status = |number: &usize| cluster.node(*number).expect("runs").status();
            let statuses: Vec<NodeStatus> = members.iter().map(status).collect();
            let epoch = statuses.iter().map(|one| one.epoch).max();
            let settled = |one: &NodeStatus| Some(one.epoch) == epoch && one.change.is_none() && one.ready;
            if !statuses.iter().all(settled) {
                return Err(format!("is not settled:\n{}", cluster.describe()));
            }
            members
                .iter()
                .map(|number| Door::of(&cluster.nodes[*number]))
                .collect()
        };
        for (number, door) in doors.iter().enumerate() {
            for key in spread_keys(6, 1) {
                let path = format!("/kv-store/probe-{number}-{key}");
                let request = form(Method::PUT, &path, &[("val", "1"), ("causal_payload", "")]);
                match door.send(request, Duration::from_secs(3)).await {
                    (Ending::Answered(reply), _) if reply.status().is_success() => {}
                    (ending, took) => return Err(format!("{path} after {took:?}: {ending:?}")),
                }
            }
        }
        Ok(())
    }
}

/// Notes each millisecond in which a disk stored something.
async fn watch(stage: &Stage, steps: &mut Vec<u64>) {
    let began = Instant::now();
    let stored = || -> u64 {
        let cluster = stage.cluster.borrow();
        cluster.nodes.iter().map(|node| node.disk.syncs()).sum()
    };
    let mut before = stored();
    loop {
        sleep(Duration::from_millis(1)).await;
        let now = stored();
        if now != before {
            steps.push(u64::try_from(began.elapsed().as_millis()).expect("is short"));
            before = now;
        }
    }
}

async fn strike(stage: &Stage, crash: Option<Crash>) {
    let Some(crash) = crash else { return };
    sleep(BEFORE + Duration::from_millis(crash.at_ms)).await;
    stage.cluster.borrow_mut().kill(crash.victim);
    if crash.soon_back {
        sleep(SOON).await;
        start(stage, crash.victim).await;
    }
}

async fn start(stage: &Stage, number: usize) {
    let starting = stage.cluster.borrow_mut().starting(number);
    let running = starting.await;
    stage.cluster.borrow_mut().started(number, running);
}

/// Starts the nodes that are down, and waits until all serve or wait to be added.
async fn bring_back(stage: &Stage) {
    let count = stage.cluster.borrow().nodes.len();
    for number in 0..count {
        if stage.cluster.borrow().node(number).is_none() {
            start(stage, number).await;
        }
    }
    let deadline = Instant::now() + RECOVERED;
    while !stage.cluster.borrow().is_serving() {
        assert!(
            Instant::now() < deadline,
            "after {RECOVERED:?} not all serve:\n{}",
            stage.cluster.borrow().describe()
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// The number of runs, and what was wrong with those that failed.
fn failures(scene: &Scene, crashes: impl Iterator<Item = Crash>) -> (usize, Vec<String>) {
    let (mut runs, mut failed) = (0, Vec::new());
    for crash in crashes {
        runs += 1;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scene.run(Some(crash))));
        let complaint = match outcome {
            Ok(Ok(_)) => continue,
            Ok(Err(complaint)) => complaint,
            Err(panic) => format!("{:?}", panic.downcast_ref::<String>()),
        };
        failed.push(format!("{}, {crash:?}: {complaint}", scene.name));
    }
    (runs, failed)
}

fn crashes(scene: &Scene) -> Vec<Crash> {
    let steps = scene
        .run(None)
        .unwrap_or_else(|complaint| panic!("{}: {complaint}", scene.name));
    let mut crashes = Vec::new();
    for &victim in scene.victims {
        for soon_back in [true, false] {
            let at = steps.iter().map(|&at_ms| Crash {
                victim,
                at_ms,
                soon_back,
            });
            crashes.extend(at);
        }
    }
    crashes
}

#[test]
fn a_node_that_is_killed_at_any_step_of_a_change_leaves_a_cluster_that_serves() {
    let mut failed = Vec::new();
    for scene in &SCENES {
        let crashes = crashes(scene);
        let (even, odd): (Vec<_>, Vec<_>) = (0..)
            .zip(crashes)
            .partition(|(number, _): &(usize, Crash)| number % 2 == 0);
        let parts = std::thread::scope(|scope| {
            let other = scope.spawn(|| failures(scene, odd.into_iter().map(|(_, crash)| crash)));
            let one = failures(scene, even.into_iter().map(|(_, crash)| crash));
            [one, other.join().expect("what a run panics with is caught")]
        });
        let runs: usize = parts.iter().map(|(runs, _)| runs).sum();
        println!("{}: killed {runs} times", scene.name);
        failed.extend(parts.into_iter().flat_map(|(_, failed)| failed));
    }
    for complaint in &failed {
        println!("{complaint}\n");
    }
    assert!(failed.is_empty(), "{} runs failed", failed.len());
}
