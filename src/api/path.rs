//! Decodes the path of a request into a key: which characters may stand unencoded, and percent-encoding.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::error::ApiError;
use crate::names::Key;

/// Decodes every `%XX` that stands for an unreserved character, so that `/kv-store/update%5Fview` is the
/// command and not a key of that name (RFC 3986, 6.2.2.2).
pub fn normalise(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        normal.push_str(before);
        let decoded = escape.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = match decoded.filter(|byte| is_unreserved(*byte)) {
            Some(byte) => {
                normal.push(char::from(byte));
                &escape[3..]
            }
            None => {
                normal.push('%');
                &escape[1..]
            }
        };
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

/// The key that a path segment spells.
pub(super) fn decode_key(segment: &str) -> Result<Key, ApiError> {
    if let Some(bad) = segment.chars().find(|c| *c != '%' && !is_unreserved_char(*c)) {
        return Err(ApiError::BadKey(format!(
            "the key holds {bad:?}, which must be percent-encoded; only A-Z a-z 0-9 . _ ~ - stand as they are"
        )));
    }
    if has_broken_escape(segment) {
        return Err(ApiError::BadKey(
            "the key holds a % that is not followed by two hexadecimal digits; write % as %25".into(),
        ));
    }
    percent_decoded_key(segment)
}

pub(super) fn percent_decoded_key(text: &str) -> Result<Key, ApiError> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| ApiError::BadKey("the key is not UTF-8 once it is percent-decoded".into()))?;
    Key::new(&text).map_err(|error| ApiError::BadKey(error.to_string()))
}

fn has_broken_escape(segment: &str) -> bool {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = segment.as_bytes();
    let mut escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    escapes.any(|(at, _)| !is_hex(bytes.get(at + 1)) || !is_hex(bytes.get(at + 2)))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._~-".contains(&byte)
}

fn is_unreserved_char(c: char) -> bool {
    u8::try_from(c).is_ok_and(is_unreserved)
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_decoded() {
        for (segment, key) in [
            ("x", "x"),
            ("A.b_c~d-9", "A.b_c~d-9"),
            ("%C3%A9", "é"),
            ("a%2Fb", "a/b"),
            ("a%2fb", "a/b"),
            ("%25", "%"),
            ("a%20b", "a b"),
            ("%2e%2e", ".."),
            ("%00", "\0"),
        ] {
            assert_eq!(decode_key(segment).expect(segment).as_str(), key);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        for (segment, reason) in [
            ("", "empty"),
            ("a b", "percent-encoded"),
            ("a+b", "percent-encoded"),
            ("a/b", "percent-encoded"),
            ("é", "percent-encoded"),
            ("a%2", "two hexadecimal digits"),
            ("%zz", "two hexadecimal digits"),
            ("%", "two hexadecimal digits"),
            ("%+1", "percent-encoded"),
            ("%FF", "not UTF-8"),
            ("%C3", "not UTF-8"),
            (&"k".repeat(201), "longer than 200"),
        ] {
            let error = decode_key(segment).expect_err(segment).to_string();
            assert!(error.contains(reason), "{segment}: {error}");
        }
        assert!(decode_key(&"%C3%A9".repeat(200)).is_ok());
    }

    #[test]
    fn only_unreserved_characters_are_normalised() {
        for (path, normal) in [
            ("/kv-store/update%5Fview", "/kv-store/update_view"),
            ("/kv-store/%75pdate_view", "/kv-store/update_view"),
            ("/kv-store/a%2Fb", "/kv-store/a%2Fb"),
            ("/a%2541", "/a%2541"),
            ("/a%", "/a%"),
            ("/a%é%41", "/a%éA"),
        ] {
            assert_eq!(normalise(path), normal);
        }
    }

    proptest! {
        #[test]
        fn every_key_can_be_spelled(key in "\\PC{1,60}") {
            let segment = utf8_percent_encode(&key, NON_ALPHANUMERIC).to_string();
            let decoded = decode_key(&normalise(&segment)).expect("is a key");
            prop_assert_eq!(decoded.as_str(), key);
        }

        #[test]
        fn any_path_is_answered_without_a_panic(path in any::<String>()) {
            let _ = decode_key(&normalise(&path));
        }
    }
}
