//! The mistakes of a request, in words. `status` has their numbers and codes, `reply` writes the reply that tells them.

use crate::names::{KEY_CHARS_MAX, PartitionId};
use crate::node::{Refusal, ViewRefusal};

/// What is told to a client whose JSON came under curl's default type.
pub(super) const JSON_SENT_AS_FORM: &str = "the body looks like JSON but was sent as a form; \
    add -H 'Content-Type: application/json', or write it as a form: --data-urlencode 'val=...'";

/// The form of a batch.
pub(super) const JSON_ARRAY: &str = "the body must be a JSON array of operations, such as \
    [{\"op\":\"put\",\"key\":\"x\",\"val\":\"1\"},{\"op\":\"get\",\"key\":\"y\"},{\"op\":\"delete\",\"key\":\"z\"}]";

/// A request that is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// By the node. [`Refusal::KeyNotFound`] comes as [`ApiError::KeyNotFound`].
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
    /// Several operations together.
    #[error("{0}")]
    TooLarge(String),
    /// Anything wrong that has no word of its own.
    #[error("{0}")]
    BadRequest(String),
    /// Something that other stores do.
    #[error("{0}")]
    NotOffered(String),
    #[error(
        "the body is coded as {0:?}, which is not undone here; send it as it is, without Content-Encoding"
    )]
    BadEncoding(String),
    /// What the HTTP library does not take for a request.
    #[error("{0}")]
    BadHead(HeadFault),
    #[error("partition_id {0}; give a number, such as partition_id=0")]
    BadPartitionId(String),
    #[error("there is no partition {asked}; {}", ids_text(.partitions))]
    NoPartition { asked: i64, partitions: usize },
    #[error("there is nothing at {0}; GET / lists what there is")]
    NotFound(String),
    #[error("{path} does not take {method}; it takes {allow}")]
    BadMethod {
        method: String,
        path: String,
        allow: &'static str,
    },
    /// What is asked of the view makes no sense as it is written.
    #[error("{0}")]
    BadViewChange(String),
    /// By the node. [`ViewRefusal::NotHere`] comes as the refusal in it.
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
        "this is no request of HTTP/1.1; speak HTTP without TLS, and check the request line and the headers"
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

fn ids_text(partitions: &usize) -> String {
    match partitions {
        0 => "none is known yet".into(),
        1 => "the only one is 0".into(),
        more => format!("their ids are 0 to {}", more - 1),
    }
}
