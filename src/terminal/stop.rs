//! How a long-running command is asked to end.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::process::signals::{self, Ending};
use crate::process::system;

/// Every way in which a terminal, a person or another program asks a command to end.
#[derive(Debug)]
pub struct Stop(Ending);

impl Stop {
    /// For a command that needs no longer than `patience` to end. A command that still waits then, for
    /// example for a pipe that nobody reads, is ended.
    pub fn within(patience: Duration) -> Result<Self, Failure> {
        let ending = signals::hear(true).map_err(|error| cannot(&error))?;
        ending.allow(patience);
        Ok(Self(ending))
    }

    pub async fn asked(&mut self) {
        self.0.asked().await;
    }
}

/// The end of the terminal; none under `nohup`, which has it ignored.
pub fn hangup() -> Result<Option<Signal>, Failure> {
    if signals::is_ignored(SignalKind::hangup()) {
        return Ok(None);
    }
    let hangup = signal(SignalKind::hangup());
    hangup.map(Some).map_err(|error| cannot(&error))
}

fn cannot(error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot wait for signals: {}", system::explain(error)))
}
