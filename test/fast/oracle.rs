//! The judge is judged: every anomaly that it must find, what it must let pass, and whole stores, a
//! right one and wrong ones, under the workload that the random runs use.

#[path = "../support/mod.rs"]
mod support;

#[path = "oracle/anomalies.rs"]
mod anomalies;
#[path = "oracle/anomalies_at_the_end.rs"]
mod anomalies_at_the_end;
#[path = "oracle/by_the_book.rs"]
mod by_the_book;
#[path = "oracle/legal.rs"]
mod legal;
#[path = "oracle/lines.rs"]
mod lines;
#[path = "oracle/malformed.rs"]
mod malformed;
#[path = "oracle/pace.rs"]
mod pace;
#[path = "oracle/register.rs"]
mod register;
#[path = "oracle/script.rs"]
mod script;
#[path = "oracle/soon.rs"]
mod soon;
#[path = "oracle/steps.rs"]
mod steps;
#[path = "oracle/toy.rs"]
mod toy;
#[path = "oracle/toy_replica.rs"]
mod toy_replica;
#[path = "oracle/toy_runs.rs"]
mod toy_runs;
