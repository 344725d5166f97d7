//! All status codes and bodies of the public HTTP interface of pairs; no other file has a status code.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::body::{AskedKey, AskedPair};
use super::service::{Everything, ReadResult, Servers, Trouble};
use crate::api::{lasting, passing};
use crate::apps::data_servers::messages::{Answered, Given, KeyOutcome, KeysAdded, KeysDeleted};

/// Names the servers whose pairs are not in a listing.
const UNREACHABLE: HeaderName = HeaderName::from_static("causeway-unreachable");

/// Accompanies the list of servers while a change of it is not finished.
const MOVING: HeaderName = HeaderName::from_static("causeway-moving");

/// The reply to a set.
pub(super) fn set(asked: &[AskedPair], outcomes: &[KeyOutcome]) -> Response<Bytes> {
    let body = KeysAdded {
        keys_added: done(outcomes),
        keys_failed: failed(asked.iter().map(|pair| &pair.asked), outcomes),
    };
    reply(share_status(outcomes), &body)
}

/// The reply to a deletion. A key that was not there is gone, as requested: it has not failed.
pub(super) fn deleted(asked: &[AskedKey], outcomes: &[KeyOutcome]) -> Response<Bytes> {
    let body = KeysDeleted {
        keys_deleted: done(outcomes),
        keys_failed: failed(asked.iter(), outcomes),
    };
    reply(share_status(outcomes), &body)
}

fn failed<'a>(keys: impl Iterator<Item = &'a AskedKey>, outcomes: &[KeyOutcome]) -> Vec<Given<'a>> {
    let failed = keys.zip(outcomes).filter(|(_, outcome)| has_failed(**outcome));
    failed.map(|(key, _)| key.as_given()).collect()
}

fn has_failed(outcome: KeyOutcome) -> bool {
    matches!(outcome, KeyOutcome::Refused | KeyOutcome::Unknown)
}

fn done(outcomes: &[KeyOutcome]) -> usize {
    outcomes
        .iter()
        .filter(|outcome| **outcome == KeyOutcome::Done)
        .count()
}

