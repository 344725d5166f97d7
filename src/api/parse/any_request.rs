//! Any request is the operation that it spells out, or a refusal in the form of all refusals. A refused
//! request never reaches the node, so it changes nothing.

use http::header::{HeaderName, HeaderValue};
use http::{Request, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::public::Failure;

const VALUE_BYTES_MAX: usize = 300;

fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Option<Parts> {
    let mut request = Request::builder().method(method).uri(target.parse::<Uri>().ok()?);
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).ok()?;
        request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// Reads a request, and checks that clients can read the reply to a refused one.
fn read(parts: &Parts, body: &[u8]) -> Option<Operation> {
    match parse(parts, &Bytes::copy_from_slice(body), VALUE_BYTES_MAX) {
        Ok(operation) => Some(operation),
        Err(error) => {
            let reply = error.into_reply();
            assert!((400..500).contains(&reply.status().as_u16()), "{reply:?}");
            let failure: Failure = serde_json::from_slice(reply.body()).expect("is the body of a failure");
            assert!(
                !failure.error.is_empty() && failure.msg == failure.error,
                "{failure:?}"
            );
            None
        }
    }
}

fn methods() -> BoxedStrategy<String> {
    let known = vec!["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST", "PATCH"];
    prop_oneof![9 => prop::sample::select(known).prop_map(str::to_owned), 1 => "[A-Z!#$%&'*+.^_`|~0-9-]{1,20}"].boxed()
}

/// Paths of the contract, keys in any spelling, and anything else.
fn targets() -> BoxedStrategy<String> {
    let paths = vec![
        "/kv-store/x",
        "/kv-store/key/x",
        "/kv-store/update_view",
        "/kv-store/get_partition_members",
        "/readyz",
        "/status",
        "/",
        "*",
    ];
    let queries = prop_oneof![
        Just(String::new()),
        "[a-z_]{1,9}=[a-z0-9%+&=,:]{0,30}".prop_map(|query| format!("?{query}")),
        "(type|ip_port|force|dry_run|partition_id|val|causal_payload)=[ -~]{0,20}"
            .prop_map(|q| format!("?{q}")),
    ];
    let paths = prop_oneof![
        prop::sample::select(paths).prop_map(str::to_owned),
        "[!-~]{0,40}".prop_map(|key| format!("/kv-store/{key}")),
        "(%[0-9a-fA-F]{0,2}){1,20}".prop_map(|key| format!("/kv-store/{key}")),
        "/[!-~]{0,40}",
    ];
    (paths, queries).prop_map(|(path, query)| path + &query).boxed()
}

fn content_types() -> BoxedStrategy<String> {
    let known = vec![
        "application/x-www-form-urlencoded",
        "application/json",
        "application/octet-stream",
        "",
    ];
    prop_oneof![4 => prop::sample::select(known).prop_map(str::to_owned), 1 => "[ -~]{0,30}"].boxed()
}

fn bodies() -> BoxedStrategy<Vec<u8>> {
    let form = "((val|causal_payload|type|ip_port)=[ -~]{0,20}&?){0,4}".prop_map(String::into_bytes);
    let json = "[\\[{]?(\"(val|causal_payload|type)\"[:,]([0-9tnf\"\\[{\\\\u}\\]]{0,12}),?){0,4}[\\]}]?"
        .prop_map(String::into_bytes);
    prop_oneof![any::<Vec<u8>>(), form, json].boxed()
}

/// Texts full of characters that some encoding treats specially.
fn texts() -> BoxedStrategy<String> {
    prop_oneof!["[&=+%;?#/\\\\\"' a-f0-9,]{0,30}", any::<String>()].boxed()
}

fn keys() -> BoxedStrategy<String> {
    prop_oneof!["[&=+%?#/\\\\\" a-f]{1,20}", "\\PC{1,200}"].boxed()
}

/// The same parameters in each of the wrappings that the contract allows.
fn wrappings(parameters: &[(&str, &str)]) -> [(String, &'static str, Vec<u8>); 3] {
    let form = serde_urlencoded::to_string(parameters).expect("pairs of texts make a form");
    let fields = parameters
        .iter()
        .map(|(name, text)| ((*name).to_owned(), json!(text)));
    let json = Value::Object(fields.collect()).to_string();
    [
        (format!("?{form}"), "", Vec::new()),
        (
            String::new(),
            "application/x-www-form-urlencoded",
            form.into_bytes(),
        ),
        (String::new(), "application/json", json.into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_request_is_an_operation_or_a_refusal_that_can_be_read(
        (method, target) in (methods(), targets()),
        (content_type, accept, payload) in (content_types(), "[ -~]{0,20}", "[ -\u{ff}]{0,20}"),
        body in bodies(),
    ) {
        let headers = [("content-type", &*content_type), ("accept", &accept), ("causal-payload", &payload)];
        let Some(parts) = request(&method, &target, &headers) else { return Ok(()) };
        match read(&parts, &body) {
            Some(Operation::Put { value, .. }) => {
                prop_assert!(method == "PUT" && value.len() <= VALUE_BYTES_MAX);
            }
            Some(Operation::Delete { .. }) => prop_assert_eq!(method, "DELETE"),
            Some(Operation::UpdateView(_)) => prop_assert_eq!(method, "PUT"),
            _ => {}
        }
    }

    #[test]
    fn what_is_put_is_what_was_sent_in_every_wrapping(key in keys(), value in texts(), payload in texts()) {
        prop_assume!(value.len() <= VALUE_BYTES_MAX);
        let segment = utf8_percent_encode(&key, NON_ALPHANUMERIC).to_string();
        for (query, content_type, body) in wrappings(&[("val", &value), ("causal_payload", &payload)]) {
            let target = format!("/kv-store/key/{segment}{query}");
            let parts = request("PUT", &target, &[("content-type", content_type)]).expect("is a request");
            let Some(Operation::Put { key: told_key, value: told, payload: told_payload }) = read(&parts, &body) else {
                panic!("{target} was not understood");
            };
            prop_assert_eq!(told_key.as_str(), &key);
            prop_assert_eq!(&told[..], value.as_bytes());
            prop_assert_eq!(told_payload.as_str(), payload.trim());
        }
    }

    #[test]
    fn bytes_are_put_as_they_are(bytes in vec(any::<u8>(), 0..VALUE_BYTES_MAX)) {
        let parts = request("PUT", "/kv-store/x?causal_payload=p", &[("content-type", BYTES)]).expect("is a request");
        let Some(Operation::Put { value, payload, .. }) = read(&parts, &bytes) else {
            panic!("bytes were not understood");
        };
        prop_assert_eq!((&value[..], &*payload), (&bytes[..], "p"));
    }
}

#[test]
fn json_that_is_deeper_than_any_stack_is_refused() {
    let parts = request("PUT", "/kv-store/x", &[("content-type", "application/json")]).expect("is a request");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{{\"val\":{}{}}}", open.repeat(100_000), close.repeat(100_000));
        assert_eq!(read(&parts, deep.as_bytes()), None);
        let unclosed = format!("{{\"val\":{}", open.repeat(100_000));
        assert_eq!(read(&parts, unclosed.as_bytes()), None);
    }
}
