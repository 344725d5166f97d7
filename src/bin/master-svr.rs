//! The master of the trio; see `causeway::trio`.

use std::process::ExitCode;

use causeway::cli::program::{self, USAGE};
use causeway::cli::trio::MasterSvr;
use causeway::server;

fn main() -> ExitCode {
    program::run(USAGE, |arguments: MasterSvr| {
        arguments.log.start()?;
        program::served(server::serve_master(arguments.port))
    })
}
