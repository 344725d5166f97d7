//! One request and one reply of a transcript, as lines of text.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use super::script::numbered;

/// `alice: n1 PUT /kv-store/x | form | val=a`: the client (optional), the node, the request, the type of
/// body or the headers, and the body. `<too much>` is a value that is too large, `<ff00>` are bytes.
#[derive(Debug)]
pub(crate) struct ExchangeRequest {
    pub(crate) person: Option<String>,
    pub(crate) node: usize,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl ExchangeRequest {
    /// None if the line is no request.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (person, asked) = match line.split_once(": n") {
            Some((person, _)) => (Some(person.to_owned()), &line[person.len() + 2..]),
            None => (None, line),
        };
        let mut columns = asked.splitn(3, " | ").map(str::trim);
        let mut words = columns.next()?.split(' ');
        let node = words
            .next()
            .filter(|word| word.starts_with('n') && word.len() == 2)?;
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers = columns.next().unwrap_or("form").split("; ").map(header).collect();
        let body = columns.next().unwrap_or_default().to_owned();
        Some(Self {
            person,
            node: numbered(node),
            method,
            target,
            headers,
            body,
        })
    }

    /// The request, with the clients' payloads filled in.
    pub(crate) fn request(&self, payloads: &BTreeMap<String, String>) -> Request<Bytes> {
        let filled = |text: &str| {
            payloads.iter().fold(text.to_owned(), |text, (person, payload)| {
                text.replace(&format!("${person}"), payload)
            })
        };
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(filled(&self.target));
        for (name, value) in &self.headers {
            request = request.header(name, filled(value));
        }
        request
            .body(body(&filled(&self.body)))
            .expect("the transcript has a request")
    }
}

/// A header, or the short name of a content type.
fn header(text: &str) -> (String, String) {
    let content_type = match text {
        "form" => "application/x-www-form-urlencoded",
        "json" => "application/json",
        "bytes" => "application/octet-stream",
        _ => {
            let (name, value) = text.split_once(": ").expect("is a header");
            return (name.to_owned(), value.to_owned());
        }
    };
    ("content-type".to_owned(), content_type.to_owned())
}

fn body(text: &str) -> Bytes {
    let Some((before, rest)) = text.split_once('<') else {
        return Bytes::copy_from_slice(text.as_bytes());
    };
    let (token, after) = rest.split_once('>').expect("a token ends");
    let meant = match token {
        "too much" => vec![b'a'; 1024 * 1024 + 1],
        hex => (0..hex.len())
            .step_by(2)
            .map(|at| byte(&hex[at..at + 2]))
            .collect(),
    };
    [before.as_bytes(), &meant, after.as_bytes()].concat().into()
}

fn byte(hex: &str) -> u8 {
    u8::from_str_radix(hex, 16).expect("two hexadecimal digits")
}

/// `404 [retry-after] {"code":"…"}`: a status, required headers (or absent ones: `[-allow]`), and a
/// body: the required fields, or all of it if it is not a JSON object.
#[derive(Debug)]
pub(crate) struct Expected {
    status: u16,
    headers: Vec<String>,
    body: String,
}

impl Expected {
    pub(crate) fn parse(line: &str) -> Self {
        let (status, mut rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let mut headers = Vec::new();
        while let Some((header, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            headers.push(header.to_owned());
            rest = behind.trim_start();
        }
        let status = status.parse().unwrap_or_else(|_| panic!("{line}: is no reply"));
        Self {
            status,
            headers,
            body: rest.to_owned(),
        }
    }

    /// Says how the reply differs from what is expected.
    pub(crate) fn holds_for(&self, reply: &Response<Bytes>) -> Result<(), String> {
        if reply.status().as_u16() != self.status {
            return Err(format!("{} is not {}", reply.status(), self.status));
        }
        for header in &self.headers {
            has_header(reply, header)?;
        }
        match serde_json::from_str::<Value>(&self.body) {
            Ok(expected) => {
                let got = serde_json::from_slice(reply.body()).map_err(|error| error.to_string())?;
                holds(&expected, &got)
            }
            Err(_) if *reply.body() == body(&self.body) => Ok(()),
            Err(_) => Err(format!("the body is not {:?}", self.body)),
        }
    }
}

fn has_header(reply: &Response<Bytes>, expected: &str) -> Result<(), String> {
    let (name, value) = expected.split_once(": ").unwrap_or((expected, "…"));
    let (name, is_wanted) = name.strip_prefix('-').map_or((name, true), |name| (name, false));
    let got = reply
        .headers()
        .get(name)
        .map(|value| value.to_str().expect("is text"));
    match (got, is_wanted) {
        (Some(got), true) if is_like(value, got) => Ok(()),
        (None, false) => Ok(()),
        _ => Err(format!("the header {name} is {got:?}, not as in [{expected}]")),
    }
}

/// Every expected field is present; others may be.
fn holds(expected: &Value, got: &Value) -> Result<(), String> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => expected.iter().try_for_each(|(name, value)| {
            let found = got.get(name).ok_or_else(|| format!("there is no {name}"))?;
            holds(value, found).map_err(|why| format!("{name}: {why}"))
        }),
        (Value::String(expected), Value::String(got)) if is_like(expected, got) => Ok(()),
        (expected, got) if expected == got => Ok(()),
        (expected, got) => Err(format!("{got} is not {expected}")),
    }
}

/// True if the text matches: `…` stands for any text, but a lone `…` not for an empty one.
fn is_like(pattern: &str, text: &str) -> bool {
    let pieces: Vec<&str> = pattern.split('…').collect();
    let [first, middle @ .., last] = pieces.as_slice() else {
        return pattern == text;
    };
    let inner = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    let found = middle.iter().try_fold(inner, |rest, piece| {
        rest.map(|rest| rest.split_once(piece).map(|(_, rest)| rest))
    });
    !text.is_empty() && found.flatten().is_some()
}
