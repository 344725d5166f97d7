//! Tests without processes, sockets and real time: whole clusters in simulated time, a searched model of
//! view changes, the judge of histories, the drawing of the floors.
//!
//! One program, so that the simulator is compiled once. `cargo test --test simulated golden::` runs one
//! module.
//!
//! A fault is planted for the whole process. With faults compiled in, only `planted` runs: `cargo test
//! --features planted-faults --test simulated`.

#[cfg(feature = "planted-faults")]
#[path = "../../support/planted/mod.rs"]
mod faults;
#[path = "../../support/model/mod.rs"]
mod model;
#[path = "../../support/simulated/mod.rs"]
mod simulated;
#[path = "../../support/mod.rs"]
mod support;

#[cfg(feature = "planted-faults")]
mod planted;

#[cfg(not(feature = "planted-faults"))]
mod batch;
#[cfg(not(feature = "planted-faults"))]
mod broken_off;
#[cfg(not(feature = "planted-faults"))]
mod crash_steps;
#[cfg(not(feature = "planted-faults"))]
mod floors;
#[cfg(not(feature = "planted-faults"))]
mod golden;
#[cfg(not(feature = "planted-faults"))]
mod oracle;
#[cfg(not(feature = "planted-faults"))]
mod simulation;
#[cfg(not(feature = "planted-faults"))]
mod spec_examples;
#[cfg(not(feature = "planted-faults"))]
mod steps;
#[cfg(not(feature = "planted-faults"))]
mod view_changes;
