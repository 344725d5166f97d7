//! The commands of the terminal: the arguments, and each command's output.
//!
//! A command ends in a [`Verdict`](crate::terminal::Verdict) or a [`Failure`];
//! [`program`](crate::terminal::program) turns these into exit codes and is the only place that does.
//! Standard output carries only the requested data, so that it can be piped; all messages to the person go
//! to standard error.

pub mod arguments;
pub mod batch;
pub mod bench;
pub mod health;
pub mod keys;
pub mod lab;
pub mod settings;
pub mod status;
pub mod view;

mod cluster_table;
mod progress;
mod running;
mod session_file;
mod user_file;

use crate::client::{Client, ClientError};
use crate::net::http_client::SendError;
use crate::terminal::Failure;
use arguments::{NODE_DEFAULT, Nodes};

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
