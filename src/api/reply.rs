//! Writes replies: a 200 with its body and payload, or an error, which is always JSON with the text under
//! `error` and `msg` and a stable word under `code`.

use bytes::Bytes;
use http::Response;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::Serialize;

use super::error::ApiError;
use super::json::Object;
use super::parameters::CAUSAL_PAYLOAD;
use super::status::{Verdict, verdict};
use crate::names::{NodeId, PartitionId};
use crate::node::{Refusal, ViewRefusal};

pub(super) fn names(nodes: &[NodeId]) -> Vec<String> {
    nodes.iter().map(NodeId::to_string).collect()
}

pub(super) fn success() -> String {
    "success".into()
}

/// A reply of 200 with a body.
pub fn json(body: &impl Serialize) -> Response<Bytes> {
    let text = serde_json::to_vec(body).expect("these types always become JSON");
    json_text(text.into())
}

/// A reply of 200 with a body that is JSON already.
pub(super) fn json_text(body: Bytes) -> Response<Bytes> {
    let mut reply = Response::new(body);
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

pub(super) fn with_payload(body: Bytes, content_type: &'static str, payload: &str) -> Response<Bytes> {
    let mut reply = Response::new(body);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CAUSAL_PAYLOAD, payload_header(payload));
    reply
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
    /// The reply for an error with this text.
    pub fn tell(self, text: &str) -> Response<Bytes> {
        self.reply(told(text, self.code).finish())
    }

    fn reply(self, body: Bytes) -> Response<Bytes> {
        let mut reply = json_text(body);
        *reply.status_mut() = self.status;
        if let Some(seconds) = self.retry_after {
            let seconds = HeaderValue::from_static(seconds);
            reply.headers_mut().insert(RETRY_AFTER, seconds);
        }
        reply
    }
}

impl ApiError {
    /// The reply for this error.
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
            Self::View(refusal) => object = with_view_state(object, refusal),
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

/// The details of a refused view change, for programs that do not read its text.
fn with_view_state(object: Object, refusal: &ViewRefusal) -> Object {
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
mod tests;
