//! Request bodies for the proxy and data servers.

use serde_json::{Value, json};

pub fn string(data: &str) -> Value {
    json!({"encoding": "string", "data": data})
}

pub fn binary(data: &str) -> Value {
    json!({"encoding": "binary", "data": data})
}

pub fn pair(key: &str, value: &str) -> Value {
    json!({"key": string(key), "value": string(value)})
}

/// These keys, each with one value.
pub fn pairs(keys: &[String], value: &str) -> Value {
    keys.iter().map(|key| pair(key, value)).collect()
}

/// Keys with a prefix and a number.
pub fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

/// The body that asks for the values of string keys.
pub fn asked(keys: &[String]) -> Value {
    keys.iter().map(|key| string(key)).collect()
}

/// The data of the values found, in order; `None` if any value is unknown.
pub fn found(pairs: &Value) -> Option<Vec<Option<String>>> {
    let pairs = pairs.as_array()?;
    let known = pairs.iter().all(|pair| pair.get("error").is_none());
    let value = |pair: &Value| pair["value"]["data"].as_str().map(str::to_owned);
    known.then(|| pairs.iter().map(value).collect())
}
