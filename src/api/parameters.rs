//! Reads what a client sends besides the path: pairs from the query string and from a form or JSON body,
//! and the `Causal-Payload` header.
//!
//! A parameter may be given in several places as long as all of them agree. Nothing is dropped silently: a
//! body that cannot be read as pairs is refused, because a payload lost that way would break the causal
//! promise.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderName;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use percent_encoding::percent_decode;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::error::{ApiError, JSON_SENT_AS_FORM};
use crate::text;
use crate::wire::json;

/// The header for a payload where a body would be refused (browsers, on GET).
pub(super) const CAUSAL_PAYLOAD: HeaderName = HeaderName::from_static("causal-payload");

/// The parameter's name, which is easily mistaken for the header's. A payload there would be lost silently.
const MISNAMED_PAYLOAD: HeaderName = HeaderName::from_static("causal_payload");

/// The type of a body that is the raw value.
pub(super) const BYTES: &str = "application/octet-stream";

/// All parameters, in the order of query, body.
#[derive(Debug)]
pub struct Parameters<'a> {
    pairs: Vec<Pair<'a>>,
    /// The parameters that a JSON body gives as null. They count as not given.
    nulls: Vec<String>,
    payload_header: String,
    misread: Option<String>,
    /// True if the body is bytes and has no parameters.
    is_bytes: bool,
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

impl<'a> Parameters<'a> {
    /// Reads the parameters; a body of bytes (`application/octet-stream`) has none.
    pub fn read(parts: &'a Parts, body: &'a Bytes) -> Result<Self, ApiError> {
        let (mut pairs, mut nulls) = (Vec::new(), Vec::new());
        read_form(parts.uri.query().unwrap_or_default().as_bytes(), &mut pairs)?;
        let media_type = media_type(parts);
        let misread = match media_type {
            _ if body.is_empty() => None,
            "" | "application/x-www-form-urlencoded" if is_json_object(body) => {
                Some(JSON_SENT_AS_FORM.into())
            }
            "" | "application/x-www-form-urlencoded" => {
                read_form(text::without_mark(body), &mut pairs).map(|()| None)?
            }
            "application/json" => read_json(body, &mut pairs, &mut nulls).map(|()| None)?,
            BYTES => None,
            other => Some(format!(
                "a body of type {other:?} is not read; send application/x-www-form-urlencoded \
                 (what curl -d sends), application/json or application/octet-stream"
            )),
        };
        Ok(Self {
            pairs,
            nulls,
            payload_header: payload_header(parts)?,
            misread,
            is_bytes: media_type == BYTES,
        })
    }

    /// True if the body is the raw value.
    pub(super) fn has_bytes(&self) -> bool {
        self.is_bytes
    }

    /// Refuses a request whose body was not understood.
    pub fn require_read(&self) -> Result<(), ApiError> {
        match &self.misread {
            Some(why) => Err(ApiError::BadRequest(why.clone())),
            None => Ok(()),
        }
    }

    /// Why the body was not understood, so that parameters may be missing.
    pub(super) fn misread(&self) -> Option<&str> {
        self.misread.as_deref()
    }

