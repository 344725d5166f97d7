//! The program: which command does what.

use std::process::ExitCode;
use std::sync::Arc;

use causeway::apps::data_servers::arguments::{DataServer, Proxy};
use causeway::apps::redis_sharder::arguments::Redis;
use causeway::apps::redis_sharder::shell::Shell;
use causeway::apps::{data_servers, redis_sharder};
use causeway::cli;
use causeway::cli::arguments::{Arguments, Command, Serve};
use causeway::cli::settings::Start;
use causeway::process::telemetry;
use causeway::server::{self, RunError};
use causeway::terminal::logging::{Lines, Logging};
use causeway::terminal::program::{self, USAGE, served, wait_for};
use causeway::terminal::{self, Failure, Verdict};

fn main() -> ExitCode {
    program::run(USAGE, |arguments: Arguments| {
        let done = run(arguments.command())?;
        if done == Verdict::NoSuchKey {
            telemetry::say("causeway: no such key");
        }
        Ok(done)
    })
}

fn run(command: Command) -> Result<Verdict, Failure> {
    match command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Lab(arguments) => wait_for(cli::lab::lab(arguments)),
        Command::Get(arguments) => wait_for(cli::keys::get(arguments)),
        Command::Put(arguments) => wait_for(cli::keys::put(arguments)),
        Command::Delete(arguments) => wait_for(cli::keys::delete(arguments)),
        Command::Ls(arguments) => wait_for(cli::batch::ls(arguments)),
        Command::Batch(arguments) => wait_for(cli::batch::batch(arguments)),
        Command::Status(arguments) => wait_for(cli::status::status(arguments)),
        Command::View(arguments) => wait_for(cli::view::view(arguments)),
        Command::Bench(arguments) => wait_for(cli::bench::bench(arguments)),
        Command::Redis(arguments) => redis(arguments),
        Command::Proxy(arguments) => proxy(&arguments),
        Command::DataServer(arguments) => data_server(&arguments),
        Command::Health(arguments) => wait_for(cli::health::health(arguments)),
    }
}

fn serve(arguments: &Serve) -> Result<Verdict, Failure> {
    let Start {
        config,
        lines,
        warnings,
    } = cli::settings::read(arguments)?;
    begin(&arguments.logging, &lines)?;
    // Once it is sure that it runs, so that a start that fails says one thing only.
    let started = || {
        warnings
            .iter()
            .for_each(|warning| telemetry::say(&format!("causeway: {warning}")))
    };
    served(server::serve(&config, started))
}

fn redis(arguments: Redis) -> Result<Verdict, Failure> {
    let lines = Lines::understand(Some("warn,causeway::server=info"), None);
    lines
        .map_err(|mistakes| Failure::Usage(mistakes.join("; ")))?
        .start()?;
    let Some(address) = arguments.http else {
        return wait_for(redis_sharder::shell::redis(arguments));
    };
    let sharder = redis_sharder::shell::sharder(&arguments)?;
    let shell = Shell::new(Arc::clone(&sharder), arguments.script);
    let outcome = shell.outcome();
    served(redis_sharder::serve_sharder(
        address,
        sharder,
        shell.run_beside_server(),
    ))?;
    outcome.verdict()
}

fn proxy(arguments: &Proxy) -> Result<Verdict, Failure> {
    let (listen, servers, lines) = data_servers::arguments::proxy(arguments)?;
    begin(&arguments.logging, &lines)?;
    match data_servers::serve_proxy(listen, &servers) {
        Err(RunError::Start(twice)) => Err(Failure::Usage(data_servers::arguments::mistaken(&twice))),
        outcome => served(outcome),
    }
}

fn data_server(arguments: &DataServer) -> Result<Verdict, Failure> {
    let (listen, data_dir, lines) = data_servers::arguments::data_server(arguments)?;
    begin(&arguments.logging, &lines)?;
    served(data_servers::serve_data(listen, &data_dir))
}

/// What every server does before it serves.
fn begin(logging: &Logging, lines: &Lines) -> Result<(), Failure> {
    if logging.exit_with_parent {
        terminal::parent::stop_with_parent()?;
    }
    lines.start()
}
