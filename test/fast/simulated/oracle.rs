//! Tests the oracle: every anomaly that it must find, odd histories that it must accept, and whole
//! stores, one right and several wrong, under the workload of the random runs.

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
