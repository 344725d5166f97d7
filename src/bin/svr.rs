//! A server of the trio; see `causeway::trio`.

use std::process::ExitCode;

use causeway::cli::program::{self, USAGE};
use causeway::cli::trio::Svr;
use causeway::server;

fn main() -> ExitCode {
    program::run(USAGE, |arguments: Svr| {
        let (port, master) = arguments.ports()?;
        arguments.log.start()?;
        program::served(server::serve_svr(port, master))
    })
}