    /// The parameter `name`. It may be given more than once, but only with the same value.
    pub fn one(&self, name: &str) -> Result<Option<&Cow<'a, str>>, ApiError> {
        let mut values = self.all(name);
        let first = values.next();
        match values.find(|value| Some(*value) != first) {
            Some(_) => Err(ApiError::BadRequest(format!(
                "{name} was given more than once with different values; give it once"
            ))),
            None => Ok(first),
        }
    }

    /// Reads true or false, and nothing else: a slip in `dry_run` would change the view. `wrong` makes the
    /// error from its text.
    pub(super) fn flag(
        &self,
        name: &str,
        wrong: impl Fn(String) -> ApiError,
    ) -> Result<Option<bool>, ApiError> {
        match self.one(name)?.map(|text| text.trim()) {
            None if self.nulls.iter().any(|null| null == name) => Err(wrong(format!(
                "{name} is null; write {name}=true or {name}=false"
            ))),
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(other) => Err(wrong(format!(
                "{name} is {other:?}; write {name}=true or {name}=false"
            ))),
        }
    }

    /// The client's whole payload, in one text.
    pub(super) fn payload(&self) -> String {
        let mut joined = self.payload_header.clone();
        // A payload from a file may end with a line break.
        let given = self.all("causal_payload").map(|text| text.trim());
        for text in given.filter(|text| !text.is_empty()) {
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(text);
        }
        joined
    }

    /// The names that were given, in the order of query, body; those that a body gives as null come last.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let nulls = self.nulls.iter().map(String::as_str);
        self.pairs.iter().map(|(name, _)| name.as_ref()).chain(nulls)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &Cow<'a, str>> {
        self.pairs
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

/// The body's type without its arguments; empty if none is given.
fn media_type(parts: &Parts) -> &str {
    let given = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let bare = given
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    // The types that are read, in any case.
    [
        "application/x-www-form-urlencoded",
        "application/json",
        "application/octet-stream",
    ]
    .into_iter()
    .find(|known| known.eq_ignore_ascii_case(bare))
    .unwrap_or(bare)
}

fn payload_header(parts: &Parts) -> Result<String, ApiError> {
    if parts.headers.contains_key(MISNAMED_PAYLOAD) {
        let text = "causal_payload is the name of the parameter; the header is called Causal-Payload";
        return Err(ApiError::BadRequest(text.into()));
    }
    let mut joined = String::new();
    for value in parts.headers.get_all(CAUSAL_PAYLOAD) {
        let text = value.to_str().map_err(|_| {
            ApiError::Refused(crate::node::Refusal::BadPayload(
                "the Causal-Payload header is not plain text; send back what the store answered".into(),
            ))
        })?;
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(text);
    }
    Ok(joined)
}

/// `a=b&c=d`, where `+` is a space. A `%` without two digits stands for itself, as in browsers.
fn read_form<'a>(text: &'a [u8], pairs: &mut Vec<Pair<'a>>) -> Result<(), ApiError> {
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let name = decode(&pair[..equals])?;
        let value = decode(pair.get(equals + 1..).unwrap_or_default())?;
        pairs.push((name, value));
    }
    Ok(())
}

fn decode(text: &[u8]) -> Result<Cow<'_, str>, ApiError> {
    let not_text = |_| {
        ApiError::BadRequest(
            "a parameter is not UTF-8; store other bytes with Content-Type: application/octet-stream".into(),
        )
    };
    if text.contains(&b'+') {
        let spaced: Vec<u8> = text
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect();
        let decoded = percent_decode(&spaced).collect();
        return String::from_utf8(decoded)
            .map(Cow::Owned)
            .map_err(|error| not_text(error.utf8_error()));
    }
    percent_decode(text).decode_utf8().map_err(not_text)
}

fn is_json_object(body: &[u8]) -> bool {
    let body = text::without_mark(body).trim_ascii_start();
    body.first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

fn read_json(body: &[u8], pairs: &mut Vec<Pair<'_>>, nulls: &mut Vec<String>) -> Result<(), ApiError> {
    let wrong =
        |why: String| ApiError::BadRequest(format!("the body is not a JSON object of parameters: {why}"));
    let Value::Object(fields) = json::read(body).map_err(|error| wrong(error.to_string()))? else {
        return Err(wrong("write an object such as {\"val\": \"...\"}".into()));
    };
    for (name, value) in fields {
        let text = json::as_text(value).map_err(|_| {
            ApiError::BadRequest(format!(
                "{name} must be a JSON string; write {{\"{name}\": \"...\"}}"
            ))
        })?;
        match text {
            Some(text) => pairs.push((Cow::Owned(name), Cow::Owned(text))),
            None => nulls.push(name),
        }
    }
    Ok(())
}
