//! Runs `clt`: sends one request, to a given server or to the owner of the key, until it is answered or
//! the time is up.
//!
//! A put is sent to the same server once. While no answer comes, the client asks the master whether
//! another server owns the key by now, and sends the put there instead. An expelled server takes no puts,
//! so none is carried out late, after a newer one.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::time::{sleep, timeout};

use super::here;
use super::reply::{DONE, ELSEWHERE, NO_SUCH_KEY};
use crate::net::http_client::{HttpClient, SendError};

/// A client gives up within 5 seconds; the start of the process is part of them.
const PATIENCE: Duration = Duration::from_millis(4500);

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(30);

/// A master answers at once; one that does not is frozen.
const MASTER_LIMIT: Duration = Duration::from_secs(1);

/// How often the master is asked again while a server does not answer.
const SECOND_THOUGHT: Duration = Duration::from_millis(200);

/// The operation on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Get,
    Put(Bytes),
}

/// The server that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The server on this port, whether or not it owns the key.
    Server(u16),
    /// The owner that the master on this port names.
    OwnerVia(u16),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub key: i64,
    pub operation: Operation,
    pub target: Target,
}

/// How a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Stored,
    Value(Bytes),
    NoSuchKey,
    /// The server that was asked does not own the key; nothing was stored.
    Elsewhere,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("gave up after {PATIENCE:?}{}", .0.as_ref().map(|last| format!(": {last}")).unwrap_or_default())]
    TimeIsUp(Option<String>),
    #[error("{0}")]
    Unreachable(SendError),
}

/// Why an attempt failed; another one may succeed.
enum AttemptError {
    Sending(SendError),
    Refused(Response<Bytes>),
    /// Another server owns the key by now.
    Moved,
}

/// Asks until there is an answer or the time is up.
pub async fn ask(ask: &Ask) -> Result<Answer, AskError> {
    let client = Client {
        http: HttpClient::default(),
        ask,
    };
    let mut last = None;
    let answered = timeout(PATIENCE, async {
        loop {
            match client.attempt().await {
                Ok(answer) => return Ok(answer),
                // There is no other server to ask, and waiting helps only while keys move.
                Err(AttemptError::Sending(error)) if matches!(ask.target, Target::Server(_)) => {
                    return Err(AskError::Unreachable(error));
                }
                Err(error) => last = error.text().or(last.take()),
            }
            sleep(PAUSE).await;
        }
    });
    match answered.await {
        Ok(answered) => answered,
        Err(_) => Err(AskError::TimeIsUp(last)),
    }
}

impl AttemptError {
    fn text(&self) -> Option<String> {
        match self {
            Self::Sending(error) => Some(error.to_string()),
            Self::Refused(reply) => Some(String::from_utf8_lossy(reply.body()).trim().to_owned()),
            Self::Moved => None,
        }
    }
}

struct Client<'a> {
    http: HttpClient,
    ask: &'a Ask,
}

impl Client<'_> {
    async fn attempt(&self) -> Result<Answer, AttemptError> {
        match self.ask.target {
            Target::Server(port) => self.ask_server(port).await,
            Target::OwnerVia(master) => {
                let owner = self.owner(master).await?;
                let answer = tokio::select! {
                    answer = self.ask_server(owner) => answer?,
                    () = self.moved(master, owner) => return Err(AttemptError::Moved),
                };
                // The server's answer is newer than the master's.
                if answer == Answer::Elsewhere {
                    Err(AttemptError::Moved)
                } else {
                    Ok(answer)
                }
            }
        }
    }

    async fn ask_server(&self, port: u16) -> Result<Answer, AttemptError> {
        let path = format!("/key/{}", self.ask.key);
        let request = match &self.ask.operation {
            Operation::Get => Request::get(path).body(Bytes::new()),
            Operation::Put(value) => Request::put(path).body(value.clone()),
        };
        let request = request.expect("is a request");
        let reply = self
            .http
            .send(&here(port), request, PATIENCE)
            .await
            .map_err(AttemptError::Sending)?;
        match (reply.status(), &self.ask.operation) {
            (DONE, Operation::Get) => Ok(Answer::Value(reply.into_body())),
            (DONE, Operation::Put(_)) => Ok(Answer::Stored),
            (NO_SUCH_KEY, _) => Ok(Answer::NoSuchKey),
            (ELSEWHERE, _) => Ok(Answer::Elsewhere),
            _ => Err(AttemptError::Refused(reply)),
        }
    }

    /// The port of the server that owns the key, as the master knows it.
    async fn owner(&self, master: u16) -> Result<u16, AttemptError> {
        let path = format!("/owner/{}", self.ask.key);
        let request = Request::get(path).body(Bytes::new()).expect("is a request");
        let reply = self
            .http
            .send(&here(master), request, MASTER_LIMIT)
            .await
            .map_err(AttemptError::Sending)?;
        let port = std::str::from_utf8(reply.body())
            .ok()
            .and_then(|port| port.parse().ok());
        port.filter(|port| *port != 0 && reply.status() == DONE)
            .ok_or(AttemptError::Refused(reply))
    }

    /// Resolves when the master names another owner.
    async fn moved(&self, master: u16, owner: u16) {
        loop {
            sleep(SECOND_THOUGHT).await;
            if self.owner(master).await.is_ok_and(|now| now != owner) {
                return;
            }
        }
    }
}
