//! `/set/<key>` and `/get/<key>`: values as they are, for clients that carry no payload.
//!
//! The server keeps the promise for them: at every node a read sees every write that was answered before
//! it, as long as the nodes reach each other ([`Node::get_recent`]).

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::de::IgnoredAny;

use super::error::ApiError;
use super::keys::{refused, with_room};
use super::path::percent_decoded_key;
use crate::names::Key;
use crate::node::Node;

/// The whole reply to a stored value.
const OK: &[u8] = b"OK\n";

/// The key that the rest of a path spells, slashes included.
pub(super) fn key(rest: &str, path: &str) -> Result<Key, ApiError> {
    if rest.is_empty() {
        return Err(ApiError::BadKey(format!("there is no key; write {path}<key>")));
    }
    percent_decoded_key(rest)
}

pub(super) async fn set(node: &Node, key: &Key, value: Bytes) -> Result<Response<Bytes>, ApiError> {
    let stored = node.requests.put_recent(key, value).await;
    stored.map_err(|refusal| refused(node, refusal))?;
    Ok(reply(Bytes::from_static(OK), "text/plain; charset=utf-8"))
}

pub(super) async fn get(node: &Node, key: &Key) -> Result<Response<Bytes>, ApiError> {
    let found = node.requests.get_recent(key).await;
    let found = found.map_err(|refusal| refused(node, refusal))?;
    let value = found.record.value().unwrap_or_default();
    with_room(node, value.len(), || {
        reply(Bytes::copy_from_slice(value), kind(value))
    })
}

fn kind(value: &[u8]) -> &'static str {
    let text = std::str::from_utf8(value).ok();
    match text.map(serde_json::from_str::<IgnoredAny>) {
        Some(Ok(IgnoredAny)) => "application/json",
        _ => "application/octet-stream",
    }
}

fn reply(body: Bytes, kind: &'static str) -> Response<Bytes> {
    let mut reply = Response::new(body);
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_may_be_a_key() {
        for (rest, expected) in [
            ("x", "x"),
            ("a/b", "a/b"),
            ("a%2Fb%20c", "a/b c"),
            ("a:b@c", "a:b@c"),
            ("%C3%A9", "é"),
            ("100%", "100%"),
        ] {
            assert_eq!(key(rest, "/get/").expect(rest).as_str(), expected);
        }
        for rest in ["", "%FF", &"k".repeat(201)] {
            assert!(matches!(key(rest, "/get/"), Err(ApiError::BadKey(_))), "{rest}");
        }
    }

    #[test]
    fn json_is_told_from_other_bytes() {
        for json in ["\"value\"", "{\"a\":[1,2]}", " 12 ", "null"] {
            assert_eq!(kind(json.as_bytes()), "application/json", "{json}");
        }
        for other in [&b""[..], b"value", b"{", b"\xFF", b"1 2", b"\"\xFF\""] {
            assert_eq!(kind(other), "application/octet-stream", "{other:?}");
        }
    }
}
