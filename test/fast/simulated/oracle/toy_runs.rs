//! Whole stores under the workload: the right one is never flagged, each wrong one nearly always.

use std::cell::RefCell;

use super::toy::{Fault, Toy};
use crate::support::driver;
use crate::support::history::History;
use crate::support::oracle::{Kind, Rules, Verdict, judge};
use crate::support::workload::{Shape, Workload};

const LAG_US: u64 = 100_000;
/// Runs of each wrong store.
const SEEDS: u64 = 40;

pub(super) fn run(seed: u64, fault: Fault, shape: Shape) -> History {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    runtime.expect("needs no resource but memory").block_on(async {
        let toy = Toy::new(seed, fault, LAG_US);
        let workload = RefCell::new(Workload::new(seed, shape));
        driver::run(&toy, &workload).await;
        toy.settle().await;
        driver::final_reads(&toy, &workload).await;
        workload.into_inner().into_history()
    })
}

fn verdicts(fault: Fault, shape: &Shape) -> Vec<Verdict> {
    let verdict = |seed| judge(&run(seed, fault, shape.clone()), &Rules::default());
    (0..SEEDS).map(verdict).collect()
}

/// Nearly all runs are flagged, most of them with one of these kinds.
fn catches(fault: Fault, shape: &Shape, kinds: &[Kind]) {
    let verdicts = verdicts(fault, shape);
    let flagged = verdicts.iter().filter(|verdict| !verdict.is_clean()).count();
    let told = |verdict: &&Verdict| kinds.iter().any(|kind| verdict.has(*kind));
    let to_the_point = verdicts.iter().filter(told).count();
    println!("{fault:?}: {flagged} of {SEEDS} flagged, {to_the_point} with {kinds:?}");
    assert!(
        flagged * 10 >= SEEDS as usize * 9,
        "{fault:?}: {flagged} of {SEEDS} flagged"
    );
    assert!(
        to_the_point * 10 >= SEEDS as usize * 8,
        "{fault:?}: {to_the_point} of {SEEDS} show {kinds:?}"
    );
}

#[test]
fn a_causal_store_is_never_flagged() {
    let mut bound = 0;
    for seed in 0..300 {
        let history = run(seed, Fault::None, Shape::default());
        let verdict = judge(&history, &Rules::default());
        assert!(verdict.is_clean(), "seed {seed}: {}", verdict.explain(&history));
        bound += verdict.counts.bound;
    }
    assert!(bound > 300 * 400, "only {bound} reads could have been stale");
}

#[test]
fn a_store_that_ignores_payloads_is_caught() {
    catches(
        Fault::IgnoresPayloads,
        &Shape::default(),
        &[Kind::Stale, Kind::Missing, Kind::LoserRead],
    );
}

#[test]
fn a_store_that_merges_by_arrival_is_caught() {
    catches(Fault::ArrivalOrder, &Shape::default(), &[Kind::Disagreement]);
}

#[test]
fn a_store_that_loses_acknowledged_writes_is_caught() {
    catches(
        Fault::LosesAcknowledged,
        &Shape::default(),
        &[Kind::Stale, Kind::Missing, Kind::LoserRead],
    );
}

#[test]
fn a_store_that_drops_dependencies_is_caught() {
    // An effect must overtake its cause, and a reader that knows neither must follow it in time. That is
    // rare enough to need a longer run.
    let shape = Shape {
        operations: 3_000,
        ..Shape::default()
    };
    let kinds = [Kind::Stale, Kind::Missing, Kind::LoserRead];
    catches(Fault::DropsDependencies, &shape, &kinds);
}

#[test]
fn a_store_that_does_not_raise_its_clocks_is_caught() {
    catches(Fault::ClockNotRaised, &Shape::default(), &[Kind::TimestampFell]);
}

#[test]
fn a_store_that_forgets_deletions_is_caught() {
    let shape = Shape {
        deletes: 0.3,
        ..Shape::default()
    };
    catches(
        Fault::ForgetsDeletions,
        &shape,
        &[Kind::DeletedKeyBack, Kind::LoserRead, Kind::Disagreement],
    );
}
