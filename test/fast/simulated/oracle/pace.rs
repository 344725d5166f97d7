//! Checks that the oracle keeps up with long runs, also with those of many short sessions.

#![expect(clippy::disallowed_methods, reason = "measures real time")]

use std::time::Instant;

use super::toy::Fault;
use super::toy_runs::run;
use crate::support::oracle::{Rules, judge};
use crate::support::workload::Shape;

fn judged_in_seconds(shape: Shape) -> f64 {
    let history = run(1, Fault::None, shape);
    let started = Instant::now();
    let verdict = judge(&history, &Rules::default());
    let seconds = started.elapsed().as_secs_f64();
    println!("{verdict}: {seconds:.2} s");
    assert!(verdict.is_clean(), "{}", verdict.explain(&history));
    seconds
}

#[test]
fn a_hundred_thousand_operations_are_judged_in_a_moment() {
    let long_sessions = Shape {
        operations: 100_000,
        session_ends: 0.001,
        ..Shape::default()
    };
    assert!(judged_in_seconds(long_sessions) < 5.0);
}

#[test]
fn many_short_sessions_are_judged_in_a_moment() {
    let short_sessions = Shape {
        operations: 100_000,
        lanes: 32,
        ..Shape::default()
    };
    assert!(judged_in_seconds(short_sessions) < 5.0);
}
