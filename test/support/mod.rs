//! The judge of every random run, and what leads up to a judgement: the workload that sessions send,
//! the history that is written down, the oracle that decides. The simulator and the container tests
//! share it, so neither time nor network is known there. And what tests of real processes share: how a
//! program is started (`running`), asked over HTTP (`request`) and waited for (`waiting`).

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
