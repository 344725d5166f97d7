//! Every message survives its bytes, and bytes from a peer at worst fail to parse.

use proptest::collection::vec;
use proptest::prelude::*;

use super::any_message::{frames, greetings};
use super::*;
use crate::names::{Dot, Log, MemberId};
use crate::protocol::causality::DEPENDENCIES_MAX;
use crate::wire::samples::damages;

/// Checks that these bytes are refused, or parse to a message that survives its own bytes.
fn refuses_or_reads_well(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(frame) = decode_frame(bytes) {
        let again = decode_frame(&encode_frame(&frame)).expect("what was read can be written");
        prop_assert_eq!(format!("{again:?}"), format!("{frame:?}"));
    }
    if let Ok(greeting) = decode_greeting(bytes) {
        let again = decode_greeting(&encode_greeting(&greeting)).expect("what was read can be written");
        prop_assert_eq!(again, greeting);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_message_survives_its_bytes(frame in frames()) {
        let bytes = encode_frame(&frame);
        let again = decode_frame(&bytes).expect("parses");
        prop_assert_eq!(format!("{again:?}"), format!("{frame:?}"));
        prop_assert_eq!(encode_frame(&again), bytes);
    }

    #[test]
    fn every_greeting_survives_its_bytes(greeting in greetings()) {
        let again = decode_greeting(&encode_greeting(&greeting)).expect("parses");
        prop_assert_eq!(again, greeting);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        refuses_or_reads_well(&bytes)?;
        refuses_or_reads_well(&[&[VERSION], &bytes[..]].concat())?;
    }

    #[test]
    fn damaged_messages_are_refused_or_other_messages(frame in frames(), damage in damages()) {
        // Damage the bytes after the version: a wrong version would end parsing at once.
        refuses_or_reads_well(&damage.done_to(&encode_frame(&frame), 1))?;
    }

    #[test]
    fn damaged_greetings_are_refused_or_other_greetings(greeting in greetings(), damage in damages()) {
        refuses_or_reads_well(&damage.done_to(&encode_greeting(&greeting), 1))?;
    }
}

#[test]
fn a_length_that_is_a_lie_asks_for_no_memory() {
    // The id, the clock, the epoch and the position; an answer of records; then a count that is a lie.
    let records = postcard::to_allocvec(&(0u8, 0u8, 0u8, 0u8, 1u8, 6u8)).expect("encodes");
    let lie = [&[VERSION], &records[..], &[0xff; 9], &[1]].concat();
    assert!(matches!(decode_frame(&lie), Err(Garbled::Unreadable)));
    let honest = [&[VERSION], &records[..], &[0]].concat();
    let Ok(Frame {
        body: Body::Answer(Answer::Records(none)),
        ..
    }) = decode_frame(&honest)
    else {
        panic!("the answer stands at another place");
    };
    assert!(none.is_empty());
}

#[test]
fn a_payload_of_more_dependencies_than_a_record_can_have_is_refused() {
    let write = |entries: u64| {
        let dot = |member| Dot {
            log: Log {
                epoch: Epoch(1),
                member: MemberId(member),
            },
            number: 1,
        };
        encode_frame(&Frame {
            id: 1,
            clock: Timestamp(1),
            epoch: Epoch(1),
            position: 1,
            body: Body::Ask(Question::Write {
                id: 1,
                key: Key::new("k").expect("is a key"),
                value: None,
                payload: Payload {
                    entries: (0..entries).map(dot).collect(),
                    ..Payload::default()
                },
            }),
        })
    };
    let most = DEPENDENCIES_MAX as u64;
    let Ok(Frame {
        body: Body::Ask(Question::Write { key, payload, .. }),
        ..
    }) = decode_frame(&write(most))
    else {
        panic!("is as many as there may be");
    };
    let log = Log {
        epoch: Epoch(2),
        member: MemberId(1),
    };
    let record = Record::new(&key, None, Dot { log, number: 1 }, Timestamp(1), &payload.entries);
    assert_eq!(record.dependencies().count(), DEPENDENCIES_MAX);
    assert!(matches!(decode_frame(&write(most + 1)), Err(Garbled::Unreadable)));
}

#[test]
fn another_version_is_named() {
    let mut bytes = encode_frame(&Frame {
        id: 1,
        clock: Timestamp(1),
        epoch: Epoch(1),
        position: 1,
        body: Body::Ask(Question::Ping),
    })
    .to_vec();
    assert!(decode_frame(&bytes).is_ok());
    bytes[0] = VERSION + 1;
    assert!(matches!(decode_frame(&bytes), Err(Garbled::OtherVersion(_))));
    assert!(matches!(decode_greeting(&bytes), Err(Garbled::OtherVersion(_))));
    assert!(matches!(decode_frame(&[]), Err(Garbled::Unreadable)));
}
