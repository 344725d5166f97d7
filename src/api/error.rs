//! What can be wrong with a request, in words, and the reply that says so: always JSON, with the text
//! under `error` and `msg` and a stable word under `code`. Numbers and words are in `status`.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, Response};

use super::json::Object;
use super::status::{Verdict, verdict};
use crate::names::{KEY_CHARS_MAX, NodeId, PartitionId};
use crate::node::{Refusal, ViewRefusal};

/// How a client carries its payload where a body would be refused (browsers, on GET).
pub(super) const CAUSAL_PAYLOAD: HeaderName = HeaderName::from_static("causal-payload");

/// What is told to a client whose JSON came under curl's default type.
pub(super) const JSON_SENT_AS_FORM: &str = "the body looks like JSON but was sent as a form; \
    add -H 'Content-Type: application/json', or write it as a form: --data-urlencode 'val=...'";

/// What several operations look like.
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

/// The fields that the body of every error has.
fn told(text: &str, code: &str) -> Object {
    Object::with_room_for(2 * text.len())
        .text("result", "error")
        .text("error", text)
        .text("msg", text)
        .text("code", code)
}

impl Verdict {
    /// The reply that tells a client of an error with this text.
    pub fn tell(self, text: &str) -> Response<Bytes> {
        self.reply(told(text, self.code).finish())
    }

    fn reply(self, body: Bytes) -> Response<Bytes> {
        let mut reply = Response::new(body);
        *reply.status_mut() = self.status;
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        reply
    }
}

impl ApiError {
    /// The reply that tells the client.
    pub fn into_reply(self) -> Response<Bytes> {
        let verdict = verdict(&self);
        let mut reply = verdict.reply(self.body(verdict.code));
        let headers = reply.headers_mut();
        match &self {
            Self::BadMethod { allow, .. } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::KeyNotFound { payload, .. } => {
                headers.insert(CAUSAL_PAYLOAD, payload_header(payload));
            }
            _ => {}
        }
        reply
    }

    fn body(&self, code: &str) -> Bytes {
        let mut object = told(&self.to_string(), code);
        if let Some(partition) = self.partition() {
            object = object.bare("partition_id", partition);
        }
        match self {
            Self::KeyNotFound { payload, .. } => object = object.text("causal_payload", payload),
            Self::Refused(Refusal::Starting { missing, .. }) => {
                object = object.texts("missing", missing.iter().map(NodeId::as_str));
            }
            Self::View(refusal) => object = with_view_facts(object, refusal),
            _ => {}
        }
        object.finish()
    }

    fn partition(&self) -> Option<PartitionId> {
        match self {
            Self::KeyNotFound { partition, .. }
            | Self::Refused(
                Refusal::Unavailable { partition }
                | Refusal::Behind { partition }
                | Refusal::UnknownOutcome { partition },
            ) => Some(*partition),
            _ => None,
        }
    }
}

/// What programs may want to know of a refused view change without reading its text.
fn with_view_facts(object: Object, refusal: &ViewRefusal) -> Object {
    let list = |object: Object, name, nodes: &[NodeId]| object.texts(name, nodes.iter().map(NodeId::as_str));
    match refusal {
        ViewRefusal::AlreadyMember { members, .. } | ViewRefusal::NotMember { members, .. } => {
            list(object, "view", members)
        }
        ViewRefusal::NoMajority { silent } => list(object, "missing", silent),
        ViewRefusal::WouldLoseData { slots, .. } => object.bare("slots", slots),
        ViewRefusal::Unfinished { epoch, waits_for } => {
            list(object.bare("epoch", epoch.number()), "waits_for", waits_for)
        }
        ViewRefusal::NotHere(_)
        | ViewRefusal::Impossible(_)
        | ViewRefusal::Unreachable { .. }
        | ViewRefusal::OtherCluster { .. } => object,
    }
}

