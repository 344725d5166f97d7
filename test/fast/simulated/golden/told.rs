//! Prints the answers to a script's clients. Leaves out what differs from run to run, such as clocks and
//! encoded payloads. Dependencies are named by node and number, durations are coarse.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::Value;

use crate::simulated::client::Ending;

/// A client's operation on a key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deed {
    Put(String),
    Get,
    Delete,
}

/// One request and how it ended.
#[derive(Debug)]
pub(crate) struct Performed {
    /// The key, or the group that it belongs to, as the script writes it.
    pub(crate) label: String,
    pub(crate) deed: Deed,
    pub(crate) told: Told,
    pub(crate) took: Duration,
}

#[derive(Debug)]
pub(crate) enum Told {
    Reply { status: u16, body: Value },
    Nothing(&'static str),
}

impl From<Ending> for Told {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Answered(reply) => Self::Reply {
                status: reply.status().as_u16(),
                body: body(&reply),
            },
            Ending::Refused => Self::Nothing("no connection"),
            Ending::BrokenOff => Self::Nothing("no answer, killed meanwhile"),
            Ending::Silence => Self::Nothing("no answer"),
        }
    }
}

fn body(reply: &Response<Bytes>) -> Value {
    serde_json::from_slice(reply.body()).unwrap_or(Value::Null)
}

impl Told {
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Reply { body, .. } => body.get(name),
            Self::Nothing(_) => None,
        }
    }

    pub(crate) fn text_field(&self, name: &str) -> Option<&str> {
        self.field(name).and_then(Value::as_str)
    }

    /// What a read found: the value, or why there is none.
    pub(crate) fn found(&self) -> &str {
        match self {
            Self::Nothing(why) => why,
            Self::Reply { .. } => match self.text_field("value").or(self.text_field("code")) {
                Some("key_not_found") | None => "nothing",
                Some(found) => found,
            },
        }
    }
}

impl Performed {
    pub(crate) fn text(&self) -> String {
        let key = &self.label;
        let Told::Reply { status, body } = &self.told else {
            return format!("{key}: {}", self.told.found());
        };
        if let Some(code) = body["code"].as_str() {
            return format!("{status} {key} {code}{}", missing(body));
        }
        let replicas = &body["replicas"];
        match &self.deed {
            Deed::Put(value) => format!("{status} {key}={value} replicas={replicas}"),
            Deed::Get => format!("{status} {key}={}", self.told.found()),
            Deed::Delete => format!("{status} {key} deleted replicas={replicas}"),
        }
    }
}

/// The nodes that a starting node reports as missing.
fn missing(body: &Value) -> String {
    let nodes = body["missing"].as_array().map(Vec::as_slice).unwrap_or_default();
    let nodes = nodes.iter().filter_map(Value::as_str);
    nodes.fold(String::new(), |text, node| format!("{text}, {node} is missing"))
}

/// Shorter times are not printed.
const AT_ONCE: Duration = Duration::from_millis(100);

/// `, within 1s`: the least of a few bounds that holds the time; empty if the answer came at once.
pub(crate) fn within(took: Duration) -> String {
    const BOUNDS_MS: [(u64, &str); 6] = [
        (500, "0.5s"),
        (1000, "1s"),
        (2000, "2s"),
        (5000, "5s"),
        (10_000, "10s"),
        (30_000, "30s"),
    ];
    let bound = BOUNDS_MS
        .iter()
        .find(|(ms, _)| took <= Duration::from_millis(*ms));
    match bound {
        _ if took <= AT_ONCE => String::new(),
        Some((_, text)) => format!(", within {text}"),
        None => ", after 30s".to_owned(),
    }
}

/// What every client did to many keys, with equal results printed once.
pub(crate) fn grouped(performed: &[Performed]) -> Vec<(String, Duration)> {
    let mut lines: Vec<(&str, String, usize, Duration)> = Vec::new();
    for one in performed {
        let text = one.text();
        match lines
            .iter_mut()
            .find(|(label, told, ..)| *label == one.label && *told == text)
        {
            Some((.., count, took)) => (*count, *took) = (*count + 1, one.took.max(*took)),
            None => lines.push((&one.label, text, 1, one.took)),
        }
    }
    let of = |label: &str| performed.iter().filter(|one| one.label == label).count();
    let told = lines.iter().map(|(label, text, count, took)| match of(label) {
        all if all == *count => (text.clone(), *took),
        all => (format!("{count} of {all}: {text}"), *took),
    });
    told.collect()
}

/// A reply as curl shows it: status line, meaningful headers, and the body with dots for what differs
/// from run to run.
pub(crate) fn transcript(reply: &Response<Bytes>) -> Vec<String> {
    let mut lines = vec![reply.status().to_string()];
    for name in ["retry-after", "allow"] {
        if let Some(value) = reply.headers().get(name) {
            lines.push(format!("{name}: {}", value.to_str().expect("is text")));
        }
    }
    let body = String::from_utf8_lossy(reply.body()).into_owned();
    let volatile = ["causal_payload", "timestamp", "incarnation", "cluster"];
    let body = volatile.iter().fold(body, |body, name| masked(&body, name));
    lines.extend((!body.is_empty()).then_some(body));
    lines
}

fn masked(body: &str, name: &str) -> String {
    let opening = format!("\"{name}\":\"");
    let Some(from) = body.find(&opening).map(|at| at + opening.len()) else {
        return body.to_owned();
    };
    let to = from + body[from..].find('"').expect("a text in JSON ends");
    format!("{}...{}", &body[..from], &body[to..])
}

#[test]
fn what_differs_from_run_to_run_is_masked() {
    let body = r#"{"timestamp":"1.5","value":"1.5"}"#;
    assert_eq!(masked(body, "timestamp"), r#"{"timestamp":"...","value":"1.5"}"#);
}