fn share_status(outcomes: &[KeyOutcome]) -> StatusCode {
    let failed = outcomes.iter().filter(|outcome| has_failed(**outcome)).count();
    match failed {
        0 => StatusCode::OK,
        _ if failed < outcomes.len() => StatusCode::PARTIAL_CONTENT,
        // 400 would say that none is stored, and that is not known.
        _ if outcomes.contains(&KeyOutcome::Unknown) => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The pairs asked for, in the order asked.
pub(super) fn fetched(asked: &[AskedKey], results: &[ReadResult]) -> Response<Bytes> {
    let has_all = results
        .iter()
        .all(|result| matches!(result, ReadResult::Value(_)));
    answers(asked, results, has_all, |result| match result {
        ReadResult::Value(value) => Some(value),
        ReadResult::Missing | ReadResult::Unavailable => None,
    })
}

/// The reply to a query: whether each key exists.
pub(super) fn queried(asked: &[AskedKey], results: &[ReadResult]) -> Response<Bytes> {
    let knows_all = !results.contains(&ReadResult::Unavailable);
    answers(asked, results, knows_all, |result| match result {
        ReadResult::Value(_) => Some(true),
        ReadResult::Missing => Some(false),
        ReadResult::Unavailable => None,
    })
}

fn answers<'a, V: Serialize>(
    asked: &'a [AskedKey],
    results: &'a [ReadResult],
    is_whole: bool,
    value: impl Fn(&'a ReadResult) -> Option<V>,
) -> Response<Bytes> {
    let answers = asked.iter().zip(results).map(|(asked, result)| Answered {
        key: asked.as_given(),
        value: value(result),
        error: (*result == ReadResult::Unavailable).then_some("unavailable"),
    });
    let answers: Vec<Answered<'_, V>> = answers.collect();
    match (is_whole, answers.iter().all(|answer| answer.error.is_some())) {
        (true, _) => reply(StatusCode::OK, &answers),
        (false, false) => reply(StatusCode::PARTIAL_CONTENT, &answers),
        (false, true) => trouble(&Trouble::Unavailable(
            "the servers of these keys do not answer".into(),
        )),
    }
}

/// All pairs, or those of the servers that answer.
pub(super) fn everything(everything: &Everything) -> Response<Bytes> {
    if everything.unreachable.is_empty() {
        return reply(StatusCode::OK, &everything.pairs);
    }
    let mut reply = reply(StatusCode::PARTIAL_CONTENT, &everything.pairs);
    if let Ok(names) = HeaderValue::from_str(&everything.unreachable.join(",")) {
        reply.headers_mut().insert(UNREACHABLE, names);
    }
    reply
}

pub(super) fn servers(servers: &Servers) -> Response<Bytes> {
    let mut reply = reply(StatusCode::OK, &servers.addresses);
    if servers.moving {
        let value = HeaderValue::from_static("true");
        reply.headers_mut().insert(MOVING, value);
    }
    reply
}

/// The reply to a completed change of the list.
pub(super) fn changed(servers: &Servers, keys_moved: u64) -> Response<Bytes> {
    let body = json!({"result": "success", "servers": servers.addresses, "keys_moved": keys_moved});
    reply(StatusCode::OK, &body)
}

pub(super) fn trouble(trouble: &Trouble) -> Response<Bytes> {
    use StatusCode as S;
    let verdict = match trouble {
        Trouble::NotStored => lasting(S::BAD_REQUEST, "not_stored"),
        Trouble::Unavailable(_) => passing("unavailable"),
        Trouble::UnknownOutcome => lasting(S::GATEWAY_TIMEOUT, "unknown_outcome"),
        Trouble::AlreadyThere(_) | Trouble::SameServer { .. } => lasting(S::CONFLICT, "already_there"),
        Trouble::NamedTwice { .. } => lasting(S::CONFLICT, "named_twice"),
        Trouble::NameLeadsElsewhere { .. } => lasting(S::CONFLICT, "misled"),
        Trouble::OtherStore(_) => lasting(S::CONFLICT, "other_store"),
        Trouble::LastServer(_) => lasting(S::CONFLICT, "last_server"),
        Trouble::WouldLoseKeys { .. } => lasting(S::CONFLICT, "would_lose_keys"),
        Trouble::NotThere(_) => lasting(S::NOT_FOUND, "not_there"),
        Trouble::Unfinished(_) => passing("unfinished"),
        Trouble::NotAProxy => lasting(S::CONFLICT, "not_a_proxy"),
    };
    verdict.tell(&trouble.to_string())
}

fn reply(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    let mut text = serde_json::to_vec(body).expect("bodies have names and texts only");
    // For readers in a terminal.
    text.push(b'\n');
    let mut reply = Response::new(Bytes::from(text));
    *reply.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(CONTENT_TYPE, json);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apps::data_servers::body;

    fn text(reply: &Response<Bytes>) -> (u16, &str) {
        let body = std::str::from_utf8(reply.body()).expect("is text");
        (reply.status().as_u16(), body.trim_end())
    }

    fn asked() -> Vec<AskedKey> {
        let body = br#"[{"encoding":"string","data":"a"},{"data":"b","encoding":"x","more":1}]"#;
        body::keys(body).expect("are keys")
    }

    #[test]
    fn what_cannot_be_asked_does_not_look_like_what_is_missing() {
        let asked = &asked()[..1];
        let missing = fetched(asked, &[ReadResult::Missing]);
        let key = r#"{"encoding":"string","data":"a"}"#;
        assert_eq!(
            text(&missing),
            (206, format!(r#"[{{"key":{key},"value":null}}]"#).as_str())
        );
        assert_eq!(text(&fetched(asked, &[ReadResult::Unavailable])).0, 503);
        assert_eq!(text(&queried(asked, &[ReadResult::Unavailable])).0, 503);
        let partly = [asked, asked].concat();
        let partly = queried(&partly, &[ReadResult::Unavailable, ReadResult::Missing]);
        let unavailable = format!(r#"[{{"key":{key},"value":null,"error":"unavailable"}},"#);
        assert!(text(&partly).1.starts_with(&unavailable), "{partly:?}");
        assert_eq!(text(&partly).0, 206);
    }

    #[test]
    fn failed_keys_are_shown_as_they_were_given() {
        let reply = deleted(&asked(), &[KeyOutcome::Refused, KeyOutcome::Refused]);
        let keys = r#"[{"encoding":"string","data":"a"},{"data":"b","encoding":"x","more":1}]"#;
        let body = format!(r#"{{"keys_deleted":0,"keys_failed":{keys}}}"#);
        assert_eq!(text(&reply), (400, body.as_str()));
        let reply = deleted(&asked(), &[KeyOutcome::Unknown, KeyOutcome::Refused]);
        assert_eq!(
            text(&reply),
            (504, body.as_str()),
            "nobody knows that none is deleted"
        );
        assert_eq!(
            text(&deleted(&asked(), &[KeyOutcome::Unknown, KeyOutcome::Done])).0,
            206
        );
    }
}
