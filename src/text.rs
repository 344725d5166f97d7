//! Reads text that people write: settings, files and JSON bodies, as shells, env files and editors of
//! every system produce them.
//!
//! One rule for every setting and one for every text, on a low floor, because the configuration, HTTP
//! and the terminal all read such text.

use std::borrow::Cow;

/// Why bytes are not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    #[error("it is not UTF-8; save it as UTF-8")]
    NotUtf8,
    #[error("it looks like UTF-16 or UTF-32; save it as UTF-8")]
    Wide,
    #[error("it has zero bytes near its beginning, so it is no text; it may be damaged: write it again")]
    Zeros,
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The bytes of a byte order mark in UTF-8.
const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A setting without the blanks, line ends, byte order marks and invisible characters around it; none if
/// nothing is left, since an empty setting counts as not given.
pub fn setting(written: &str) -> Option<&str> {
    let is_around = |c: char| c.is_whitespace() || c.is_control() || is_unseen(c);
    Some(written.trim_matches(is_around)).filter(|text| !text.is_empty())
}

fn is_unseen(c: char) -> bool {
    c == BYTE_ORDER_MARK || ('\u{200b}'..='\u{200f}').contains(&c) || c == '\u{2060}'
}

const QUOTES: [(char, char); 6] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('\u{201c}', '\u{201d}'),
    ('\u{201e}', '\u{201c}'),
    ('\u{2018}', '\u{2019}'),
];

/// The text between quotes; none unless the whole text is quoted. A shell removes quotes, an env file of
/// docker keeps them.
pub fn quoted(text: &str) -> Option<&str> {
    let inside = |(open, close)| {
        let inside = text.strip_prefix(open)?.strip_suffix(close)?;
        (!inside.contains([open, close])).then_some(inside)
    };
    QUOTES.into_iter().find_map(inside)
}

/// True for a quotation mark.
pub fn is_quote(c: char) -> bool {
    QUOTES.iter().any(|(open, close)| [*open, *close].contains(&c))
}

/// The error for a quoted setting; `example` shows how to write it.
pub fn quotes_refused(written: &str, example: &str) -> String {
    format!("{written} is quoted, and an env file keeps quotes as part of the value; write {example}")
}

/// Decodes a file or a body. Drops a byte order mark, and decodes UTF-16 that has one.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, NotText> {
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Err(NotText::Wide),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // No text that we read has a zero byte in its first or second place.
        [0, ..] | [_, 0, ..] if is_wide(bytes) => Err(NotText::Wide),
        [0, ..] | [_, 0, ..] => Err(NotText::Zeros),
        _ => {
            let text = std::str::from_utf8(without_mark(bytes)).map_err(|_| NotText::NotUtf8)?;
            Ok(Cow::Borrowed(text))
        }
    }
}

/// True if the bytes begin as texts of wide characters do: with a letter or a sign of ASCII.
fn is_wide(bytes: &[u8]) -> bool {
    let zeros: Vec<bool> = bytes.iter().take(4).map(|byte| *byte == 0).collect();
    match zeros[..] {
        [first, second] => first != second,
        [a, b, c, d] => {
            let is_utf16 = a != b && [a, b] == [c, d];
            let is_utf32 = [a, b, c, d].iter().filter(|zero| !**zero).count() == 1 && a != d;
            is_utf16 || is_utf32
        }
        _ => false,
    }
}

/// Bytes of UTF-8 without a byte order mark in front.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'static, str>, NotText> {
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(NotText::Wide);
    }
    let units = pairs.map(|pair| unit([pair[0], pair[1]]));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.map(Cow::Owned).map_err(|_| NotText::Wide)
}

/// The lines of a text, with the line ends of any system, and with or without one at the end.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// The known word that was probably meant: the same letters in another spelling, or one or two typos
/// away.
pub fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let folded = fold(written);
    let distances = known.iter().map(|word| (distance(&folded, &fold(word)), *word));
    let (distance, word) = distances.min_by_key(|(distance, _)| *distance)?;
    let slips_max = match fold(word).len() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    (distance <= slips_max).then_some(word)
}

/// Lower-case letters and digits only: `dry-run`, `dryRun` and `DRY_RUN` are one word.
fn fold(word: &str) -> Vec<char> {
    let letters = word.chars().filter(|c| c.is_alphanumeric()).take(64);
    letters.flat_map(char::to_lowercase).collect()
}

