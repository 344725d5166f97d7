//! Refuses requests whose headers ask for what no program here does: a conditional write, a part of a
//! value, a compressed body.
//!
//! A program that ignores such a header stores something that the client did not mean. That holds for
//! every program, so the server checks here before it hands a request to any of them.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, Method, Response};

use super::error::ApiError;

/// Conditions and parts; on reads they only save work, and a whole answer is right.
const ON_WRITES: [HeaderName; 4] = [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, CONTENT_RANGE];

/// The headers that say how a body is encoded.
const CODINGS: [HeaderName; 2] = [CONTENT_ENCODING, TRANSFER_ENCODING];

/// The refusal, if the headers ask for what is not offered.
pub fn refuse_unoffered(parts: &Parts, has_body: bool) -> Option<Response<Bytes>> {
    // Requests have few headers, so scanning them costs less than looking up each name.
    let given = |names: &[HeaderName]| parts.headers.keys().find(|name| names.contains(name));
    let is_read = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !is_read && let Some(name) = given(&ON_WRITES) {
        let text = format!(
            "the header {name} is not offered: a write is never conditional here, and stores a whole value"
        );
        return Some(ApiError::NotOffered(text).into_reply());
    }
    if has_body
        && given(&CODINGS).is_some()
        && let Some(coding) = coding(&parts.headers)
    {
        let mut reply = ApiError::BadEncoding(coding).into_reply();
        let plain = HeaderValue::from_static("identity");
        reply.headers_mut().insert(ACCEPT_ENCODING, plain);
        return Some(reply);
    }
    None
}

/// The encoding of the body, if it has one.
fn coding(headers: &HeaderMap) -> Option<String> {
    let all = |name: HeaderName, plain: &'static str| {
        let values = headers.get_all(name).into_iter();
        let is_coded = |value: &&[u8]| !value.is_empty() && !value.eq_ignore_ascii_case(plain.as_bytes());
        let mut coded = values.map(|value| value.as_bytes().trim_ascii()).filter(is_coded);
        coded
            .next()
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    all(CONTENT_ENCODING, "identity").or_else(|| all(TRANSFER_ENCODING, "chunked"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn refused(method: &str, header: (&str, &str), has_body: bool) -> Option<(u16, String)> {
        let request = Request::builder().method(method).uri("/kv-store/x");
        let request = request.header(header.0, header.1).body(()).expect("is a request");
        let reply = refuse_unoffered(&request.into_parts().0, has_body)?;
        let body: serde_json::Value = serde_json::from_slice(reply.body()).expect("is JSON");
        let code = body["code"].as_str().expect("has a code");
        Some((reply.status().as_u16(), code.to_owned()))
    }

    #[test]
    fn a_condition_is_refused_on_writes_and_harmless_on_reads() {
        for header in [
            "If-Match",
            "if-none-match",
            "If-Unmodified-Since",
            "Content-Range",
        ] {
            for method in ["PUT", "DELETE", "POST"] {
                let told = refused(method, (header, "*"), true);
                assert_eq!(told, Some((400, "not_offered".into())), "{method} {header}");
            }
            assert_eq!(refused("GET", (header, "*"), false), None);
        }
        assert_eq!(refused("PUT", ("Range", "bytes=0-1"), true), None);
    }

    #[test]
    fn a_coded_body_is_refused_and_never_stored_as_it_came() {
        for coding in [
            "gzip",
            "GZIP",
            "br",
            "deflate",
            "zstd",
            "identity, gzip",
            "aes128gcm",
        ] {
            let told = refused("PUT", ("content-encoding", coding), true);
            assert_eq!(told, Some((415, "bad_encoding".into())), "{coding}");
        }
        assert!(refused("GET", ("content-encoding", "gzip"), true).is_some());
        assert!(refused("PUT", ("transfer-encoding", "gzip, chunked"), true).is_some());
        for (header, coding) in [
            ("content-encoding", "identity"),
            ("content-encoding", " Identity "),
            ("content-encoding", ""),
            ("transfer-encoding", "Chunked"),
        ] {
            assert_eq!(refused("PUT", (header, coding), true), None, "{coding:?}");
        }
        let empty = refused("DELETE", ("content-encoding", "gzip"), false);
        assert_eq!(empty, None, "there is no body");
    }
}
