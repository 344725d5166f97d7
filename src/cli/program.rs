//! What the programs do alike around their work: arguments in, an exit code out.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | failed: no answer, refused, broken |
//! | 2 | there is no such key |
//! | 64 | a mistake in arguments or settings (`EX_USAGE` of sysexits); `clt` has 1 for it |

use std::process::ExitCode;

use clap::Parser;

use super::given::prepare;
use super::{Failure, Verdict};

const FAILED: u8 = 1;
const NO_SUCH_KEY: u8 = 2;

/// What a mistake in the arguments ends in, unless a contract says otherwise.
pub const USAGE: u8 = 64;

/// Reads the arguments, does the work, and says on standard error why it was not done.
pub fn run<A: Parser>(usage: u8, work: impl FnOnce(A) -> Result<Verdict, Failure>) -> ExitCode {
    let variable = |name: &str| std::env::var_os(name);
    let (command, arguments) = prepare(A::command(), std::env::args_os().collect(), &variable);
    let matches = command.try_get_matches_from(arguments);
    let arguments = match matches.and_then(|matches| A::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(message) => {
            // Also --help and --version; whoever closed the pipe does not want the rest.
            let _ = message.print();
            return if message.use_stderr() {
                usage.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let failure = match work(arguments) {
        Ok(Verdict::Done) => return ExitCode::SUCCESS,
        Ok(Verdict::NoSuchKey) => return NO_SUCH_KEY.into(),
        Err(failure) => failure,
    };
    eprintln!("{}: {failure}", A::command().get_name());
    match failure {
        Failure::Usage(_) => usage.into(),
        Failure::Failed(_) => FAILED.into(),
    }
}

/// Client commands wait for one thing at a time, on this thread.
pub fn wait_for(work: impl Future<Output = Result<Verdict, Failure>>) -> Result<Verdict, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(work)
}

/// The end of a server that ran until it was told to stop, or could not.
pub fn served<E: std::error::Error>(outcome: Result<(), E>) -> Result<Verdict, Failure> {
    match outcome {
        Ok(()) => Ok(Verdict::Done),
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}
