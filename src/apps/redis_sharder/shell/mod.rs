//! `causeway redis`: the shell of a sharder over Redis, for a person at a terminal, a pipe, or a script.
//!
//! It prints one line on standard output for each command, at once, so that a program can drive it answer
//! by answer. Everything else goes to standard error.

mod answer;
mod command;
mod lines;

use std::future::pending;
use std::io::{IsTerminal as _, stdin};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::arguments::Redis as Arguments;
use crate::apps::redis_sharder::{Settings, Sharder};
use crate::terminal::stop::{self, Stop};
use crate::terminal::{Failure, Verdict, output};
use answer::Answer;
use command::Command;
use lines::{Line, Lines};

const PROMPT: &[u8] = b"> ";

/// Time to end the servers after a signal.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Reads commands and has a sharder carry them out.
#[derive(Debug)]
pub struct Shell {
    sharder: Arc<Sharder>,
    script: Option<PathBuf>,
    outcome: Outcome,
}

/// The outcome of the shell so far, for its caller when it has ended or was interrupted.
#[derive(Debug, Clone, Default)]
pub struct Outcome(Arc<Mutex<Option<Failure>>>);

impl Outcome {
    fn set(&self, failure: Option<Failure>) {
        *self.0.lock() = failure;
    }

    /// A failure if the last command was an error; its answer has said what was wrong.
    pub fn verdict(&self) -> Result<Verdict, Failure> {
        self.0.lock().take().map_or(Ok(Verdict::Done), Err)
    }
}

/// Starts the sharder that the arguments describe.
pub fn sharder(arguments: &Arguments) -> Result<Arc<Sharder>, Failure> {
    let settings = Settings {
        base_port: arguments.base_port,
        is_strict: arguments.strict,
    };
    let sharder = Sharder::start(settings);
    let sharder = sharder.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    Ok(Arc::new(sharder))
}

/// Runs a shell until its input ends or a signal comes. The servers end with it.
pub async fn redis(arguments: Arguments) -> Result<Verdict, Failure> {
    let mut stop = Stop::within(END_LIMIT)?;
    let sharder = sharder(&arguments)?;
    let shell = Shell::new(Arc::clone(&sharder), arguments.script);
    let outcome = shell.outcome();
    tokio::select! {
        () = stop.asked() => {}
        _ = shell.run() => {}
    }
    sharder.stop().await;
    outcome.verdict()
}

impl Shell {
    /// A shell that reads a script, or standard input if there is none.
    pub fn new(sharder: Arc<Sharder>, script: Option<PathBuf>) -> Self {
        Self {
            sharder,
            script,
            outcome: Outcome::default(),
        }
    }

    pub fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }

    /// Carries out commands until there are no more. True if it was told to quit, or cannot go on.
    pub async fn run(self) -> bool {
        self.converse().await.unwrap_or_else(|failure| {
            self.outcome.set(Some(failure));
            true
        })
    }

    /// Runs next to a server, which continues when the commands end. Returns when the server must end too:
    /// the shell was told to quit, or cannot go on, or its terminal is gone.
    pub async fn run_beside_server(self) {
        let hung_up = async {
            match stop::hangup() {
                Ok(Some(mut hangup)) => drop(hangup.recv().await),
                // Without this signal the server still gets the other ones.
                Ok(None) | Err(_) => pending().await,
            }
        };
        let quits = async {
            if !self.run().await {
                pending().await
            }
        };
        tokio::select! {
            () = hung_up => {}
            () = quits => {}
        }
    }

    async fn converse(&self) -> Result<bool, Failure> {
        let is_conversation = self.script.is_none() && stdin().is_terminal() && output::is_terminal();
        let mut lines = Lines::open(self.script.as_deref())?;
        loop {
            if is_conversation {
                output::print(PROMPT)?;
            }
            let commands = match lines.next().await? {
                Some(Line::Text(text)) => command::parse(&text),
                Some(Line::TooLong) => vec![Err(lines::TOO_LONG.to_owned())],
                None => break,
            };
            for command in commands {
                let answer = match command {
                    Ok(Command::Quit) => return Ok(true),
                    Ok(command) => answer::carry_out(&self.sharder, command).await,
                    Err(mistake) => Answer::error(mistake),
                };
                let failure = || Failure::Failed("the last command was an error".into());
                self.outcome.set(answer.is_error.then(failure));
                if !output::print_if_read(format!("{}\n", answer.text).as_bytes())? {
                    return Ok(false);
                }
            }
        }
        if is_conversation {
            // The next output on the terminal should not follow the prompt.
            output::print(b"\n")?;
        }
        Ok(false)
    }
}
