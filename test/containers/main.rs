//! The outer ring: real containers, networks and disks, tested from outside over HTTP.
//!
//! Only this ring shows that the image starts as the contract says, and that promises hold when the
//! kernel really drops packets, freezes or kills a process, empties or fills a disk. Each test creates a
//! cluster of its own on a network of its own and removes it, even if it fails; then it prints its
//! docker commands and the logs of all nodes.
//!
//! `cargo test --test containers [NAME]` builds the image first. It needs a Docker engine, and root for
//! the tests that cut single links (`nsenter … iptables`) or fill disks. Tests cannot be skipped:
//! without an engine every test fails. `scripts/check` decides whether a machine may do without.

mod api;
mod ask;
mod causal;
mod changes;
mod cluster;
mod distribution;
mod docker;
mod errors;
mod fault_plan;
mod fault_run;
mod faults;
mod load;
mod operator;
mod pairs;
mod patience;
mod plan;
mod restarts;
mod returns;
mod startup;
#[path = "../support/mod.rs"]
mod support;
mod two_processes;
mod view;
mod view_faults;
