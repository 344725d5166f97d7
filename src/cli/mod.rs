//! What the terminal looks like: the arguments, and each command's output.
//!
//! A command ends in a [`Verdict`] or a [`Failure`]; [`program`] turns these into exit codes and is the
//! only place that does. Standard output carries what was asked for and nothing else, so that it can be
//! piped; everything said to the person goes to standard error.

pub mod arguments;
pub mod bench;
pub mod health;
pub mod keys;
pub mod lab;
pub mod logging;
pub mod many;
pub mod pairs;
pub mod program;
pub mod redis;
pub mod settings;
pub mod status;
pub mod trio;
pub mod view;

pub mod parent;

mod given;
mod output;
mod progress;
mod running;
mod session_file;
mod stop;
mod user_file;

use crate::client::{Client, ClientError};
use crate::net::http_client::SendError;
use arguments::{NODE_DEFAULT, Nodes};

/// How a command ended that did what it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// The key that was asked for does not exist.
    NoSuchKey,
}

/// Why a command did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for makes no sense; nothing was tried.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// The failure of something that came after the work: what was done stays done.
    fn after(self, done: &str) -> Self {
        Self::Failed(format!("{done}, but {self}"))
    }
}

/// The first failure of two steps; if both failed, both are told.
fn both(first: Result<(), Failure>, second: Result<(), Failure>) -> Result<(), Failure> {
    match (first, second) {
        (Err(first), Err(second)) => Err(Failure::Failed(format!("{first}; {second}"))),
        (first, second) => first.and(second),
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let is_default = |error: &SendError| match error {
            SendError::NotSent { node, .. } => node.as_str() == NODE_DEFAULT,
            SendError::NoReply { .. } => false,
        };
        match &error {
            ClientError::NoAnswer(errors) if errors.iter().all(is_default) => Self::Failed(format!(
                "{error}; name another node with --node HOST:PORT or the variable CAUSEWAY_NODE"
            )),
            _ => Self::Failed(error.to_string()),
        }
    }
}

fn client(nodes: &Nodes) -> Client {
    Client::new(nodes.0.clone())
}
