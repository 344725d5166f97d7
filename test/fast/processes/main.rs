//! Tests with real processes, sockets and time, on this machine alone: each program of the store as
//! people and other programs start it, stopped, frozen and killed.
//!
//! `cargo test --test processes lab::` runs one module. `redis` needs `redis-server`, `readme` bash and curl.

#[path = "../../support/mod.rs"]
mod support;

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
