//! The errors of requests, in words. `status` has their numbers and codes, `reply` writes their replies.

use crate::names::{KEY_CHARS_MAX, PartitionId};
use crate::node::{Refusal, ViewRefusal};

/// The text for a client that sent JSON under curl's default type.
pub(super) const JSON_SENT_AS_FORM: &str = "the body looks like JSON but was sent as a form; \
    add -H 'Content-Type: application/json', or write it as a form: --data-urlencode 'val=...'";

/// The form of a batch.
pub(super) const JSON_ARRAY: &str = "the body must be a JSON array of operations, such as \
    [{\"op\":\"put\",\"key\":\"x\",\"val\":\"1\"},{\"op\":\"get\",\"key\":\"y\"},{\"op\":\"delete\",\"key\":\"z\"}]";

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Refused by the node. [`Refusal::KeyNotFound`] becomes [`ApiError::KeyNotFound`].
    #[error("{0}")]
    Refused(Refusal),
    #[error("Key does not exist")]
    KeyNotFound { partition: PartitionId, payload: String },
    #[error("{0} (a key is 1 to {KEY_CHARS_MAX} characters)")]
    BadKey(String),
    #[error("{0}")]
    MissingVal(String),
    #[error("the value is larger than {bytes_max} bytes, the most that a value may have (MAX_VALUE)")]
    ValueTooLarge { bytes_max: usize },
    /// Several operations are too large together.
    #[error("{0}")]
    TooLarge(String),
    /// Any mistake that has no code of its own.
    #[error("{0}")]
    BadRequest(String),
    /// Something that only other stores do.
    #[error("{0}")]
    NotOffered(String),
    #[error("the body is coded as {0:?}, which is not supported; send it as it is, not compressed")]
    BadEncoding(String),
    /// The HTTP library does not accept the head.
    #[error("{0}")]
    BadHead(HeadFault),
    #[error("partition_id {0}; give a number, such as partition_id=0")]
    BadPartitionId(String),
    #[error("there is no partition {asked}; {}", ids_text(.partitions))]
    NoPartition { asked: i64, partitions: usize },
    #[error("{}", not_found_text(.0))]
    NotFound(String),
    #[error("{path} does not take {method}; it takes {allow}")]
    BadMethod {
        method: String,
        path: String,
        allow: &'static str,
    },
    /// The request for a view change makes no sense as it is written.
    #[error("{0}")]
    BadViewChange(String),
    /// Refused by the node. [`ViewRefusal::NotHere`] becomes the refusal in it.
    #[error("{0}")]
    View(ViewRefusal),
    #[error("not ready: {why}")]
    NotReady { why: String },
    #[error("the request's body did not arrive in time")]
    BodyTooSlow,
}

/// What is wrong with the head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    #[error(
        "this is no request of HTTP/1.1; speak HTTP/1.1 (not HTTP/2) without TLS, and check the request line and \
         the headers"
    )]
    NoRequest,
    #[error(
        "what stands before the body of the request (path, query and headers) takes more than 64 KiB, or there \
         are more than 100 headers; send long values in the body"
    )]
    HeadersTooLarge,
    #[error("the path and query of the request are too long; send parameters in the body")]
    PathTooLong,
}

fn not_found_text(path: &str) -> String {
    // The request names no path, as `CONNECT host:port` and `GET host` do.
    let what = if path.is_empty() {
        "a request without a path, such as /livez"
    } else {
        path
    };
    format!("there is nothing at {what}; GET / lists the endpoints")
}

fn ids_text(partitions: &usize) -> String {
    match partitions {
        0 => "none is known yet".into(),
        1 => "the only one is 0".into(),
        more => format!("their ids are 0 to {}", more - 1),
    }
}
