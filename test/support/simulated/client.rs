//! A client of a simulated node: sends requests as HTTP would and gives up after a limit. A node that is
//! killed meanwhile gives no answer, as with a broken connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway::api::respond;
use causeway::node::Node;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::cluster::SimNode;

/// How a request ended.
#[derive(Debug)]
pub enum Ending {
    Answered(Response<Bytes>),
    /// The node was not running.
    Refused,
    /// The node was killed before it answered.
    BrokenOff,
    /// No answer came within the client's limit.
    Silence,
}

/// A node as clients see it, running or not.
#[derive(Debug, Clone)]
pub struct Door {
    node: Option<Arc<Node>>,
    life: CancellationToken,
}

impl Door {
    pub fn of(node: &SimNode) -> Self {
        Self {
            node: node.running.clone(),
            life: node.life.clone(),
        }
    }

    /// Sends a request and waits for its answer, at most `limit`. Also says how long it took.
    pub async fn send(&self, request: Request<Bytes>, limit: Duration) -> (Ending, Duration) {
        let began = Instant::now();
        let Some(node) = &self.node else {
            return (Ending::Refused, Duration::ZERO);
        };
        let ending = tokio::select! {
            biased;
            () = self.life.cancelled() => Ending::BrokenOff,
            reply = respond(node, request) => Ending::Answered(reply),
            () = sleep(limit) => Ending::Silence,
        };
        (ending, began.elapsed())
    }
}

/// A request with its parameters in a form, as curl sends them.
pub fn form(method: Method, path: &str, parameters: &[(&str, &str)]) -> Request<Bytes> {
    let body = serde_urlencoded::to_string(parameters).expect("pairs of texts make a form");
    Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(body))
        .expect("a method, a path and a form make a request")
}
