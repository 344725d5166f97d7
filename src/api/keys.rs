//! GET, PUT and DELETE of keys: asks the node, and writes its answer. Writing is separate from asking, so
//! that it can be tested without a node.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::error::ApiError;
use super::json::Object;
use super::operation::Form;
use super::reply::with_payload;
use super::status::{CREATED, REPLACED};
use crate::names::{Key, PartitionId};
use crate::node::{Found, Node, Refusal, Written};
use crate::protocol::causality::{Payload, Timestamp};

/// A reply of this length or more counts among the answers that are being sent.
const LONG_BYTES: usize = 64 * 1024;

pub(super) async fn get(
    node: &Node,
    key: &Key,
    payload: &str,
    form: Form,
) -> Result<Response<Bytes>, ApiError> {
    let payload = read_payload(node, payload)?;
    let found = node
        .requests
        .get(key, payload)
        .await
        .map_err(|refusal| refused(node, refusal))?;
    let value = found.record.value().unwrap_or_default();
    with_room(node, value.len(), || match form {
        Form::Json => found_reply(node, &found),
        Form::Bytes => with_payload(
            Bytes::copy_from_slice(value),
            "application/octet-stream",
            &node.requests.payload_text(&found.payload),
        ),
    })
}

/// The reply with a value of `value_bytes`, which keeps its room until it is sent. Room for the value is
/// taken before the reply is written, so that a refusal costs nothing. A short reply takes none: the
/// connection has a buffer of that length.
pub(super) fn with_room(
    node: &Node,
    value_bytes: usize,
    write: impl FnOnce() -> Response<Bytes>,
) -> Result<Response<Bytes>, ApiError> {
    let mut room = node.requests.room();
    let overloaded = || ApiError::Refused(Refusal::Overloaded);
    if value_bytes >= LONG_BYTES && !room.resize(value_bytes) {
        return Err(overloaded());
    }
    let reply = write();
    let bytes = reply.body().len();
    if bytes < LONG_BYTES {
        return Ok(reply);
    }
    if !room.resize(bytes) {
        return Err(overloaded());
    }
    Ok(reply.map(|body| room.hold(body)))
}

pub(super) async fn put(
    node: &Node,
    key: &Key,
    value: Bytes,
    payload: &str,
) -> Result<Response<Bytes>, ApiError> {
    let payload = read_payload(node, payload)?;
    let written = node
        .requests
        .put(key, value, payload)
        .await
        .map_err(|refusal| refused(node, refusal))?;
    Ok(put_reply(node, &written))
}

pub(super) async fn delete(node: &Node, key: &Key, payload: &str) -> Result<Response<Bytes>, ApiError> {
    let payload = read_payload(node, payload)?;
    let written = node
        .requests
        .delete(key, payload)
        .await
        .map_err(|refusal| refused(node, refusal))?;
    Ok(deleted_reply(node, &written))
}

pub(super) fn found_reply(node: &Node, found: &Found) -> Response<Bytes> {
    let value = found.record.value().expect("a found record has a value");
    let payload = node.requests.payload_text(&found.payload);
    read_reply(value, found.partition, &payload, found.record.timestamp())
}

pub(super) fn put_reply(node: &Node, written: &Written) -> Response<Bytes> {
    let mut reply = deleted_reply(node, written);
    *reply.status_mut() = put_status(written);
    reply
}

pub(super) fn deleted_reply(node: &Node, written: &Written) -> Response<Bytes> {
    written_reply(written, &node.requests.payload_text(&written.payload))
}

pub(super) fn read_payload(node: &Node, text: &str) -> Result<Payload, ApiError> {
    if text.is_empty() {
        return Ok(Payload::default());
    }
    node.requests
        .payload(text)
        .map_err(|refusal| refused(node, refusal))
}

pub(super) fn refused(node: &Node, refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::KeyNotFound { partition, payload } => ApiError::KeyNotFound {
            partition,
            payload: node.requests.payload_text(&payload),
        },
        other => ApiError::Refused(other),
    }
}

