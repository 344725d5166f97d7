//! Shared test code. For random runs: the workload that sessions send, the history that is recorded, and
//! the oracle that judges it. The simulator and the container tests share these, so they use neither
//! time nor network. For tests of real processes: starting a program (`running`), HTTP requests
//! (`request`) and waiting (`waiting`).

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test target includes this module whole and uses its own part of it"
)]

pub mod driver;
pub mod history;
pub mod oracle;
pub mod pairs;
pub mod ports;
pub mod request;
pub mod running;
pub mod shape;
pub mod shrink;
pub mod stopping;
pub mod timing;
pub mod waiting;
pub mod workload;
