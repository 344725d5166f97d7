//! `POST /kv-store`: several operations at once. Each result is the reply that its operation would get
//! alone, with its status in front.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::Value;

use super::error::{ApiError, JSON_ARRAY};
use super::keys::{deleted_reply, found_reply, put_reply, read_payload, refused};
use super::parameters::Parameters;
use super::reply::with_payload;
use super::status::{MIXED, REPLACED, is_definite};
use crate::names::Key;
use crate::node::{ANSWER_BYTES_MAX, AllDone, Done, Node, Refusal, Room};
use crate::protocol::causality::Payload;
use crate::protocol::replication::Operation;
use crate::wire::json::{self, JsonError};
use crate::wire::public::{OperationAsked, OperationsAsked};

/// The most operations in one request.
const OPERATIONS_MAX: usize = 10_000;

/// The most bytes of their keys and values together.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// About the most bytes of the payloads in their results.
const RESULTS_BYTES_MAX: usize = 48 * 1024 * 1024;

/// The operations in a body, and the client's payload. The body must be JSON, whatever its declared type.
pub(super) fn parse(
    parameters: &Parameters<'_>,
    body: &[u8],
    value_bytes_max: usize,
) -> Result<(Vec<Operation>, String), ApiError> {
    let mut payload = parameters.payload();
    let asked = OperationsAsked::from_json(body).map_err(|error| mistake(body, &error))?;
    let claimed = asked.causal_payload.trim();
    if !payload.is_empty() && !claimed.is_empty() {
        payload.push(',');
    }
    payload.push_str(claimed);
    let asked = asked.operations;
    if asked.len() > OPERATIONS_MAX {
        let text = format!(
            "{} operations are too many; send at most {OPERATIONS_MAX} at once",
            asked.len()
        );
        return Err(ApiError::BadRequest(text));
    }
    let mut operations = Vec::with_capacity(asked.len());
    let mut bytes = 0;
    for (index, asked) in asked.into_iter().enumerate() {
        let operation = operation(asked, value_bytes_max).map_err(|error| within(index, error))?;
        bytes += operation.key().as_str().len();
        if let Operation::Put { value, .. } = &operation {
            bytes += value.len();
        }
        operations.push(operation);
    }
    if bytes > BYTES_MAX {
        return Err(ApiError::TooLarge(format!(
            "the keys and values are {bytes} bytes together; send at most {BYTES_MAX} at once"
        )));
    }
    Ok((operations, payload))
}

/// The mistake in a body: in its first wrong operation, or else in the whole body.
fn mistake(body: &[u8], error: &JsonError) -> ApiError {
    let whole: Value = json::read(body).unwrap_or_default();
    let operations = whole.get("operations").unwrap_or(&whole);
    let mut operations = operations.as_array().into_iter().flatten().enumerate();
    let wrong = operations.find_map(|(index, asked)| {
        let error = OperationAsked::deserialize(asked).err()?;
        Some(within(index, ApiError::BadRequest(error.to_string())))
    });
    wrong.unwrap_or_else(|| ApiError::BadRequest(format!("{JSON_ARRAY} ({error})")))
}

/// Adds the index of the operation to its mistake. Nothing of the request is done.
fn within(index: usize, error: ApiError) -> ApiError {
    let place = |text: String| format!("operation {index}: {text}");
    match error {
        ApiError::BadKey(text) => ApiError::BadKey(place(text)),
        ApiError::MissingVal(text) => ApiError::MissingVal(place(text)),
        ApiError::BadRequest(text) => ApiError::BadRequest(place(text)),
        other => other,
    }
}

/// The value of a parameter `val_base64`.
pub(super) fn from_base64(text: &str) -> Result<Vec<u8>, ApiError> {
    let value = STANDARD.decode(text);
    value.map_err(|_| ApiError::BadRequest("val_base64 is not base64".into()))
}

pub(super) fn two_values() -> ApiError {
    ApiError::BadRequest("give val or val_base64, not both".into())
}

