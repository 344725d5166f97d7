//! A proxy and its data servers as clients, operators and accidents use them: real processes on ports
//! of their own, killed in the middle of sets, moves and joins.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the tests start processes, speak to them over sockets and look at the clock"
)]

#[path = "pairs/atomic.rs"]
mod atomic;
#[path = "pairs/changes.rs"]
mod changes;
#[path = "pairs/faults.rs"]
mod faults;
#[path = "pairs/names.rs"]
mod names;
#[path = "pairs/program.rs"]
mod program;
#[path = "../support/running.rs"]
mod running;
#[path = "pairs/stage.rs"]
mod stage;
#[path = "../support/stopping.rs"]
mod stopping;
#[path = "pairs/vectors.rs"]
mod vectors;
#[path = "../support/waiting.rs"]
mod waiting;
