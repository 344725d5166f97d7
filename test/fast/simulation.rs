//! Random runs of a whole simulated cluster under faults, judged by the oracle.
//!
//! `SEED=n cargo test --test simulation one_seed -- --nocapture --ignored` repeats one run;
//! `SEEDS=n FIRST=m` chooses how many runs the gate does and from which seed.

#[path = "../support/mod.rs"]
mod support;

use causeway::causality::Payload;
use causeway::names::Key;
use futures_util::future::join_all;
use support::simulated::cluster::SimCluster;
use support::simulated::run::{Outcomes, Setting, run};
use support::simulated::simulate;

#[expect(
    clippy::disallowed_methods,
    reason = "which seeds to run is said from outside"
)]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn tell(setting: &Setting, outcomes: &Outcomes) {
    println!(
        "seed {}: {} nodes, K={}",
        setting.seed, setting.nodes, setting.replicas
    );
    for event in &outcomes.plan {
        println!("{:>6} ms  {:?}", event.at_ms, event.fault);
    }
    println!("{}", outcomes.verdict.explain(&outcomes.history));
    for difference in &outcomes.differences {
        println!("at the end {difference}");
    }
    for line in outcomes.rivals.iter().chain(&outcomes.late) {
        println!("{line}");
    }
    if outcomes.panics > 0 {
        println!("{} panics", outcomes.panics);
    }
    println!(
        "repeat with: SEED={} cargo test --test simulation one_seed -- --ignored --nocapture",
        setting.seed
    );
}

/// The seeds that failed, of every second one from `first` on. A simulation stays on its thread.
fn failures(first: u64, end: u64) -> (Vec<u64>, u64) {
    let mut changes = 0;
    let mut fails = |seed: &u64| {
        let setting = Setting::of_seed(*seed);
        let Ok(outcomes) = std::panic::catch_unwind(|| run(&setting)) else {
            return true;
        };
        changes += outcomes.changes;
        if !outcomes.is_clean() {
            tell(&setting, &outcomes);
        }
        !outcomes.is_clean()
    };
    let failed = (first..end).step_by(2).filter(&mut fails).collect();
    (failed, changes)
}

#[test]
fn clusters_under_faults_keep_their_promises() {
    let first = number("FIRST", 1);
    let end = first + number("SEEDS", 300);
    let (mut failed, changes) = std::thread::scope(|scope| {
        let others = scope.spawn(move || failures(first + 1, end));
        let (mut failed, changes) = failures(first, end);
        let (others, of_others) = others.join().expect("what a run panics with is caught");
        failed.extend(others);
        (failed, changes + of_others)
    });
    println!("{} seeds, {changes} view changes", end - first);
    failed.sort_unstable();
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}

#[test]
fn two_runs_of_a_seed_are_the_same_run() {
    for seed in 1..=6 {
        let history = || run(&Setting::of_seed(seed)).history.to_string();
        assert!(history() == history(), "seed {seed} was not the same twice");
    }
}

/// Together they are more than a frame between nodes may hold.
#[test]
fn large_values_that_are_written_at_once_come_to_every_replica() {
    const VALUE_BYTES: usize = 1024 * 1024;
    let replicas = simulate(async {
        let cluster = SimCluster::serving(1, 2, 2).await;
        let node = cluster.node(0).expect("runs");
        let writes = (0..20).map(|number| async move {
            let key = Key::new(&format!("large-{number}")).expect("is a key");
            let written = node.put(&key, vec![b'v'; VALUE_BYTES].into(), Payload::default());
            written.await.expect("is taken").replicas
        });
        join_all(writes).await
    });
    assert_eq!(replicas, [2; 20]);
}

#[test]
#[ignore = "repeats one seed"]
fn one_seed() {
    tracing_subscriber::fmt()
        .with_env_filter("debug")
        .without_time()
        .init();
    let setting = Setting::of_seed(number("SEED", 1));
    let outcomes = run(&setting);
    tell(&setting, &outcomes);
    println!("{:?} in {:?}", outcomes.verdict.counts, outcomes.simulated);
    assert!(outcomes.is_clean());
}
