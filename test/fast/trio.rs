//! `master-svr`, `svr` and `clt` as people and programs use them: real processes, joined under load,
//! killed in the middle of everything, frozen, started again in any order.

#[path = "trio/dead.rs"]
mod dead;
#[path = "trio/join.rs"]
mod join;
#[path = "../support/ports.rs"]
mod ports;
#[path = "trio/processes.rs"]
mod processes;
#[path = "trio/programs.rs"]
mod programs;
#[path = "trio/restart.rs"]
mod restart;
#[path = "../support/running.rs"]
mod running;
#[path = "../support/waiting.rs"]
mod waiting;
