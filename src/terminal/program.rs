//! What all programs do around their work: arguments in, an exit code out.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | failed: no answer, refused, broken |
//! | 2 | there is no such key |
//! | 64 | a mistake in arguments or settings (`EX_USAGE` of sysexits); `clt` has 1 for it |

use std::io::{IsTerminal as _, stderr};
use std::process::ExitCode;

use clap::Parser;

use super::given::{not_text, prepare};
use super::logging::wants_colours;
use super::{Failure, Verdict, output};
use crate::process::{signals, system, telemetry, threads};

const FAILED: u8 = 1;
const NO_SUCH_KEY: u8 = 2;

/// The exit code of a mistake in the arguments, unless a contract says otherwise.
pub const USAGE: u8 = 64;

/// Reads the arguments, does the work, and says on standard error why it was not done.
pub fn run<A: Parser>(usage: u8, work: impl FnOnce(A) -> Result<Verdict, Failure>) -> ExitCode {
    telemetry::report_panics();
    let variable = |name: &str| std::env::var_os(name);
    let mistakes = not_text(&A::command(), &variable);
    if !mistakes.is_empty() {
        mistakes.iter().for_each(|mistake| telemetry::say(mistake));
        telemetry::flush();
        return usage.into();
    }
    let (command, arguments) = prepare(A::command(), std::env::args_os().collect(), &variable);
    let matches = command.try_get_matches_from(arguments);
    let outcome = match matches.and_then(|matches| A::from_arg_matches(&matches)) {
        Ok(arguments) => work(arguments),
        Err(message) if message.use_stderr() => {
            telemetry::show(&shown(&message, stderr().is_terminal()));
            return usage.into();
        }
        // --help and --version.
        Err(message) => {
            let text = shown(&message, output::is_terminal());
            output::print(text.as_bytes()).map(|()| Verdict::Done)
        }
    };
    let code = match outcome {
        Ok(Verdict::Done) => ExitCode::SUCCESS,
        Ok(Verdict::NoSuchKey) => NO_SUCH_KEY.into(),
        Err(failure) => {
            telemetry::say(&format!("{}: {failure}", A::command().get_name()));
            match failure {
                Failure::Usage(_) => usage.into(),
                Failure::Failed(_) => FAILED.into(),
            }
        }
    };
    telemetry::flush();
    code
}

fn shown(message: &clap::Error, is_terminal: bool) -> String {
    let text = message.render();
    if is_terminal && wants_colours() {
        text.ansi().to_string()
    } else {
        text.to_string()
    }
}

/// Runs a client command on this thread: it waits for one thing at a time.
pub fn wait_for(work: impl Future<Output = Result<Verdict, Failure>>) -> Result<Verdict, Failure> {
    let runtime = threads::runtime();
    let cannot = |error| Failure::Failed(format!("cannot start: {}", system::explain(&error)));
    let runtime = runtime.map_err(cannot)?;
    {
        let _inside = runtime.enter();
        signals::survive_file_size_limit().map_err(cannot)?;
    }
    let done = runtime.block_on(work);
    // A name look-up that is still under way must not delay the end.
    runtime.shutdown_background();
    done
}

/// The result of a server that ran until it was told to stop, or failed.
pub fn served<E: std::error::Error>(outcome: Result<(), E>) -> Result<Verdict, Failure> {
    match outcome {
        Ok(()) => Ok(Verdict::Done),
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}
