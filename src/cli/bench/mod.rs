//! `causeway bench`: clients in a closed loop, and how long they waited.
//!
//! Closed means that a client sends its next request when the last one is answered, as most programs do.
//! An interrupted bench reports what it has measured so far.

mod client;
mod history;
mod measure;
mod report;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use self::client::{BenchClient, Notes, Shared};
use self::history::History;
use self::measure::Measure;
use self::report::Report;
use super::arguments::Bench;
use super::client;
use crate::client::ClientError;
use crate::process::system;
use crate::terminal::stop::Stop;
use crate::terminal::{Failure, Verdict, both, output};

/// Time for a request under way, and for the report.
const END_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
enum Part {
    Fill,
    Run,
}

pub async fn bench(arguments: Bench) -> Result<Verdict, Failure> {
    let mut stop = Stop::within(END_LIMIT)?;
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
    reach_any(arguments).await?;
    let notes = open_history(arguments)?;
    let mut failed = 0;
    if arguments.fill {
        let report = Report::new("fill", fill(arguments, &notes, is_over).await);
        print(&report, arguments)?;
        failed += report.failed();
    }
    if arguments.seconds > 0 && !is_over.get() {
        let report = Report::new("run", run(arguments, &notes, is_over).await);
        print(&report, arguments)?;
        failed += report.failed();
    }
    let kept = close_history(arguments, notes);
    let done = match failed {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} requests failed"))),
    };
    both(done, kept).map(|()| Verdict::Done)
}

/// Fails if no node serves: there is nothing to measure. Single nodes that do not serve count as failures.
async fn reach_any(arguments: &Bench) -> Result<(), Failure> {
    let client = client(&arguments.asking.node);
    let (mut errors, mut refusal) = (Vec::new(), None);
    for node in &arguments.asking.node.0 {
        match client.ask_node(node, "/readyz").await {
            Ok(reply) if reply.status.is_success() => return Ok(()),
            Ok(reply) => refusal = Some(reply.refusal()),
            Err(error) => errors.push(error),
        }
    }
    match refusal {
        Some(refusal) => Err(Failure::Failed(refusal)),
        None => Err(ClientError::NoAnswer(errors).into()),
    }
}

fn open_history(arguments: &Bench) -> Result<Notes, Failure> {
    let Some(path) = &arguments.history else {
        return Ok(None);
    };
    match History::create(path) {
        Ok(history) => Ok(Some(Rc::new(RefCell::new(history)))),
        Err(error) => Err(Failure::Failed(format!(
            "cannot write {}: {}",
            path.display(),
            system::explain(&error)
        ))),
    }
}

fn close_history(arguments: &Bench, notes: Notes) -> Result<(), Failure> {
    let Some((path, notes)) = arguments.history.as_ref().zip(notes) else {
        return Ok(());
    };
    let history = Rc::into_inner(notes).expect("no client is left").into_inner();
    let written = history.finish();
    written.map_err(|error| {
        Failure::Failed(format!(
            "the bench ran, but {} cannot be written: {}",
            path.display(),
            system::explain(&error)
        ))
    })
}

fn print(report: &Report, arguments: &Bench) -> Result<(), Failure> {
    if arguments.asking.json {
        output::print_json(&report.json(arguments.each_second))
    } else {
        output::print_line(&report.text(arguments.each_second))
    }
}

/// Writes every key once, each client its share.
async fn fill(arguments: &Bench, notes: &Notes, is_over: &Cell<bool>) -> Measure {
    let (began, measure) = (Instant::now(), Shared::default());
    let clients = all_clients(arguments, Part::Fill, &measure, notes);
    let count = clients.len();
    let shares = clients
        .into_iter()
        .zip(0..)
        .map(|(mut client, first)| async move {
            let mut share = (first..arguments.keys).step_by(count);
            while let Some(number) = share.next().filter(|_| !is_over.get()) {
                client.put(number).await;
            }
        });
    join_all(shares).await;
    finished(measure, began)
}

/// Reads and writes random keys until the time is over.
async fn run(arguments: &Bench, notes: &Notes, is_over: &Cell<bool>) -> Measure {
    let (began, measure) = (Instant::now(), Shared::default());
    let clients = all_clients(arguments, Part::Run, &measure, notes);
    let end = began + Duration::from_secs(arguments.seconds);
    let loops = clients.into_iter().map(|mut client| async move {
        while Instant::now() < end && !is_over.get() {
            client.ask(arguments.keys, arguments.writes).await;
        }
    });
    join_all(loops).await;
    finished(measure, began)
}

/// The clients of one part; no client of another part has the same number, so that no two write the same.
fn all_clients(arguments: &Bench, part: Part, measure: &Shared, notes: &Notes) -> Vec<BenchClient> {
    let count = usize::from(arguments.clients) * arguments.asking.node.0.len();
    let first = match part {
        Part::Fill => 0,
        Part::Run => count,
    };
    let client = |number| BenchClient::new(arguments, number, measure, notes);
    (first..first + count).map(client).collect()
}

fn finished(measure: Shared, began: Instant) -> Measure {
    let mut measure = Rc::into_inner(measure).expect("no client is left").into_inner();
    measure.took = began.elapsed();
    measure
}
