//! The HTTP API: turns requests into replies, without a socket.
//!
//! ```text
//! Request<Bytes> ─ parse ─▶ Operation ─ keys, list, batch, view, info, … ─▶ Response<Bytes>
//!      path, parameters                  ask the Node; reply writes
//!                     └──────────── ApiError ─ error, status ────────────▶
//! ```
//!
//! Parsing and rendering are pure and tested by tables; asking the node is one line between them.

mod accept;
mod batch;
mod endpoints;
mod error;
mod health;
mod info;
mod json;
mod keys;
mod list;
mod meant;
mod operation;
mod parameters;
mod parse;
mod path;
mod plain;
mod reply;
mod routes;
mod status;
mod unoffered;
mod view;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

pub use self::endpoints::{Asked, Endpoints, options};
pub use self::error::{ApiError, HeadFault};
pub use self::health::alive;
pub use self::meant::only;
use self::operation::Operation;
pub use self::parameters::Parameters;
pub use self::path::normalise;
pub use self::reply::json;
pub use self::status::{Verdict, lasting, passing};
pub use self::unoffered::refuse_unoffered;
use crate::node::{Node, Refusal};

/// Answers one request. The reply to HEAD is that to GET; the connection leaves out its body.
pub async fn respond(node: &Arc<Node>, request: Request<Bytes>) -> Response<Bytes> {
    let (parts, body) = request.into_parts();
    let outcome = match parse::parse(&parts, &body, node.limits().value_bytes_max) {
        Ok(operation) => act(node, operation).await,
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(ApiError::into_reply)
}

async fn act(node: &Arc<Node>, operation: Operation) -> Result<Response<Bytes>, ApiError> {
    match operation {
        Operation::Get { key, payload, form } => keys::get(node, &key, &payload, form).await,
        Operation::Put { key, value, payload } => keys::put(node, &key, value, &payload).await,
        Operation::Delete { key, payload } => keys::delete(node, &key, &payload).await,
        Operation::List { listing, payload } => list::list(node, &listing, &payload).await,
        Operation::Batch { operations, payload } => batch::batch(node, operations, &payload).await,
        Operation::PlainGet { key } => plain::get(node, &key).await,
        Operation::PlainSet { key, value } => plain::set(node, &key, value).await,
        Operation::UpdateView(request) => view::update(node, request).await,
        Operation::Ask(question) => info::answer(question, &node.status()),
        Operation::Home => Ok(info::home(&node.status())),
        Operation::Status => Ok(info::status(&node.status())),
        Operation::Alive => Ok(health::alive()),
        Operation::Ready { verbose } => health::ready(&node.status(), verbose),
        Operation::Options { allow } => Ok(options(allow)),
    }
}

/// Why a request never reached [`respond`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// Too many are being answered already.
    Overloaded,
    /// The body is larger than any value's longest spelling.
    BodyTooLarge {
        value_bytes_max: usize,
    },
    BodyTooSlow,
    /// The client hung up in the middle of the body, or its chunks are invalid.
    BodyBroken,
    BadHead(HeadFault),
}

/// The reply to a request that was rejected before [`respond`].
pub fn turn_away(reason: Rejected) -> Response<Bytes> {
    let error = match reason {
        Rejected::Overloaded => ApiError::Refused(Refusal::Overloaded),
        Rejected::BodyTooLarge { value_bytes_max } => ApiError::ValueTooLarge {
            bytes_max: value_bytes_max,
        },
        Rejected::BodyTooSlow => ApiError::BodyTooSlow,
        Rejected::BadHead(fault) => ApiError::BadHead(fault),
        Rejected::BodyBroken => {
            ApiError::BadRequest("the request's body is broken off or badly chunked".into())
        }
    };
    error.into_reply()
}

#[cfg(test)]
mod testing {
    use crate::names::{ClusterId, Epoch, Incarnation, NodeId};
    use crate::node::{NodeStatus, Role};

    /// A node of a cluster of five with K = 2.
    pub(super) fn node_status(role: Role) -> NodeStatus {
        let nodes = |names: &[&str]| names.iter().map(|name| node(name)).collect();
        NodeStatus {
            node: node("a:1"),
            incarnation: Incarnation {
                started_ms: 1000,
                random: 42,
            },
            role,
            cluster: Some(ClusterId(0xabc)),
            epoch: Epoch(4),
            replicas: Some(2),
            partitions: vec![nodes(&["a:1", "b:1"]), nodes(&["c:1", "d:1"])],
            proxies: nodes(&["e:1"]),
            ready: true,
            waiting_for: None,
            away: Vec::new(),
            out_of_reach: Vec::new(),
            is_cut_off: false,
            sealed_for: None,
            keys: 17,
            left_behind: 0,
            is_too_late: false,
            slots_lost: 0,
            storage_failure: None,
            clock_doubt: None,
            clocks_apart: Vec::new(),
            change: None,
        }
    }

    fn node(name: &str) -> NodeId {
        name.parse().expect("is a node")
    }
}
