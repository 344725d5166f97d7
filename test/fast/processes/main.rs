//! What real processes, sockets and time show, on this machine alone: each program of the store as people
//! and other programs start it, stopped, frozen and killed.
//!
//! `cargo test --test processes lab::` runs one module. `redis` needs `redis-server`, `readme` bash and curl.

#[path = "../../support/ports.rs"]
mod ports;
#[path = "../../support/running.rs"]
mod running;
#[path = "../../support/stopping.rs"]
mod stopping;
#[path = "../../support/mod.rs"]
mod support;
#[path = "../../support/waiting.rs"]
mod waiting;

mod cli;
mod hostile;
mod http;
mod lab;
mod pairs;
mod readme;
mod redis;
mod standard_error;
mod trio;
mod two_processes;
