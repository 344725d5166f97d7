//! One minute or ten of all possible faults on real containers, drawn from a seed; then repair,
//! recovery, and the oracle's judgement.
//!
//! `SEED=7 FAULT_RUN_SECONDS=600 cargo test --test containers fault_run -- --nocapture` takes another
//! plan than the gate's, and a longer one. `HISTORY=path` keeps the history; a history that is not clean
//! is kept in any case, in the line format of `support/history/text.rs`. Replies and the kernel have
//! their own timing: the same seed is the same plan, not the same run.
#![expect(
    clippy::disallowed_methods,
    reason = "seed, length and the history's place are said from outside"
)]

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};

use crate::ask::get;
use crate::causal::Clients;
use crate::cluster::Cluster;
use crate::fault_plan::{Event, draw};
use crate::operator::{Operator, Tally, recovered};
use crate::patience::{HEALED, Stopwatch, eventually};
use crate::plan::Plan;
use crate::support::driver::final_reads;
use crate::support::history::History;
use crate::support::oracle::{Rules, judge};
use crate::support::workload::{Shape, Workload, spread_keys};

const NODES: usize = 6;
const IN_VIEW: usize = 5;
const REPLICAS: u32 = 2;

/// With start, recovery and judgement, about a minute.
const SECONDS_DEFAULT: u64 = 45;

pub(crate) fn told<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let parsed = text.parse().ok();
    Some(parsed.unwrap_or_else(|| panic!("{name}={text:?} is no number")))
}

/// The results of the faults.
struct Aftermath {
    tally: Tally,
    members: Vec<usize>,
    recovery: Duration,
}

fn disturb(cluster: &Cluster, plan: &[Event]) -> Aftermath {
    let (tally, healing) = std::thread::scope(|scope| {
        let mut operator = Operator::of(cluster, scope);
        operator.strike(plan);
        let healing = Stopwatch::start();
        (operator.heal(), healing)
    });
    // Clients go on meanwhile: the cluster must recover under load.
    let members = recovered(cluster);
    Aftermath {
        tally,
        members,
        recovery: healing.elapsed(),
    }
}

/// Waits until all members give the same answer for each key: one value, or none.
fn replicas_agree(cluster: &Cluster, members: &[usize], keys: &[String]) {
    for key in keys {
        eventually(HEALED, &format!("all agree about {key}"), || {
            let ask = |node: &usize| {
                let reply = cluster.try_send(*node, get(key, ""));
                let reply = reply.map_err(|error| format!("n{}: {error}", node + 1))?;
                match reply.status {
                    200 => Ok(Some(reply.text("value"))),
                    404 => Ok(None),
                    _ => Err(format!("n{}: {reply}", node + 1)),
                }
            };
            let values: Vec<_> = members.iter().map(ask).collect::<Result<_, _>>()?;
            match values.iter().all(|value| *value == values[0]) {
                true => Ok(()),
                false => Err(format!("{values:?} at {members:?}")),
            }
        });
    }
}

/// Writes the history to the requested place, or to a default one after a failure.
fn keep(history: &History, seed: u64, failed: bool) {
    let asked = std::env::var_os("HISTORY").map(PathBuf::from);
    let left = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fault_run-{seed}.history"));
    if let Some(path) = asked.or_else(|| failed.then(left)) {
        let written = std::fs::write(&path, history.to_string());
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("history: {}", path.display());
    }
}

/// Runs the plan under load. The result of the faults, or their failure, comes with the history so far.
fn run(cluster: &Arc<Cluster>, plan: Vec<Event>, seed: u64) -> (History, Result<Aftermath, JoinError>) {
    let clients = Clients::of(cluster);
    let keys = spread_keys(4, 3);
    let shape = Shape {
        lanes: 8,
        keys: keys.clone(),
        operations: usize::MAX,
        pause_us_max: 40_000,
        ..Shape::default()
    };
    let workload = RefCell::new(Workload::new(seed, shape));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let aftermath = runtime.expect("a runtime starts").block_on(async {
        let aftermath = clients
            .work_during(&workload, move |cluster| disturb(cluster, &plan))
            .await?;
        let members = aftermath.members.clone();
        let agreed = Arc::clone(cluster);
        spawn_blocking(move || replicas_agree(&agreed, &members, &keys)).await?;
        clients.ask_only(aftermath.members.clone());
        final_reads(&clients, &workload).await;
        Ok(aftermath)
    });
    (workload.into_inner().into_history(), aftermath)
}

#[test]
fn fault_run() {
    let seed = told("SEED").unwrap_or(1);
    let seconds = told("FAULT_RUN_SECONDS").unwrap_or(SECONDS_DEFAULT);
    let again = format!(
        "SEED={seed} FAULT_RUN_SECONDS={seconds} cargo test --locked --test containers fault_run -- --nocapture"
    );
    println!("repeat with: {again}");
    let plan = draw(seed, NODES, Duration::from_secs(seconds));
    // Outlives every assertion: on failure, it prints its docker commands and its nodes' logs.
    let cluster = Arc::new(Plan::new(NODES, REPLICAS).in_view(IN_VIEW).start());
    let (history, aftermath) = run(&cluster, plan, seed);
    // A write on one replica may be lost with its disk, or with a member that is removed while it is
    // unreachable. Two are all replicas, and one of them always has it while the other is lost.
    let rules = Rules {
        lasting_replicas: 2,
        ..Rules::default()
    };
    let verdict = judge(&history, &rules);
    keep(&history, seed, aftermath.is_err() || !verdict.is_clean());
    println!("seed {seed}, {seconds} s: {verdict}");
    assert!(
        verdict.is_clean(),
        "repeat with: {again}\n{}",
        verdict.explain(&history)
    );
    let Ok(aftermath) = aftermath else {
        panic!("it did not recover, or a fault could not be made: see above; repeat with: {again}");
    };
    println!("faults: {:?}", aftermath.tally);
    println!("recovered in {:?}: {:?}", aftermath.recovery, aftermath.members);
    // An empty history would be clean, too.
    let counts = verdict.counts;
    assert!(
        counts.acknowledged > 100 && counts.bound > 100 && counts.final_reads > 100,
        "{verdict}"
    );
}
