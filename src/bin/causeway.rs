//! Arguments in, exit code out. What the codes mean is decided here and nowhere else.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | failed: no answer, refused, broken |
//! | 2 | there is no such key |
//! | 64 | a mistake in arguments or settings (`EX_USAGE` of sysexits) |

use std::process::ExitCode;

use causeway::cli::arguments::{Arguments, Command, Health, Serve};
use causeway::cli::{self, Failure, Verdict};
use causeway::{config, server, telemetry};
use clap::Parser;

const FAILED: u8 = 1;
const NO_SUCH_KEY: u8 = 2;
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            // Also --help and --version; whoever closed the pipe does not want the rest.
            let _ = message.print();
            return if message.use_stderr() {
                USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(arguments.command()) {
        Ok(Verdict::Done) => ExitCode::SUCCESS,
        Ok(Verdict::NoSuchKey) => {
            eprintln!("causeway: no such key");
            NO_SUCH_KEY.into()
        }
        Err(Failure::Usage(text)) => {
            eprintln!("causeway: {text}");
            USAGE.into()
        }
        Err(Failure::Failed(text)) => {
            eprintln!("causeway: {text}");
            FAILED.into()
        }
    }
}

fn run(command: Command) -> Result<Verdict, Failure> {
    match command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Lab(arguments) => wait_for(cli::lab::lab(arguments)),
        Command::Get(arguments) => wait_for(cli::keys::get(arguments)),
        Command::Put(arguments) => wait_for(cli::keys::put(arguments)),
        Command::Delete(arguments) => wait_for(cli::keys::delete(arguments)),
        Command::Ls(arguments) => wait_for(cli::many::ls(arguments)),
        Command::Batch(arguments) => wait_for(cli::many::batch(arguments)),
        Command::Status(arguments) => wait_for(cli::status::status(arguments)),
        Command::View(arguments) => wait_for(cli::view::view(arguments)),
        Command::Bench(arguments) => wait_for(cli::bench::bench(arguments)),
        Command::Health(arguments) => health(&arguments),
    }
}

fn serve(arguments: &Serve) -> Result<Verdict, Failure> {
    let (config, warnings) = cli::settings::read(arguments)?;
    if arguments.exit_with_parent {
        cli::parent::stop_with_parent();
    }
    telemetry::start(&arguments.log, arguments.log_format)
        .map_err(|mistake| Failure::Usage(mistake.to_string()))?;
    // Once it is sure that it runs, so that a start that fails says one thing only.
    let started = || {
        warnings
            .iter()
            .for_each(|warning| eprintln!("causeway: {warning}"))
    };
    server::serve(&config, started)
        .map(|()| Verdict::Done)
        .map_err(|error| Failure::Failed(error.to_string()))
}

fn health(arguments: &Health) -> Result<Verdict, Failure> {
    let listen = config::listen(arguments.listen.as_deref());
    wait_for(cli::health(
        listen.map_err(|mistake| Failure::Usage(mistake.to_string()))?,
    ))
}

/// Client commands wait for one thing at a time, on this thread.
fn wait_for(work: impl Future<Output = Result<Verdict, Failure>>) -> Result<Verdict, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(work)
}
