//! The client of a cluster: typed requests, and a [`Session`] that carries what its user depends on.
//!
//! Any node takes any request, so a client has a list of nodes and stays with the one that answers. A
//! read without an answer is repeated at the next node. A write is repeated only if it cannot have left
//! this machine: otherwise it may be stored already and would be stored twice.

mod batch;
mod reply;
mod session;
mod status;
mod view;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use batch::{OperationDone, Page, PageAsked};
pub use reply::{Found, Reply, Written};
pub use session::{PAYLOAD_CHARS_MAX, Session, SessionError};
pub use view::{ViewChange, ViewChangeKind, ViewChanged};

use crate::names::{Key, NodeId};
use crate::net::http_client::{HttpClient, SendError};

/// A node answers within a second or refuses; a durable write on a busy disk may take longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Characters that a key may have and a path may not.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Why an operation was not done, as far as the caller can know.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing was sent, or it was a read: nothing has changed.
    #[error("{}", joined(.0))]
    NoAnswer(Vec<SendError>),
    /// A write left this machine and no answer came back.
    #[error("the outcome is unknown, the write may have been stored: {0}")]
    UnknownOutcome(SendError),
    /// A node answered, and refused.
    #[error("{}", .0.refusal())]
    Refused(Box<Reply>),
    /// The key does not exist, and the session depends on that from now on.
    #[error("no such key")]
    NoSuchKey(Box<Reply>),
    /// Something other than a node of Causeway answers there.
    #[error("{node} did not answer like a node of Causeway: {reason}")]
    Garbled { node: NodeId, reason: String },
}

fn joined(errors: &[SendError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Asks nodes of one cluster. Cheap to share: connections are kept between requests.
#[derive(Debug)]
pub struct Client {
    nodes: Vec<NodeId>,
    /// Which node answered last.
    preferred: AtomicUsize,
    http: HttpClient,
    timeout: Duration,
}

impl Client {
    /// A client of the cluster that these nodes belong to; they are tried in this order.
    pub fn new(nodes: Vec<NodeId>) -> Self {
        assert!(!nodes.is_empty(), "a client needs a node to ask");
        Self {
            nodes,
            preferred: AtomicUsize::new(0),
            http: HttpClient::default(),
            timeout: REQUEST_TIMEOUT,
        }
    }

    /// Waits this long for each answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The value of a key.
    pub async fn get(&self, key: &Key, session: &mut Session) -> Result<Found, ClientError> {
        let request = key_request(Method::GET, key, session);
        Found::from_reply(go_on(self.read(&request).await?, session)?)
    }

    /// Stores a value of any bytes.
    pub async fn put(&self, key: &Key, value: Bytes, session: &mut Session) -> Result<Written, ClientError> {
        let mut request = key_request(Method::PUT, key, session);
        let binary = header::HeaderValue::from_static("application/octet-stream");
        request.headers_mut().insert(header::CONTENT_TYPE, binary);
        *request.body_mut() = value;
        Written::from_reply(go_on(self.write(&request, self.timeout).await?, session)?)
    }

    /// Deletes a key.
    pub async fn delete(&self, key: &Key, session: &mut Session) -> Result<Written, ClientError> {
        let request = key_request(Method::DELETE, key, session);
        Written::from_reply(go_on(self.write(&request, self.timeout).await?, session)?)
    }

    /// Asks any node for something other than a key: `/kv-store/get_all_partition_ids`, `/`.
    pub async fn ask(&self, path_and_query: &str) -> Result<Reply, ClientError> {
        let reply = self.read(&get_request(path_and_query)).await?;
        if reply.status.is_success() {
            Ok(reply)
        } else {
            Err(ClientError::Refused(Box::new(reply)))
        }
    }

    /// Asks one node alone, for its health or readiness. Any status is a reply.
    pub async fn ask_node(&self, node: &NodeId, path_and_query: &str) -> Result<Reply, SendError> {
        self.send(node, &get_request(path_and_query), self.timeout).await
    }

    /// Sends a request that changes nothing, to one node after the other until one can answer.
    async fn read(&self, request: &Request<Bytes>) -> Result<Reply, ClientError> {
        let mut errors = Vec::new();
        let mut refused = None;
        for (place, node) in self.in_order() {
            match self.send(node, request, self.timeout).await {
                // This node cannot answer now (cut off, starting, behind); a sibling may.
                Ok(reply) if reply.status == StatusCode::SERVICE_UNAVAILABLE => refused = Some(reply),
                Ok(reply) => {
                    self.preferred.store(place, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(error) => errors.push(error),
            }
        }
        match refused {
            Some(reply) => Ok(reply),
            None => Err(ClientError::NoAnswer(errors)),
        }
    }

    /// Sends a request that may change something, and repeats it only if it cannot have arrived.
    async fn write(&self, request: &Request<Bytes>, limit: Duration) -> Result<Reply, ClientError> {
        let mut errors = Vec::new();
        for (place, node) in self.in_order() {
            match self.send(node, request, limit).await {
                Ok(reply) => {
                    self.preferred.store(place, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(error @ SendError::NotSent { .. }) => errors.push(error),
                Err(error @ SendError::NoReply { .. }) => return Err(ClientError::UnknownOutcome(error)),
            }
        }
        Err(ClientError::NoAnswer(errors))
    }

    /// The nodes, beginning with the one that answered last.
    fn in_order(&self) -> impl Iterator<Item = (usize, &NodeId)> {
        let first = self.preferred.load(Ordering::Relaxed);
        let places = (0..self.nodes.len()).map(move |step| (first + step) % self.nodes.len());
        places.map(|place| (place, &self.nodes[place]))
    }

    async fn send(
        &self,
        node: &NodeId,
        request: &Request<Bytes>,
        limit: Duration,
    ) -> Result<Reply, SendError> {
        let response = self.http.send(node, request.clone(), limit).await?;
        Ok(Reply::new(node.clone(), response))
    }
}

/// Takes the reply's payload into the session, and turns a refusal into an error.
fn go_on(reply: Reply, session: &mut Session) -> Result<Reply, ClientError> {
    let missing = reply.status == StatusCode::NOT_FOUND && reply.code() == Some("key_not_found");
    if !reply.status.is_success() && !missing {
        return Err(ClientError::Refused(Box::new(reply)));
    }
    session
        .go_on_with(reply.payload())
        .map_err(|error| reply.garbled(error))?;
    if missing {
        return Err(ClientError::NoSuchKey(Box::new(reply)));
    }
    Ok(reply)
}

fn get_request(path_and_query: &str) -> Request<Bytes> {
    let request = Request::get(path_and_query).header(header::ACCEPT, "application/json");
    request.body(Bytes::new()).expect("paths of the store are paths")
}

/// `/kv-store/key/` and not `/kv-store/`: a key may have the name of a command.
fn key_request(method: Method, key: &Key, session: &Session) -> Request<Bytes> {
    let path = format!("/kv-store/key/{}", utf8_percent_encode(key.as_str(), ESCAPED));
    let mut request = Request::builder().method(method).uri(path);
    if !session.is_fresh() {
        request = request.header(session::PAYLOAD_HEADER, session.payload());
    }
    let request = request.header(header::ACCEPT, "application/json");
    request
        .body(Bytes::new())
        .expect("an escaped key and a checked payload fit into a request")
}

#[cfg(test)]
mod tests;
