//! The client of the trio; see `causeway::trio`. With `-d 1`, a key that another server owns is exit 2 too.

use std::process::ExitCode;

use causeway::cli::program;
use causeway::cli::trio::Clt;

/// Its contract knows only 0, 1 and 2.
const USAGE: u8 = 1;

fn main() -> ExitCode {
    program::run(USAGE, |arguments: Clt| program::wait_for(arguments.run()))
}
