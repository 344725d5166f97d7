//! The master of a small store; see `causeway::apps::master_svr`.

use std::process::ExitCode;

use causeway::apps::master_svr;
use causeway::apps::master_svr::arguments::MasterSvr;
use causeway::terminal::program::{self, USAGE};

fn main() -> ExitCode {
    program::run(USAGE, |arguments: MasterSvr| {
        arguments.log.start()?;
        program::served(master_svr::serve_master(arguments.port))
    })
}
