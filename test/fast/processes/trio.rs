//! Tests `master-svr`, `svr` and `clt` as people and programs use them: real processes that join under
//! load, are killed at any time, freeze, and restart in any order.

mod dead;
mod join;
mod processes;
mod programs;
mod restart;
