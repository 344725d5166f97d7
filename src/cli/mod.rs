//! What the terminal looks like: the arguments, and each command's output.
//!
//! A command ends in a [`Verdict`] or a [`Failure`]; [`program`] turns these into exit codes and is the
//! only place that does. Standard output carries what was asked for and nothing else, so that it can be
//! piped; everything said to the person goes to standard error.

pub mod arguments;
pub mod bench;
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
mod session_file;
mod stop;

use std::net::SocketAddr;

use crate::client::{Client, ClientError};
use crate::names::NodeId;
use arguments::Nodes;

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

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What Docker asks every few seconds: whether the process that listens there answers. Quick, so that
/// a hung process is found out and not waited for.
pub async fn health(listen: SocketAddr) -> Result<Verdict, Failure> {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip.to_string(),
        ip if ip.is_ipv6() => "[::1]".into(),
        _ => "127.0.0.1".into(),
    };
    let node: NodeId = format!("{ip}:{}", listen.port())
        .parse()
        .map_err(|error| Failure::Usage(format!("LISTEN: {error}")))?;
    let client = Client::new(vec![node.clone()]).with_timeout(arguments::HEALTH_TIMEOUT);
    match client.alive(&node).await {
        Ok(true) => Ok(Verdict::Done),
        Ok(false) => Err(Failure::Failed(format!(
            "{node} answers, but not that it is alive"
        ))),
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}

fn client(nodes: &Nodes) -> Client {
    Client::new(nodes.0.clone())
}
