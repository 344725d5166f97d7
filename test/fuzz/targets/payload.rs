//! Fuzzes payload texts: any text; and behind a first byte of 0, any bytes in a payload's encoding with
//! a correct checksum, which no fuzzer would find by itself.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use causeway::protocol::causality::{ClusterTag, Payload};
use causeway::names::ClusterId;
use libfuzzer_sys::fuzz_target;

fn wrapped(body: &[u8]) -> String {
    let sum = crc32fast::hash(body).to_le_bytes();
    URL_SAFE_NO_PAD.encode([body, &sum[..3]].concat())
}

fuzz_target!(|bytes: &[u8]| {
    let text = match bytes.split_first() {
        Some((0, body)) => wrapped(body),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    let tag = ClusterTag::from(ClusterId(1));
    if let Ok(payload) = Payload::from_text(&text, tag) {
        let again = Payload::from_text(&payload.to_text(tag), tag);
        assert_eq!(again, Ok(payload));
    }
});
