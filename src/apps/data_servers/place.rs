//! The names under which the store keeps pairs, lists of servers and transactions.
//!
//! A short key is readable in its name. A key longer than the store's names is kept under its hash. The
//! stored pair holds the whole key, so that two keys with one hash are told apart.

use xxhash_rust::xxh3::xxh3_128;

use crate::apps::data_servers::messages::{Datum, Encoding};
use crate::names::Key;

pub(super) const PAIRS: &str = "p/";
pub(super) const STAGED: &str = "t/";
pub(super) const APPLIED: &str = "a/";

/// Longer keys are named by their hash; in bytes, which are never fewer than characters.
const READABLE_BYTES_MAX: usize = 180;

pub(super) fn of_pair(key: &Datum) -> Key {
    let data = key.data.as_str();
    let name = match (key.encoding, data.len() <= READABLE_BYTES_MAX) {
        (Encoding::String, true) => format!("{PAIRS}s:{data}"),
        (Encoding::Binary, true) => format!("{PAIRS}b:{data}"),
        (Encoding::String, false) => format!("{PAIRS}S:{:032x}", xxh3_128(data.as_bytes())),
        (Encoding::Binary, false) => format!("{PAIRS}B:{:032x}", xxh3_128(data.as_bytes())),
    };
    named(&name)
}

pub(super) fn of_server_list() -> Key {
    named("list")
}

pub(super) fn of_staged(id: &str) -> Key {
    named(&format!("{STAGED}{id}"))
}

pub(super) fn of_applied(id: &str) -> Key {
    named(&format!("{APPLIED}{id}"))
}

/// True if a text can be the id of a transaction.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn named(name: &str) -> Key {
    Key::new(name).expect("names here are neither empty nor long")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_has_a_name_of_its_own() {
        let long = "x".repeat(5_000);
        let longer = "x".repeat(5_001);
        let wide = "\u{1F980}".repeat(60);
        let texts = [
            "", "s:", "a", "b:a", "\0", "\u{e9}", "list", "t/1", &long, &longer, &wide,
        ];
        let both = [Encoding::String, Encoding::Binary];
        let keys = both.into_iter().flat_map(|encoding| {
            texts.map(|data| Datum {
                encoding,
                data: data.to_owned(),
            })
        });
        let names: BTreeSet<Key> = keys.map(|key| of_pair(&key)).collect();
        assert_eq!(names.len(), 2 * texts.len());
        assert!(names.iter().all(|name| name.as_str().starts_with(PAIRS)));
        assert!(names.contains(&named("p/s:a")), "short keys can be read");
    }

    #[test]
    fn an_id_is_thirty_two_hexadecimal_digits() {
        assert!(is_id(&format!("{:032x}", 77)));
        assert!(!is_id("77") && !is_id(&"../../".repeat(5)) && !is_id(&"é".repeat(16)));
    }
}
