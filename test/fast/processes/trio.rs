//! `master-svr`, `svr` and `clt` as people and programs use them: real processes, joined under load,
//! killed in the middle of everything, frozen, started again in any order.

mod dead;
mod join;
mod processes;
mod programs;
mod restart;
