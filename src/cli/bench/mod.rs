//! `causeway bench`: clients in a closed loop, and how long they waited.
//!
//! Closed means that a client sends its next request when the answer to the last one is there, as most
//! programs do. A bench that is interrupted tells what it measured until then.

mod client;
mod measure;
mod report;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use self::client::BenchClient;
use self::measure::Measure;
use self::report::Report;
use super::arguments::Bench;
use super::stop::Stop;
use super::{Failure, Verdict, output};

pub async fn bench(arguments: Bench) -> Result<Verdict, Failure> {
    let mut stop = Stop::new()?;
    let is_over = Cell::new(false);
    let interrupted = async {
        stop.asked().await;
        is_over.set(true);
        pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        done = measure(&arguments, &is_over) => done,
        never = interrupted => match never {},
    }
}

async fn measure(arguments: &Bench, is_over: &Cell<bool>) -> Result<Verdict, Failure> {
    let mut failed = 0;
    if arguments.fill {
        let report = Report::new("fill", fill(arguments, is_over).await);
        print(&report, arguments)?;
        failed += report.failed();
    }
    if arguments.seconds > 0 && !is_over.get() {
        let report = Report::new("run", run(arguments, is_over).await);
        print(&report, arguments)?;
        failed += report.failed();
    }
    if failed == 0 {
        Ok(Verdict::Done)
    } else {
        Err(Failure::Failed(format!("{failed} requests failed")))
    }
}

fn print(report: &Report, arguments: &Bench) -> Result<(), Failure> {
    if arguments.asking.json {
        output::print_json(&report.json(arguments.each_second))
    } else {
        output::print_line(&report.text(arguments.each_second))
    }
}

/// Writes every key once, each client its share.
async fn fill(arguments: &Bench, is_over: &Cell<bool>) -> Measure {
    let began = Instant::now();
    let clients = clients(arguments, began);
    let count = clients.len();
    let shares = clients
        .into_iter()
        .zip(0..)
        .map(|(mut client, first)| async move {
            let mut share = (first..arguments.keys).step_by(count);
            while let Some(number) = share.next().filter(|_| !is_over.get()) {
                client.put(number).await;
            }
            client.into_measure()
        });
    joined(join_all(shares).await, began)
}

/// Reads and writes random keys until the time is over.
async fn run(arguments: &Bench, is_over: &Cell<bool>) -> Measure {
    let began = Instant::now();
    let end = began + Duration::from_secs(arguments.seconds);
    let loops = clients(arguments, began)
        .into_iter()
        .map(|mut client| async move {
            while Instant::now() < end && !is_over.get() {
                client.ask(arguments.keys, arguments.writes).await;
            }
            client.into_measure()
        });
    joined(join_all(loops).await, began)
}

fn clients(arguments: &Bench, began: Instant) -> Vec<BenchClient> {
    let nodes = &arguments.asking.node.0;
    let places = (0..arguments.clients).flat_map(|_| nodes).zip(0..);
    places
        .map(|(node, number)| BenchClient::new(node, arguments, number, began))
        .collect()
}

fn joined(measures: Vec<Measure>, began: Instant) -> Measure {
    let mut all = Measure::default();
    measures.into_iter().for_each(|one| all.join(one));
    all.took = began.elapsed();
    all
}