/// How many letters are replaced, left out, added, or swapped with a neighbour (optimal string
/// alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = [Vec::new(), (0..=b.len()).collect::<Vec<_>>()];
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let [before, last] = &rows;
            let exchanged = last[j] + usize::from(from != to);
            let mut least = exchanged.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        rows = [std::mem::take(&mut rows[1]), row];
    }
    rows[1][b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_stands_around_a_setting_does_no_harm() {
        for written in ["2", " 2", "2\r\n", "\u{feff}2", "\t2 \n", "\u{a0}2\u{200b}"] {
            assert_eq!(setting(written), Some("2"), "{written:?}");
        }
        for written in ["", " ", "\r\n", "\u{feff}", "\t \u{a0}"] {
            assert_eq!(setting(written), None, "{written:?}");
        }
        assert_eq!(setting(" a  b "), Some("a  b"));
    }

    #[test]
    fn quotes_are_found_where_they_stand_on_both_sides_and_nowhere_else() {
        for written in ["\"2\"", "'2'", "\u{201c}2\u{201d}", "\u{2018}2\u{2019}"] {
            assert_eq!(quoted(written), Some("2"), "{written}");
        }
        for written in ["2", "\"2", "2'", "", "\"", "'2\"", "'2','3'", "\"2\",\"3\""] {
            assert_eq!(quoted(written), None, "{written}");
        }
    }

    #[test]
    fn the_encodings_of_all_editors_are_read_or_named() {
        let wide = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(bytes).collect()
        };
        for bytes in [
            "a é 𝄞\r\n".as_bytes().to_vec(),
            "\u{feff}a é 𝄞\r\n".as_bytes().to_vec(),
            wide("\u{feff}a é 𝄞\r\n", u16::to_le_bytes),
            wide("\u{feff}a é 𝄞\r\n", u16::to_be_bytes),
        ] {
            assert_eq!(decode(&bytes).as_deref(), Ok("a é 𝄞\r\n"), "{bytes:?}");
        }
        for (bytes, why) in [
            (wide("put a 1", u16::to_le_bytes), NotText::Wide),
            (wide("put a 1", u16::to_be_bytes), NotText::Wide),
            (vec![0xFF, 0xFE, b'a'], NotText::Wide),
            (vec![0xFF, 0xFE, 0, 0, b'a', 0, 0, 0], NotText::Wide),
            (vec![b'1', 0], NotText::Wide),
            (vec![b'1', 0, 0, 0], NotText::Wide),
            (vec![0, 0, 0, b'1', 0, 0, 0, b'\n'], NotText::Wide),
            (vec![b'a', 0xE9], NotText::NotUtf8),
            (vec![0], NotText::Zeros),
            (vec![0; 4], NotText::Zeros),
            (vec![0; 7], NotText::Zeros),
            (vec![b'a', 0, b'b'], NotText::Zeros),
            (vec![b'a', 0, b'b', b'c'], NotText::Zeros),
        ] {
            assert_eq!(decode(&bytes), Err(why), "{bytes:?}");
        }
        assert_eq!(decode(b"").as_deref(), Ok(""));
    }

    #[test]
    fn lines_end_as_on_any_system() {
        for text in ["a\nb\n", "a\r\nb\r\n", "a\rb\r", "a\nb", "a\r\nb"] {
            let found: Vec<&str> = lines(text).filter(|line| !line.is_empty()).collect();
            assert_eq!(found, ["a", "b"], "{text:?}");
        }
        assert_eq!(lines("a\r\n\r\nb").nth(2), Some("b"), "lines keep their numbers");
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["type", "ip_port", "dry_run", "force"];
        for (written, meant) in [
            ("dryrun", Some("dry_run")),
            ("dry-run", Some("dry_run")),
            ("DryRun", Some("dry_run")),
            ("dry_rn", Some("dry_run")),
            ("ipport", Some("ip_port")),
            ("ip-prot", Some("ip_port")),
            ("Type", Some("type")),
            ("tpye", Some("type")),
            ("forced", Some("force")),
            ("", None),
            ("x", None),
            ("val", None),
            ("timeout", None),
        ] {
            assert_eq!(nearest(written, &known), meant, "{written}");
        }
        assert_eq!(nearest("v", &["val"]), None);
        assert_eq!(nearest("vla", &["val"]), Some("val"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_text_or_not(bytes in any::<Vec<u8>>(), word in any::<String>()) {
            if let Ok(text) = decode(&bytes) {
                prop_assert!(lines(&text).all(|line| !line.contains(['\r', '\n'])));
            }
            let _ = nearest(&word, &["val", "causal_payload"]);
        }
    }
}
