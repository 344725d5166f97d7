//! A server of a small store; see `causeway::apps::master_svr`.

use std::process::ExitCode;

use causeway::apps::master_svr;
use causeway::apps::master_svr::arguments::Svr;
use causeway::terminal::program::{self, USAGE};

fn main() -> ExitCode {
    program::run(USAGE, |arguments: Svr| {
        let (port, master) = arguments.ports()?;
        arguments.log.start()?;
        program::served(master_svr::serve_svr(port, master))
    })
}
