//! Simulates whole clusters under faults on all cores and ends with a table. `scripts/soak` builds and
//! starts it, and documents its options.
//!
//! A run is one seed on one thread. Runs share nothing, so that a seed does the same here as in
//! `test/fast/simulated/simulation.rs`, in any order. Exit code 0 means that nothing went wrong, 1 that
//! something did, 64 that the arguments are invalid, 130 that it was interrupted.

mod arguments;
mod crew;
#[cfg(feature = "planted-faults")]
#[path = "../support/planted/mod.rs"]
mod faults;
mod interruption;
#[cfg(feature = "planted-faults")]
#[path = "../support/model/mod.rs"]
mod model;
#[cfg(feature = "planted-faults")]
mod planted;
mod progress;
mod random;
#[path = "../support/simulated/mod.rs"]
mod simulated;
#[path = "../support/mod.rs"]
mod support;
mod tally;

use std::process::ExitCode;

use arguments::Asked;

fn main() -> ExitCode {
    let asked = match Asked::read() {
        Ok(asked) => asked,
        Err((text, code)) => {
            eprintln!("{text}");
            return code;
        }
    };
    match asked.planted {
        true if run_planted(&asked) => ExitCode::SUCCESS,
        true => ExitCode::FAILURE,
        false => random::soak(&asked),
    }
}

#[cfg(feature = "planted-faults")]
fn run_planted(asked: &Asked) -> bool {
    planted::soak(asked)
}

#[cfg(not(feature = "planted-faults"))]
fn run_planted(_: &Asked) -> bool {
    eprintln!(
        "scripts/soak: faults can be planted only where they are compiled in: --features planted-faults"
    );
    false
}
