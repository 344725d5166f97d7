//! Random runs of clients that carry no payload, judged by real time.
//!
//! `SEED=n cargo test --test simulated one_plain_seed -- --nocapture --ignored` repeats one run with the
//! logs of its processes.

use std::thread;

use super::number;
use crate::simulated::plain::{PlainSetting, run};

/// Three quarters of an hour of a pair's or a trio's life.
const SEEDS: u64 = 300;

/// Runs every second seed from `first` on; returns those that failed.
fn every_second(first: u64, end: u64) -> Vec<u64> {
    let fails = |seed: &u64| {
        let setting = PlainSetting::of_seed(*seed);
        let outcomes = run(&setting);
        if !outcomes.is_clean() {
            println!("{}", outcomes.tell(&setting, &setting.plan()));
        }
        !outcomes.is_clean()
    };
    (first..end).step_by(2).filter(fails).collect()
}

#[test]
fn processes_see_every_set_that_was_answered_before() {
    let first = number("FIRST", 1);
    let end = first + number("SEEDS", SEEDS);
    let failed = thread::scope(|scope| {
        let others = scope.spawn(move || every_second(first + 1, end));
        let mut failed = every_second(first, end);
        failed.extend(others.join().expect("a run ends"));
        failed
    });
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}

#[test]
fn plain_runs_that_showed_a_fault_once_are_clean() {
    let setting = PlainSetting::of_seed(1385);
    let outcomes = run(&setting);
    let fault = "an owner that lacks what is held here answers in the place of this one";
    assert!(
        outcomes.is_clean(),
        "{fault}: {}",
        outcomes.tell(&setting, &setting.plan())
    );
}

#[test]
fn two_plain_runs_of_a_seed_are_the_same_run() {
    for seed in 1..=6 {
        let history = || run(&PlainSetting::of_seed(seed)).history;
        assert!(history() == history(), "seed {seed} was not the same twice");
    }
}

#[test]
#[ignore = "repeats one seed"]
fn one_plain_seed() {
    tracing_subscriber::fmt()
        .with_env_filter("debug")
        .without_time()
        .init();
    let setting = PlainSetting::of_seed(number("SEED", 1));
    let outcomes = run(&setting);
    println!("{}", outcomes.tell(&setting, &setting.plan()));
    assert!(outcomes.is_clean());
}