fn operation(asked: OperationAsked, value_bytes_max: usize) -> Result<Operation, ApiError> {
    let key = Key::new(&asked.key).map_err(|error| ApiError::BadKey(error.to_string()))?;
    let value = match (asked.val, asked.val_base64) {
        (None, None) => None,
        (Some(text), None) => Some(text.into_bytes()),
        (None, Some(text)) => Some(from_base64(&text)?),
        (Some(_), Some(_)) => return Err(two_values()),
    };
    if value.as_ref().is_some_and(|value| value.len() > value_bytes_max) {
        return Err(ApiError::ValueTooLarge {
            bytes_max: value_bytes_max,
        });
    }
    match (asked.op.to_ascii_lowercase().as_str(), value) {
        ("put", Some(value)) => Ok(Operation::Put { key, value }),
        ("put", None) => Err(ApiError::MissingVal(
            "val is missing; write {\"op\":\"put\",\"key\":\"...\",\"val\":\"...\"}".into(),
        )),
        ("get", None) => Ok(Operation::Get { key }),
        ("delete", None) => Ok(Operation::Delete { key }),
        ("get" | "delete", Some(_)) => {
            let text = format!("a {} takes no val", asked.op);
            Err(ApiError::BadRequest(text))
        }
        _ => Err(ApiError::BadRequest(format!(
            "op is {:?}; write get, put or delete",
            asked.op
        ))),
    }
}

pub(super) async fn batch(
    node: &Node,
    operations: Vec<Operation>,
    payload: &str,
) -> Result<Response<Bytes>, ApiError> {
    let payload = read_payload(node, payload)?;
    let deletes: Vec<bool> = operations
        .iter()
        .map(|operation| matches!(operation, Operation::Delete { .. }))
        .collect();
    check_results(operations.len(), &payload)?;
    let AllDone {
        results,
        payload,
        mut room,
    } = node.requests.batch(operations, payload).await;
    let mut body = Body::new();
    for (result, deletes) in results.into_iter().zip(deletes) {
        let is_read = matches!(result, Ok(Done::Found(_)) | Err(Refusal::KeyNotFound { .. })) && !deletes;
        let reply = reply(node, result, deletes);
        match body.refusal(&reply, &mut room).filter(|_| is_read) {
            Some(refusal) => body.push(&ApiError::Refused(refusal).into_reply()),
            None => body.push(&reply),
        }
    }
    let reply = body.finish(&node.requests.payload_text(&payload));
    Ok(reply.map(|body| room.hold(body)))
}

/// Refuses operations whose results would be too long: the result of each write has a payload, and is sent
/// whatever its size.
fn check_results(operations: usize, payload: &Payload) -> Result<(), ApiError> {
    let bytes = operations * payload.about_bytes();
    if bytes <= RESULTS_BYTES_MAX {
        return Ok(());
    }
    let fit = RESULTS_BYTES_MAX / payload.about_bytes();
    Err(ApiError::TooLarge(format!(
        "each of {operations} results would have your causal payload, which has {} entries; \
         send at most {fit} operations at once",
        payload.entries.len()
    )))
}

fn reply(node: &Node, result: Result<Done, Refusal>, deletes: bool) -> Response<Bytes> {
    match result {
        Ok(Done::Found(found)) => found_reply(node, &found),
        Ok(Done::Written(written)) if deletes => deleted_reply(node, &written),
        Ok(Done::Written(written)) => put_reply(node, &written),
        Err(refusal) => refused(node, refusal).into_reply(),
    }
}

/// The body of the answer under construction.
struct Body {
    text: Vec<u8>,
    /// The length without any result.
    empty_bytes: usize,
    all_definite: bool,
}

impl Body {
    fn new() -> Self {
        let text = br#"{"result":"success","msg":"success","results":["#.to_vec();
        Self {
            empty_bytes: text.len(),
            all_definite: true,
            text,
        }
    }

    /// The reason to leave a value out, if there is one: as text it may be several times as long.
    fn refusal(&self, reply: &Response<Bytes>, room: &mut Room) -> Option<Refusal> {
        let is_first = self.text.len() == self.empty_bytes;
        if self.text.len() >= ANSWER_BYTES_MAX {
            return Some(Refusal::AnswerTooLarge);
        }
        if room.resize(self.text.len() + reply.body().len()) {
            return None;
        }
        Some(if is_first {
            Refusal::Overloaded
        } else {
            Refusal::AnswerTooLarge
        })
    }

