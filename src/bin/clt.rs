//! The client of a small store; see `causeway::apps::master_svr`. With `-d 1`, a key that another server owns is exit 2 too.

use std::process::ExitCode;

use causeway::apps::master_svr::arguments::Clt;
use causeway::terminal::program;

/// Its contract knows only 0, 1 and 2.
const USAGE: u8 = 1;

fn main() -> ExitCode {
    program::run(USAGE, |arguments: Clt| program::wait_for(arguments.run()))
}
