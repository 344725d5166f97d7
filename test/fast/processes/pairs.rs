//! Tests a proxy and its data servers under clients, operators and accidents: real processes on ports of
//! their own, killed in the middle of sets, moves and joins.
#![expect(clippy::disallowed_methods, reason = "the tests look at the clock")]

mod atomic;
mod changes;
mod faults;
mod names;
mod program;
mod stage;
mod vectors;
