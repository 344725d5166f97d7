//! Chains of view changes on a cluster without other faults: clients notice only some latency, and every
//! key is in its place afterwards.

use std::cell::RefCell;
use std::time::Duration;

use causeway::names::Slot;
use causeway::node::{RequestKind, ViewOutcome};
use causeway::store::Engine;
use causeway::wire::notes;
use tokio::time::sleep;

use crate::simulated::cluster::{REMOVE, SimCluster};
use crate::simulated::simulate;
use crate::simulated::stage::Stage;
use crate::support::driver;
use crate::support::history::History;
use crate::support::oracle::{Rules, judge};
use crate::support::shape::{Shape, spread_keys};
use crate::support::timing::{Calm, answers_over, late_reads, unanswered};
use crate::support::workload::Workload;

/// The promise to a client.
const ANSWER_LIMIT_US: u64 = 1_000_000;

/// Nodes of the first view, which stay and which clients ask; the others come and go.
const STAYING: usize = 4;
const SPARES: usize = 3;

/// Replicas hold the same, and old owners have dropped what moved away.
const SETTLED: Duration = Duration::from_secs(5);

/// An operator's changes, in order: the kind, the node, the node that is asked.
const CHAIN: [(RequestKind, usize, usize); 10] = [
    (RequestKind::Add, 4, 0),
    (RequestKind::Add, 5, 4),
    (RequestKind::Add, 6, 5),
    (REMOVE, 4, 4),
    (REMOVE, 5, 6),
    (RequestKind::Add, 5, 1),
    (RequestKind::Add, 4, 5),
    (REMOVE, 6, 2),
    (REMOVE, 5, 3),
    (REMOVE, 4, 0),
];

async fn change_one_after_the_other(stage: &Stage) {
    for (kind, node, via) in CHAIN {
        let change = stage.cluster.borrow().change_view(via, node, kind);
        let done = change.await;
        let Ok(ViewOutcome::Changed(changed)) = done else {
            panic!("{kind:?} node {node}: {done:?}");
        };
        // A request that is sent right after the answer sees the new view, at any node.
        let cluster = stage.cluster.borrow();
        for member in cluster.nodes.iter().filter(|one| changed.view.lists(&one.id)) {
            let status = member.running.as_ref().expect("runs").status();
            assert_eq!(status.epoch, changed.view.epoch, "{}", member.id);
            assert!(status.ready, "{} is not ready", member.id);
        }
        if kind == REMOVE {
            let gone = &cluster.nodes[node];
            assert!(gone.disk.records().is_empty(), "{} keeps something", gone.id);
        }
    }
}

fn run(seed: u64, replicas: u32) -> (History, Vec<String>) {
    simulate(async move {
        let mut cluster = SimCluster::with_spares(seed, STAYING, SPARES, replicas);
        cluster.start_all().await;
        let stage = Stage::new(cluster);
        stage.ask_only((0..STAYING).collect());
        let shape = Shape {
            operations: 2_000,
            lanes: 8,
            keys: spread_keys(8, 3),
            pause_us_max: 6_000,
            ..Shape::default()
        };
        let workload = RefCell::new(Workload::new(seed, shape));
        tokio::join!(driver::run(&stage, &workload), change_one_after_the_other(&stage));
        sleep(SETTLED).await;
        driver::final_reads(&stage, &workload).await;
        let mut wrong = stage.cluster.borrow().differences();
        wrong.extend(misplaced(&stage.cluster.borrow()));
        (workload.into_inner().history().clone(), wrong)
    })
}

/// Records at nodes that do not own their slots.
fn misplaced(cluster: &SimCluster) -> Vec<String> {
    let recovered = cluster.nodes[0]
        .disk
        .recover()
        .expect("a simulated disk can be read");
    let (state, _) = notes::read(&recovered.notes)
        .expect("a node reads its own notes")
        .expect("is in use");
    let view = state.view().expect("a view is active");
    let mut misplaced = Vec::new();
    for node in &cluster.nodes {
        let records = node.disk.records();
        let strays = records
            .keys()
            .filter(|key| !view.owners(Slot::of(key)).contains(&node.id));
        misplaced.extend(strays.map(|key| format!("{} has {key}", node.id)));
    }
    misplaced
}

#[test]
fn clients_notice_no_view_change_but_by_some_latency() {
    for (seed, replicas) in (1..=8).zip([1, 2, 3, 2].into_iter().cycle()) {
        let (history, wrong) = run(seed, replicas);
        let name = format!("seed {seed}, K={replicas}");
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        let verdict = judge(&history, &Rules::default());
        assert!(verdict.is_clean(), "{name}: {}", verdict.explain(&history));
        let failed = unanswered(&history, 0..u64::MAX);
        assert!(failed.is_empty(), "{name}: {failed:?}");
        let late = answers_over(&history, ANSWER_LIMIT_US);
        assert!(late.is_empty(), "{name}: {late:?}");
        let calm = Calm {
            writes_us: 0..u64::MAX,
            reads_us: 0..u64::MAX,
            grace_us: 500_000,
        };
        let stale = late_reads(&history, &calm);
        assert!(stale.is_empty(), "{name}: {stale:?}");
    }
}

/// No matter which node drives which change to its end.
#[test]
fn changes_that_are_asked_for_at_once_are_all_made_and_everybody_is_told() {
    for seed in 0..100 {
        simulate(async move {
            let mut cluster = SimCluster::with_spares(seed, 4, 2, 2);
            cluster.start_all().await;
            let (one, other, removal) = tokio::join!(
                cluster.change_view(0, 4, RequestKind::Add),
                cluster.change_view(3, 5, RequestKind::Add),
                cluster.change_view(2, 1, REMOVE)
            );
            for told in [one, other, removal] {
                assert!(
                    matches!(told, Ok(ViewOutcome::Changed(_))),
                    "seed {seed}: {told:?}"
                );
            }
        });
    }
}