fn put_status(written: &Written) -> StatusCode {
    if written.created { CREATED } else { REPLACED }
}

fn read_reply(value: &[u8], partition: PartitionId, payload: &str, timestamp: Timestamp) -> Response<Bytes> {
    let object = Object::with_room_for(value.len() + payload.len())
        .text("result", "success")
        .text("msg", "success");
    let object = match std::str::from_utf8(value) {
        Ok(text) => object.text("value", text),
        Err(_) => object.text("value_base64", &STANDARD.encode(value)),
    };
    let body = object
        .bare("partition_id", partition)
        .text("causal_payload", payload)
        .plain("timestamp", timestamp)
        .finish();
    with_payload(body, "application/json", payload)
}

fn written_reply(written: &Written, payload: &str) -> Response<Bytes> {
    let body = Object::with_room_for(payload.len())
        .text("result", "success")
        .text("msg", "success")
        .bare("partition_id", written.partition)
        .text("causal_payload", payload)
        .plain("timestamp", written.timestamp)
        .bare("replicas", written.replicas)
        .finish();
    with_payload(body, "application/json", payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::public::{KeyRead, KeyWritten};

    const PARTITION: PartitionId = PartitionId(3);
    const PAYLOAD: &str = "AQcICQkAAAGW-_";

    fn timestamp() -> Timestamp {
        Timestamp::from_wall_ms(1_256_953_732_123)
    }

    fn written(created: bool) -> Written {
        Written {
            created,
            partition: PARTITION,
            payload: Payload::default(),
            timestamp: timestamp(),
            replicas: 2,
        }
    }

    #[test]
    fn a_read_is_answered_with_the_fields_of_the_contract() {
        let reply = read_reply(b"sam\xC3\xA9 \"x\"\n", PARTITION, PAYLOAD, timestamp());
        assert_eq!(
            reply.body(),
            "{\"result\":\"success\",\"msg\":\"success\",\"value\":\"sam\u{e9} \\\"x\\\"\\n\",\"partition_id\":3,\
             \"causal_payload\":\"AQcICQkAAAGW-_\",\"timestamp\":\"1256953732.12300000\"}"
        );
        assert_eq!(reply.headers()["causal-payload"], PAYLOAD);
        assert_eq!(reply.headers()["content-type"], "application/json");
        assert_eq!(reply.status().as_u16(), 200);
    }

    #[test]
    fn an_empty_value_is_a_value() {
        let reply = read_reply(b"", PARTITION, PAYLOAD, timestamp());
        let read: KeyRead = serde_json::from_slice(reply.body()).expect("is the reply to a read");
        assert_eq!((read.value.as_deref(), read.value_base64), (Some(""), None));
    }

    #[test]
    fn bytes_that_are_not_utf8_come_in_base64() {
        let reply = read_reply(&[0xFF, 0, 0xFE], PARTITION, PAYLOAD, timestamp());
        let read: KeyRead = serde_json::from_slice(reply.body()).expect("is the reply to a read");
        assert_eq!((read.value, read.value_base64.as_deref()), (None, Some("/wD+")));
    }

    #[test]
    fn a_write_is_answered_with_the_fields_of_the_contract() {
        let reply = written_reply(&written(true), PAYLOAD);
        let read: KeyWritten = serde_json::from_slice(reply.body()).expect("is the reply to a write");
        let expected = KeyWritten {
            result: "success".into(),
            msg: "success".into(),
            partition_id: 3,
            causal_payload: PAYLOAD.into(),
            timestamp: "1256953732.12300000".into(),
            replicas: 2,
        };
        assert_eq!(read, expected);
        assert_eq!(reply.headers()["causal-payload"], PAYLOAD);
    }

    #[test]
    fn a_new_key_is_created_and_an_old_one_replaced() {
        let status = |created| put_status(&written(created)).as_u16();
        assert_eq!((status(true), status(false)), (201, 200));
    }
}
