//! Checks that the oracle keeps up with long runs, also with those of many short sessions: its cost grows with the
//! history and not with the square of it.
//!
//! Compares the CPU time of two histories on one thread, so that a slow or busy machine judges alike.

use super::toy::Fault;
use super::toy_runs::run;
use crate::support::oracle::{Rules, judge};
use crate::support::workload::Shape;

/// How much longer the second history is.
const LONGER: usize = 4;

/// The CPU time of this thread so far, in nanoseconds.
fn cpu_ns() -> u64 {
    let text =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts the CPU time of threads");
    let first = text.split(' ').next().expect("has fields");
    first.parse().expect("is a number")
}

fn judged_in_ns(shape: &Shape) -> u64 {
    let history = run(1, Fault::None, shape.clone());
    let began = cpu_ns();
    let verdict = judge(&history, &Rules::default());
    let ns = cpu_ns() - began;
    println!("{verdict}: {ns} ns");
    assert!(verdict.is_clean(), "{}", verdict.explain(&history));
    ns
}

fn grows_with_the_history(shape: &Shape) {
    let longer = Shape {
        operations: LONGER * shape.operations,
        ..shape.clone()
    };
    let (short, long) = (judged_in_ns(shape), judged_in_ns(&longer));
    let times = long / short;
    // In proportion it would be 4 times as much, with the square of the length 16 times.
    assert!(
        times < 10,
        "{times} times as much for {LONGER} times the operations"
    );
}

#[test]
fn the_cost_of_long_sessions_grows_with_the_history() {
    grows_with_the_history(&Shape {
        operations: 25_000,
        session_ends: 0.001,
        ..Shape::default()
    });
}

#[test]
fn the_cost_of_many_short_sessions_grows_with_the_history() {
    grows_with_the_history(&Shape {
        operations: 25_000,
        lanes: 32,
        ..Shape::default()
    });
}
