//! The judge is judged: every anomaly that it must find, what it must let pass, and whole stores, a
//! right one and wrong ones, under the workload that the random runs use.

mod anomalies;
mod anomalies_at_the_end;
mod by_the_book;
mod legal;
mod lines;
mod malformed;
mod pace;
mod register;
mod script;
mod soon;
mod steps;
mod toy;
mod toy_replica;
mod toy_runs;
