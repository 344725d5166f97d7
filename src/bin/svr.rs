//! A server of the trio; see `causeway::trio`.

use std::process::ExitCode;

use causeway::cli::program::{self, USAGE};
use causeway::cli::trio::Svr;
use causeway::server;

fn main() -> ExitCode {
    program::run(USAGE, |arguments: Svr| {
        arguments.log.start()?;
        program::served(server::serve_svr(arguments.port, arguments.master))
    })
}
