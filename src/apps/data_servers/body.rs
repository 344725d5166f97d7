//! Parses the bodies of requests. A body of the wrong shape is refused as a whole. A key or value that
//! cannot be stored is marked in its place, so that only its pair fails.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::apps::data_servers::messages::{Datum, Encoding, Given, Pair};
use crate::wire::json;

/// The largest pair, key and value together, in bytes.
pub(super) const PAIR_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A key as the client gave it, and the key that it means; none if it is invalid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AskedKey {
    pub(super) given: Value,
    pub(super) key: Option<Datum>,
}

impl AskedKey {
    /// The key for a reply. A valid key without further fields is spelled in the usual order.
    pub(super) fn as_given(&self) -> Given<'_> {
        let has_more = self.given.as_object().is_none_or(|given| given.len() > 2);
        match self.key.as_ref().filter(|_| !has_more) {
            Some(key) => Given::Datum(key),
            None => Given::Other(&self.given),
        }
    }
}

/// A pair to store; without a value if the value is invalid or the pair is too large.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AskedPair {
    pub(super) asked: AskedKey,
    pub(super) value: Option<Datum>,
}

impl AskedPair {
    pub(super) fn pair(&self) -> Option<Pair> {
        let (key, value) = (self.asked.key.clone()?, self.value.clone()?);
        Some(Pair { key, value })
    }
}

/// Pairs to store: `[{"key":K,"value":V},…]`. Of several with one key only the last stays, because the
/// last wins.
pub(super) fn pairs(body: &[u8]) -> Result<Vec<AskedPair>, String> {
    let mut pairs = Vec::new();
    for (at, element) in elements(body)?.into_iter().enumerate() {
        let place = || format!("element {at}: write {{\"key\":{{…}},\"value\":{{…}}}}");
        let Value::Object(mut element) = element else {
            return Err(place());
        };
        let (key, value) = (element.remove("key"), element.remove("value"));
        let (Some(given @ Value::Object(_)), Some(value @ Value::Object(_))) = (key, value) else {
            return Err(place());
        };
        pairs.push(asked_pair(given, &value));
    }
    let mut seen = BTreeSet::new();
    pairs.reverse();
    pairs.retain(|pair: &AskedPair| pair.asked.key.as_ref().is_none_or(|key| seen.insert(key.clone())));
    pairs.reverse();
    Ok(pairs)
}

fn asked_pair(given: Value, value: &Value) -> AskedPair {
    let key = datum(&given);
    let key_bytes = key.as_ref().map_or(0, |key| key.data.len());
    let value = datum(value).filter(|value| key_bytes + value.data.len() <= PAIR_BYTES_MAX);
    AskedPair {
        asked: AskedKey { given, key },
        value,
    }
}

/// Keys to ask for: `[K,…]` or `[{"key":K},…]`.
pub(super) fn keys(body: &[u8]) -> Result<Vec<AskedKey>, String> {
    let elements = elements(body)?.into_iter().enumerate();
    let keys = elements.map(|(at, element)| {
        let place =
            || format!("element {at}: write a key, {{\"encoding\":…,\"data\":…}}, or {{\"key\":{{…}}}}");
        let Value::Object(mut element) = element else {
            return Err(place());
        };
        let given = element.remove("key").unwrap_or(Value::Object(element));
        if !given.is_object() {
            return Err(place());
        }
        let key = datum(&given);
        Ok(AskedKey { given, key })
    });
    keys.collect()
}

