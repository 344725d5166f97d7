//! Reads JSON that clients write by hand, by the same rules at every interface of every program.
//!
//! A byte order mark is dropped, and UTF-16 is decoded. A field that is named twice is a mistake, since
//! readers differ in which one they take. Null means that a field is not given. As a text, a whole
//! number or a boolean means its own spelling; other numbers are refused, since they would come back
//! spelled differently.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::text::{self, NotText};

/// Why bytes are not valid JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    #[error("{0}")]
    NotText(#[from] NotText),
    #[error("{}", plain(.0))]
    NotJson(#[from] serde_json::Error),
}

/// The parser's message, in plain words where it takes a reader for an expert of Unicode.
fn plain(error: &serde_json::Error) -> String {
    let alone = "a \\u escape from \\ud800 to \\udfff is half of a character; write both halves, or the character itself";
    error
        .to_string()
        .replace("lone leading surrogate in hex escape", alone)
        .replace("unexpected end of hex escape", alone)
}

/// The JSON of a body or a file.
pub fn read(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = text::decode(bytes)?;
    let Strict(value) = serde_json::from_str(&text)?;
    Ok(value)
}

/// A value as the text of a parameter; none if it is null.
pub fn as_text(value: Value) -> Result<Option<String>, NoText> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        Value::Number(number) if !number.is_f64() => Ok(Some(number.to_string())),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(NoText),
    }
}

/// A value that is neither a text nor anything that has only one spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be a JSON string")]
pub struct NoText;

/// Reads a field that is a text.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Strict(value) = Strict::deserialize(deserializer)?;
    as_text(value).map_err(|_| de::Error::custom("val must be a JSON string; write {\"val\": \"...\"}"))
}

/// Reads a field that null leaves out.
pub(super) fn absent_if_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Any JSON in which no object names a field twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

impl<'de> DeserializeSeed<'de> for StrictVisitor {
    type Value = Strict;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[derive(Clone, Copy)]
struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Strict, E> {
        Ok(Strict(flag.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Strict, E> {
        Ok(Strict(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Strict, E> {
        Ok(Strict(number.into()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Strict, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Strict(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Strict, E> {
        Ok(Strict(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Strict, E> {
        Ok(Strict(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Strict, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(element)) = elements.next_element_seed(self)? {
            array.push(element);
        }
        Ok(Strict(array.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Strict, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let Strict(value) = fields.next_value_seed(self)?;
            if object.contains_key(&name) {
                return Err(de::Error::custom(format!(
                    "{name} was given more than once; give it once"
                )));
            }
            object.insert(name, value);
        }
        Ok(Strict(object.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_editors_leave_does_no_harm() {
        let wide = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(bytes).collect()
        };
        for bytes in [
            "{\"a\":\"é\"}".as_bytes().to_vec(),
            "\u{feff}{\r\n\"a\":\"é\"}\r\n".as_bytes().to_vec(),
            wide("\u{feff}{\"a\":\"é\"}", u16::to_le_bytes),
            wide("\u{feff}{\"a\":\"é\"}", u16::to_be_bytes),
        ] {
            assert_eq!(read(&bytes).expect("is JSON"), json!({"a": "é"}), "{bytes:?}");
        }
    }

    #[test]
    fn what_readers_would_take_differently_is_refused() {
        for (text, why) in [
            (r#"{"a":1,"a":1}"#, "a was given more than once"),
            (r#"[{"k":{"b":1,"\u0062":2}}]"#, "b was given more than once"),
            ("[1,]", "trailing comma"),
            ("{\"a\":1,}", "trailing comma"),
            ("[1] x", "trailing characters"),
            ("1e999", "out of range"),
            ("NaN", "expected"),
            ("'a'", "expected"),
            ("\"\\ud800\"", "half of a character"),
            ("\"\\udc00\"", "half of a character"),
            ("\"\\ud800\\u0041\"", "half of a character"),
            ("\"a\nb\"", "control character"),
            ("", "EOF"),
        ] {
            let error = read(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let deep = "[".repeat(1000);
        assert!(read(deep.as_bytes()).is_err());
        assert!(matches!(read(b"[\0"), Err(JsonError::NotText(_))));
    }

    #[test]
    fn a_text_is_a_text_or_has_one_spelling() {
        for (value, meant) in [
            (json!("7"), Ok(Some("7"))),
            (json!(""), Ok(Some(""))),
            (json!(-7), Ok(Some("-7"))),
            (
                json!(18_446_744_073_709_551_615_u64),
                Ok(Some("18446744073709551615")),
            ),
            (json!(true), Ok(Some("true"))),
            (json!(null), Ok(None)),
            (json!(1.5), Err(NoText)),
            (json!(1e30), Err(NoText)),
            (json!([]), Err(NoText)),
            (json!({}), Err(NoText)),
        ] {
            let meant = meant.map(|text| text.map(str::to_owned));
            assert_eq!(as_text(value.clone()), meant, "{value}");
        }
    }

    proptest! {
        #[test]
        fn other_json_is_read_as_by_everybody(text in "[\\[{:,0-9a\"}\\]etrun .-]{0,24}") {
            let usual: Result<Value, _> = serde_json::from_str(&text);
            match (read(text.as_bytes()), usual) {
                (Ok(own), usual) => prop_assert_eq!(own, usual.expect("is JSON")),
                (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("more than once")),
                (Err(_), Err(_)) => {}
            }
        }
    }
}