    fn push(&mut self, reply: &Response<Bytes>) {
        if self.text.len() > self.empty_bytes {
            self.text.push(b',');
        }
        let status = format!("{{\"status\":{},", reply.status().as_u16());
        self.text.extend_from_slice(status.as_bytes());
        // Every reply is an object with fields: append what follows its first brace.
        self.text.extend_from_slice(&reply.body()[1..]);
        self.all_definite &= is_definite(reply.status());
    }

    fn finish(mut self, payload: &str) -> Response<Bytes> {
        let end = format!("],\"causal_payload\":\"{payload}\"}}");
        self.text.extend_from_slice(end.as_bytes());
        let mut reply = with_payload(self.text.into(), "application/json", payload);
        // A client that looks at the status alone must notice that something was not done.
        *reply.status_mut() = if self.all_definite { REPLACED } else { MIXED };
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::public::OperationsDone;

    fn parse_body(body: &str) -> Result<(Vec<Operation>, String), ApiError> {
        let request = http::Request::post("/kv-store?causal_payload=q")
            .body(())
            .expect("is a request");
        let (parts, ()) = request.into_parts();
        let none = Bytes::new();
        parse(&Parameters::read(&parts, &none)?, body.as_bytes(), 8)
    }

    fn key(text: &str) -> Key {
        Key::new(text).expect("is a key")
    }

    #[test]
    fn an_array_and_an_object_ask_for_the_same() {
        let array = r#"[{"op":"put","key":"a","val":"1"},{"op":"GET","key":"a/b"},
            {"method":"delete","key":"c"},{"op":"put","key":"d","val_base64":"/w=="},{"op":"put","key":"e","value":""}]"#;
        let expected = vec![
            Operation::Put {
                key: key("a"),
                value: b"1".to_vec(),
            },
            Operation::Get { key: key("a/b") },
            Operation::Delete { key: key("c") },
            Operation::Put {
                key: key("d"),
                value: vec![0xFF],
            },
            Operation::Put {
                key: key("e"),
                value: vec![],
            },
        ];
        assert_eq!(parse_body(array), Ok((expected.clone(), "q".into())));
        let object = format!(r#" {{"operations":{array},"causal_payload":"p"}}"#);
        assert_eq!(parse_body(&object), Ok((expected, "q,p".into())));
        let with_mark = format!("\u{feff}{object}\r\n");
        assert_eq!(parse_body(&with_mark), parse_body(&object));
        assert_eq!(parse_body("[]"), Ok((vec![], "q".into())));
        let bare =
            r#"{"operations":[{"op":"put","key":"a","val":7,"val_base64":null}],"causal_payload":null}"#;
        let put = Operation::Put {
            key: key("a"),
            value: b"7".to_vec(),
        };
        assert_eq!(parse_body(bare), Ok((vec![put], "q".into())));
    }

    #[test]
    fn a_mistake_anywhere_is_named_with_its_place() {
        for (body, code, text) in [
            ("", "bad_request", "array"),
            ("op=get", "bad_request", "array"),
            ("{}", "bad_request", "operations"),
            (r#"[{"op":"get"}]"#, "bad_request", "key"),
            (r#"[{"op":"get","key":"a","ttl":1}]"#, "bad_request", "ttl"),
            (
                r#"[{"op":"get","key":"a"},{"op":"incr","key":"a"}]"#,
                "bad_request",
                "operation 1",
            ),
            (r#"[{"op":"get","key":""}]"#, "bad_key", "operation 0"),
            (
                r#"[{"op":"put","key":"a","val":1.5}]"#,
                "bad_request",
                "operation 0: val must be a JSON string",
            ),
            (
                r#"[{"op":"put","key":"a","val":"1","value":"1"}]"#,
                "bad_request",
                "duplicate field",
            ),
            (r#"[{"op":"put","key":"a"}]"#, "missing_val", "operation 0"),
            (
                r#"[{"op":"get","key":"a","val":"1"}]"#,
                "bad_request",
                "takes no val",
            ),
            (
                r#"[{"op":"put","key":"a","val":"1","val_base64":"MQ=="}]"#,
                "bad_request",
                "not both",
            ),
            (
                r#"[{"op":"put","key":"a","val_base64":"*"}]"#,
                "bad_request",
                "not base64",
            ),
            (
                r#"[{"op":"get","key":"a"},{"op":"get","key":5}]"#,
                "bad_request",
                "operation 1: invalid type: integer",
            ),
            (
                r#"{"operations":["get a"]}"#,
                "bad_request",
                "operation 0: invalid type: string \"get a\", expected an object with op",
            ),
            (
                r#"[{"op":"put","key":"a","val":"123456789"}]"#,
                "value_too_large",
                "8 bytes",
            ),
        ] {
            let error = parse_body(body).expect_err(body);
            assert!(error.to_string().contains(text), "{body}: {error}");
            assert_eq!(super::super::status::verdict(&error).code, code, "{body}");
        }
    }

    #[test]
    fn too_many_and_too_large_are_refused() {
        let many = format!(
            "[{}]",
            vec![r#"{"op":"get","key":"a"}"#; OPERATIONS_MAX + 1].join(",")
        );
        assert!(matches!(parse_body(&many), Err(ApiError::BadRequest(_))));
        let request = http::Request::post("/kv-store").body(()).expect("is a request");
        let (parts, ()) = request.into_parts();
        let none = Bytes::new();
        let parameters = Parameters::read(&parts, &none).expect("none");
        let value = "v".repeat(BYTES_MAX / 4);
        let large = format!(
            "[{}]",
            vec![format!(r#"{{"op":"put","key":"a","val":"{value}"}}"#); 4].join(",")
        );
        let refused = parse(&parameters, large.as_bytes(), BYTES_MAX);
        assert!(matches!(refused, Err(ApiError::TooLarge(_))));
    }

    #[test]
    fn operations_whose_results_would_repeat_a_long_payload_are_refused() {
        use crate::names::{Dot, Epoch, Log, MemberId};
        let entry = |member| {
            let (epoch, member) = (Epoch(1), MemberId(member));
            let log = Log { epoch, member };
            Dot { log, number: 1 }
        };
        let payload = |entries: u64| Payload {
            entries: (0..entries).map(entry).collect(),
            ..Payload::default()
        };
        assert_eq!(check_results(OPERATIONS_MAX, &payload(100)), Ok(()));
        assert_eq!(check_results(10, &payload(16_000)), Ok(()));
        let refused = check_results(OPERATIONS_MAX, &payload(16_000));
        let text = refused.expect_err("gigabytes").to_string();
        assert!(text.contains("send at most 131 operations at once"), "{text}");
    }

    /// A value of zeros is six times as long in JSON.
    #[test]
    fn an_answer_is_bounded_as_the_text_that_it_is() {
        let reply = |bytes: usize| Response::new(Bytes::from(vec![b' '; bytes]));
        let (mut body, mut room) = (Body::new(), crate::node::Room::default());
        assert_eq!(body.refusal(&reply(ANSWER_BYTES_MAX), &mut room), None);
        body.push(&reply(ANSWER_BYTES_MAX));
        assert_eq!(body.refusal(&reply(1), &mut room), Some(Refusal::AnswerTooLarge));
    }

    #[test]
    fn each_result_is_the_reply_that_it_would_have_had_alone() {
        let refused = ApiError::Refused(Refusal::Overloaded).into_reply();
        let missing = ApiError::KeyNotFound {
            partition: crate::names::PartitionId(1),
            payload: "p".into(),
        };
        let mut body = Body::new();
        body.push(&missing.into_reply());
        body.push(&refused);
        let all = body.finish("P");
        let body: OperationsDone = serde_json::from_slice(all.body()).expect("is JSON");
        assert_eq!(body.causal_payload, "P");
        assert_eq!(body.results[0]["status"], 404);
        assert_eq!(body.results[0]["error"], "Key does not exist");
        assert_eq!(body.results[1]["code"], "overloaded");
        assert_eq!(
            (all.status().as_u16(), &all.headers()["causal-payload"]),
            (207, &"P".parse().expect("is a header"))
        );
    }

    #[test]
    fn what_was_answered_is_a_success_and_what_was_not_is_told() {
        let all = |codes: &[u16]| {
            let mut body = Body::new();
            for code in codes {
                let mut reply = Response::new(Bytes::from_static(b"{}"));
                *reply.status_mut() = http::StatusCode::from_u16(*code).expect("is a status");
                body.push(&reply);
            }
            body.finish("").status().as_u16()
        };
        assert_eq!(
            (all(&[]), all(&[200, 201, 404]), all(&[200, 503]), all(&[507])),
            (200, 200, 207, 207)
        );
    }
}