/// The address in `{"server":"host:port"}`. Other fields are refused: an ignored field may have been
/// meant to change what is done.
pub(super) fn server(body: &[u8]) -> Result<String, String> {
    let body = json::read(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let mut names = body.as_object().into_iter().flat_map(|fields| fields.keys());
    if let Some(other) = names.find(|name| *name != "server") {
        return Err(format!(
            "there is no field {other} here; write {{\"server\":\"host:port\"}}"
        ));
    }
    let server = body.get("server").and_then(Value::as_str);
    server
        .map(str::to_owned)
        .ok_or_else(|| "write {\"server\":\"host:port\"}".to_owned())
}

/// Refuses a body of a request that has none. Some programs send an empty value with every request.
pub(super) fn require_nothing(body: &[u8]) -> Result<(), String> {
    let is_nothing = match json::read(body) {
        _ if body.trim_ascii().is_empty() => true,
        Ok(Value::Null) => true,
        Ok(Value::Array(elements)) => elements.is_empty(),
        Ok(Value::Object(fields)) => fields.is_empty(),
        Ok(_) | Err(_) => false,
    };
    let why = "this request takes no body; write the parameter after the path: ?force=true";
    is_nothing.then_some(()).ok_or_else(|| why.to_owned())
}

fn elements(body: &[u8]) -> Result<Vec<Value>, String> {
    match json::read(body) {
        Ok(Value::Array(elements)) => Ok(elements),
        Ok(_) => Err("the body is JSON, but not an array".to_owned()),
        Err(error) => Err(format!("the body is not JSON: {error}")),
    }
}

fn datum(value: &Value) -> Option<Datum> {
    let encoding = match value.get("encoding")?.as_str()? {
        "string" => Encoding::String,
        "binary" => Encoding::Binary,
        _ => return None,
    };
    let data = value.get("data")?.as_str()?.to_owned();
    Some(Datum { encoding, data })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(value: &Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    fn string(data: &str) -> Value {
        json!({"encoding": "string", "data": data})
    }

    #[test]
    fn a_body_of_the_wrong_shape_is_refused_whole() {
        let good = json!({"key": string("a"), "value": string("1")});
        for body in [
            "", "{", "null", "{}", "7", "\"x\"", "[", "[1]", "[[]]", "[null]", "\u{fffd}", "[],", "[,]",
        ] {
            assert!(pairs(body.as_bytes()).is_err(), "{body}");
            assert!(keys(body.as_bytes()).is_err(), "{body}");
        }
        for element in [
            json!({"key": string("a")}),
            json!({"value": string("a")}),
            json!({"key": "a", "value": string("1")}),
            json!({"key": string("a"), "value": null}),
            string("a"),
        ] {
            assert!(pairs(&bytes(&json!([good, element]))).is_err(), "{element}");
        }
        assert!(keys(br#"[{"key":"a"}]"#).is_err());
        assert!(keys(&[0xff]).is_err());
    }

    #[test]
    fn a_datum_that_cannot_be_kept_fails_alone() {
        for bad in [
            json!({"encoding": "utf-9", "data": "a"}),
            json!({"encoding": "String", "data": "a"}),
            json!({"encoding": "string", "data": 7}),
            json!({"encoding": "string", "data": ["a"]}),
            json!({"encoding": "binary"}),
            json!({"data": "a"}),
            json!({}),
        ] {
            let body = json!([
                {"key": bad, "value": string("1")},
                {"key": string("a"), "value": bad},
                {"key": string("b"), "value": string("1")},
            ]);
            let read = pairs(&bytes(&body)).expect("has the right shape");
            let kept: Vec<bool> = read.iter().map(|pair| pair.pair().is_some()).collect();
            assert_eq!(kept, [false, false, true], "{bad}");
            assert_eq!(read[0].asked.given, bad, "comes back as it was given");
        }
    }

    #[test]
    fn of_one_key_twice_the_last_is_left_even_if_it_is_bad() {
        let body = json!([
            {"key": string("a"), "value": string("1")},
            {"key": {"encoding": "binary", "data": "a"}, "value": string("other")},
            {"key": string("a"), "value": string("2")},
            {"key": string("b"), "value": string("1")},
            {"key": string("b"), "value": {"encoding": "no", "data": "2"}},
        ]);
        let read = pairs(&bytes(&body)).expect("has the right shape");
        let values: Vec<Option<String>> = read
            .iter()
            .map(|pair| pair.value.clone().map(|v| v.data))
            .collect();
        assert_eq!(values, [Some("other".into()), Some("2".into()), None]);
    }

    #[test]
    fn keys_come_bare_or_in_an_object() {
        let body = json!([string("a"), {"key": string("a"), "value": 1}, {"encoding": "x"}]);
        let read = keys(&bytes(&body)).expect("has the right shape");
        assert_eq!(read[0], read[1]);
        assert!(read[0].key.is_some() && read[2].key.is_none());
        assert_eq!(keys(b"[]"), Ok(Vec::new()));
    }

    #[test]
    fn a_pair_that_is_too_large_fails_alone() {
        let pair = |bytes: usize| json!([{"key": string("k"), "value": string(&"v".repeat(bytes))}]);
        let fits = |bytes| {
            pairs(&self::bytes(&pair(bytes))).expect("is an array")[0]
                .pair()
                .is_some()
        };
        assert!(fits(PAIR_BYTES_MAX - 1) && !fits(PAIR_BYTES_MAX));
    }

    #[test]
    fn a_body_from_any_editor_is_read_and_one_that_can_be_read_in_two_ways_is_not() {
        let body = json!([{"key": string("a"), "value": string("1")}]).to_string();
        let plain = pairs(body.as_bytes());
        assert_eq!(pairs(format!("\u{feff}{body}\r\n").as_bytes()), plain);
        let twice = r#"[{"key":{"encoding":"string","data":"a","data":"b"},"value":{}}]"#;
        assert!(pairs(twice.as_bytes()).is_err_and(|why| why.contains("more than once")));
    }

    #[test]
    fn a_server_is_named_by_its_address() {
        assert_eq!(server(br#"{"server":"a:1"}"#), Ok("a:1".into()));
        let two = r#"{"server":"a:1","dry_run":true}"#;
        for body in ["", "[]", "{}", r#"{"server":7}"#, "a:1", two] {
            assert!(server(body.as_bytes()).is_err(), "{body}");
        }
    }
}