/// A payload as a header; it has no character that a header refuses.
pub(super) fn payload_header(payload: &str) -> HeaderValue {
    HeaderValue::from_str(payload).expect("a payload is letters, digits, dots, dashes and underscores")
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::names::Epoch;
    use crate::wire::public::Failure;

    fn failure(error: ApiError) -> (StatusCode, Failure, Response<Bytes>) {
        let reply = error.into_reply();
        let body = serde_json::from_slice(reply.body()).expect("is the body of a failure");
        (reply.status(), body, reply)
    }

    fn not_in_view() -> Refusal {
        let node = "c:1".parse().expect("is a node");
        Refusal::NotInView { node }
    }

    #[test]
    fn every_row_of_the_contract_has_its_status_and_word() {
        let partition = PartitionId(2);
        let retry = |error| (error, true);
        let final_ = |error| (error, false);
        let refused = ApiError::Refused;
        for (status, code, (error, retries)) in [
            (
                404,
                "key_not_found",
                final_(ApiError::KeyNotFound {
                    partition,
                    payload: "p-1_.".into(),
                }),
            ),
            (
                400,
                "bad_key",
                final_(ApiError::BadKey("the key is empty".into())),
            ),
            (400, "missing_val", final_(ApiError::MissingVal("no val".into()))),
            (
                413,
                "value_too_large",
                final_(ApiError::ValueTooLarge { bytes_max: 9 }),
            ),
            (
                400,
                "bad_payload",
                final_(refused(Refusal::BadPayload("it does not parse".into()))),
            ),
            (
                503,
                "unavailable",
                retry(refused(Refusal::Unavailable { partition })),
            ),
            (503, "behind", retry(refused(Refusal::Behind { partition }))),
            (
                504,
                "unknown_outcome",
                final_(refused(Refusal::UnknownOutcome { partition })),
            ),
            (
                404,
                "no_partition",
                final_(ApiError::NoPartition {
                    asked: 9,
                    partitions: 2,
                }),
            ),
            (
                400,
                "bad_partition_id",
                final_(ApiError::BadPartitionId("x".into())),
            ),
            (503, "not_in_view", retry(refused(not_in_view()))),
            (
                503,
                "starting",
                retry(refused(Refusal::Starting {
                    missing: vec![],
                    quarrel: vec![],
                })),
            ),
            (404, "not_found", final_(ApiError::NotFound("/x".into()))),
            (
                507,
                "storage_failed",
                final_(refused(Refusal::StorageFailed("disk full".into()))),
            ),
            (503, "overloaded", retry(refused(Refusal::Overloaded))),
            (400, "not_offered", final_(ApiError::NotOffered("x".into()))),
            (415, "bad_encoding", final_(ApiError::BadEncoding("gzip".into()))),
            (
                400,
                "bad_request",
                final_(ApiError::BadHead(HeadFault::NoRequest)),
            ),
            (
                431,
                "head_too_large",
                final_(ApiError::BadHead(HeadFault::HeadersTooLarge)),
            ),
            (
                414,
                "head_too_large",
                final_(ApiError::BadHead(HeadFault::PathTooLong)),
            ),
            (413, "answer_too_large", final_(refused(Refusal::AnswerTooLarge))),
            (
                400,
                "bad_view_change",
                final_(ApiError::BadViewChange("x".into())),
            ),
            (503, "not_ready", retry(ApiError::NotReady { why: "x".into() })),
        ] {
            let text = error.to_string();
            let (got, body, reply) = failure(error);
            assert_eq!((got.as_u16(), body.code.as_str()), (status, code));
            assert_eq!(
                (body.result.as_str(), &body.error, &body.msg),
                ("error", &text, &text)
            );
            assert_eq!(reply.headers().contains_key(RETRY_AFTER), retries, "{code}");
            assert_eq!(reply.headers()["content-type"], "application/json");
        }
    }

    #[test]
    fn every_refused_view_change_has_its_status_its_word_and_its_facts() {
        let node: NodeId = "c:1".parse().expect("is a node");
        let list = || vec![node.clone()];
        let why = || "it is silent".to_owned();
        for (status, code, refusal, facts) in [
            (
                409,
                "already_member",
                ViewRefusal::AlreadyMember {
                    node: node.clone(),
                    members: list(),
                },
                r#""view":["c:1"]"#,
            ),
            (
                404,
                "not_member",
                ViewRefusal::NotMember {
                    node: node.clone(),
                    members: list(),
                },
                r#""view":["c:1"]"#,
            ),
            (
                400,
                "bad_view_change",
                ViewRefusal::Impossible("it is the last one".into()),
                "",
            ),
            (
                503,
                "unreachable_node",
                ViewRefusal::Unreachable {
                    node: node.clone(),
                    why: why(),
                },
                "",
            ),
            (
                409,
                "other_cluster",
                ViewRefusal::OtherCluster {
                    node: node.clone(),
                    why: why(),
                },
                "",
            ),
            (
                503,
                "no_majority",
                ViewRefusal::NoMajority { silent: list() },
                r#""missing":["c:1"]"#,
            ),
            (
                409,
                "would_lose_data",
                ViewRefusal::WouldLoseData {
                    node: node.clone(),
                    slots: 9,
                },
                r#""slots":9"#,
            ),
            (
                504,
                "unfinished",
                ViewRefusal::Unfinished {
                    epoch: Epoch(4),
                    waits_for: list(),
                },
                r#""epoch":4,"waits_for":["c:1"]"#,
            ),
            (503, "not_in_view", ViewRefusal::NotHere(not_in_view()), ""),
        ] {
            let text = refusal.to_string();
            let (got, body, reply) = failure(ApiError::View(refusal));
            assert_eq!(
                (got.as_u16(), body.code.as_str(), &body.error),
                (status, code, &text)
            );
            assert_eq!(reply.headers().contains_key(RETRY_AFTER), status == 503, "{code}");
            let body = std::str::from_utf8(reply.body()).expect("is text");
            assert!(body.contains(facts), "{facts} in {body}");
        }
    }

    #[test]
    fn the_exact_words_of_the_contract() {
        let partition = PartitionId(2);
        let (_, body, reply) = failure(ApiError::KeyNotFound {
            partition,
            payload: "p".into(),
        });
        assert_eq!(body.error, "Key does not exist");
        assert_eq!(
            (body.partition_id, body.causal_payload.as_deref()),
            (Some(2), Some("p"))
        );
        assert_eq!(reply.headers()["causal-payload"], "p");
        let (_, body, _) = failure(ApiError::Refused(Refusal::Unavailable { partition }));
        assert_eq!(body.error, "key value store is not available");
    }

    #[test]
    fn a_wrong_method_says_which_are_right() {
        let (status, body, reply) = failure(ApiError::BadMethod {
            method: "PATCH".into(),
            path: "/kv-store/x".into(),
            allow: "GET, PUT",
        });
        assert_eq!((status.as_u16(), body.code.as_str()), (405, "bad_method"));
        assert_eq!(reply.headers()[ALLOW], "GET, PUT");
    }

    #[test]
    fn a_node_that_starts_names_the_missing_nodes() {
        let missing = vec!["10.0.0.22:8080".parse().expect("is a node")];
        let reply = ApiError::Refused(Refusal::Starting {
            missing,
            quarrel: vec![],
        })
        .into_reply();
        let body: serde_json::Value = serde_json::from_slice(reply.body()).expect("is JSON");
        assert_eq!(body["missing"][0], "10.0.0.22:8080");
        assert!(
            body["error"]
                .as_str()
                .expect("is text")
                .contains("10.0.0.22:8080")
        );
    }
}
