//! Carries out a command and renders its answer of one line.

use super::command::{Command, HELP};
use crate::apps::redis_sharder::{Found, Repaired, Sharder, SharderError, Stored};

/// The printed line, and whether the command failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) is_error: bool,
}

impl Answer {
    fn done(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_error: false,
        }
    }

    /// A command that was refused.
    pub(super) fn error(mistake: impl std::fmt::Display) -> Self {
        Self {
            text: format!("error: {mistake}"),
            is_error: true,
        }
    }
}

impl From<SharderError> for Answer {
    fn from(error: SharderError) -> Self {
        match error {
            // These two are printed without a prefix.
            SharderError::CapacityExceeded | SharderError::Unavailable => Self {
                text: error.to_string(),
                is_error: true,
            },
            refused => Self::error(refused),
        }
    }
}

pub(super) async fn carry_out(sharder: &Sharder, command: Command) -> Answer {
    answer(sharder, command)
        .await
        .map_or_else(Answer::from, Answer::done)
}

async fn answer(sharder: &Sharder, command: Command) -> Result<String, SharderError> {
    match command {
        Command::BringUp {
            servers,
            capacity,
            level,
        } => sharder
            .bring_up(servers, capacity, level)
            .await
            .map(|ports| ports_line(&ports)),
        Command::FailNode(port) => sharder.fail_node(port).await.map(repaired_line),
        Command::Put { key, value } => sharder.put(key, value).await.map(stored_line),
        Command::Get(key) => sharder.get(key).await.map(found_line),
        Command::Status => {
            let status = sharder.status().await?;
            Ok(serde_json::to_string(&status).expect("a status always becomes JSON"))
        }
        // For `quit` the shell ends without an answer.
        Command::Help | Command::Quit => Ok(HELP.to_owned()),
    }
}

fn ports_line(ports: &[u16]) -> String {
    ports
        .iter()
        .fold("ok".to_owned(), |line, port| format!("{line} {port}"))
}

fn repaired_line(repaired: Repaired) -> String {
    let Repaired {
        copied,
        under_replicated,
        lost,
    } = repaired;
    format!("ok copied={copied} under-replicated={under_replicated} lost={lost}")
}

fn stored_line(stored: Stored) -> String {
    let Stored { replicas, target } = stored;
    let remark = if stored.is_degraded() { " degraded" } else { "" };
    format!("ok replicas={replicas} target={target}{remark}")
}

fn found_line(found: Found) -> String {
    match found {
        Found::Value(value) => value.to_string(),
        Found::NotFound => "not found".to_owned(),
        Found::Lost => "lost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_words_of_the_contract() {
        let stored = |replicas| stored_line(Stored { replicas, target: 2 });
        let error = |error: SharderError| Answer::from(error).text;
        for (line, expected) in [
            (ports_line(&[9000, 9001, 9002]), "ok 9000 9001 9002"),
            (stored(2), "ok replicas=2 target=2"),
            (stored(1), "ok replicas=1 target=2 degraded"),
            (found_line(Found::Value(-5)), "-5"),
            (found_line(Found::NotFound), "not found"),
            (found_line(Found::Lost), "lost"),
            (error(SharderError::Unavailable), "unavailable"),
            (error(SharderError::CapacityExceeded), "capacity exceeded"),
            (error(SharderError::NotUp), "error: call bringUp first"),
        ] {
            assert_eq!(line, expected);
        }
    }
}
