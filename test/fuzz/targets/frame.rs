//! Fuzzes a peer's greetings and frames: one that parses must survive encoding and parsing.
#![no_main]

use causeway::wire::peer::{decode_frame, decode_greeting, encode_frame, encode_greeting};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = decode_frame(bytes) {
        let again = decode_frame(&encode_frame(&frame)).expect("what was read can be written");
        assert_eq!(format!("{again:?}"), format!("{frame:?}"));
    }
    if let Ok(greeting) = decode_greeting(bytes) {
        let again = decode_greeting(&encode_greeting(&greeting)).expect("what was read can be written");
        assert_eq!(again, greeting);
    }
});
