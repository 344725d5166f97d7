//! Cuts long messages into pieces that fit into frames, and joins the pieces again.
//!
//! Pieces of several messages may take turns on one stream, so a long answer to one client does not hold up
//! the short answers to others. Separate from `peer`, which defines what the messages say.
//!
//! ```text
//! piece: mark 1 | is it the last 1 | number of the message 8 | bytes
//! ```
//!
//! A message that fits into one frame travels as it is; its first byte is its version, never the mark.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::peer::{Garbled, MESSAGE_BYTES_MAX};
use crate::planted::{self, Fault};

/// Where a message has its version, a piece has this.
const MARK: u8 = 0xFF;

const HEAD_BYTES: usize = 10;

/// Longer messages are cut. Small enough that a short message waits only briefly behind a piece.
pub const PIECE_BYTES: usize = 128 * 1024;

/// The longest frame that carries a piece.
pub const PIECE_FRAME_BYTES: usize = HEAD_BYTES + PIECE_BYTES;

/// How many frames a message of this length takes.
pub fn count(message_bytes: usize) -> usize {
    if planted::is(Fault::AnswersUncut) {
        return 1;
    }
    message_bytes.div_ceil(PIECE_BYTES).max(1)
}

/// The frames that carry a message. `number` tells its pieces from those of other messages on the stream.
pub fn cut(mut message: Bytes, number: u64) -> impl Iterator<Item = Bytes> {
    let mut left = count(message.len());
    let is_whole = left == 1;
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        if is_whole {
            return Some(std::mem::take(&mut message));
        }
        let bytes = message.split_to(PIECE_BYTES.min(message.len()));
        let mut piece = BytesMut::with_capacity(HEAD_BYTES + bytes.len());
        piece.put_u8(MARK);
        piece.put_u8(u8::from(left == 0));
        piece.put_u64_le(number);
        piece.put_slice(&bytes);
        Some(piece.freeze())
    })
}

/// Joins the pieces that arrive on one stream.
#[derive(Debug, Default)]
pub struct Joiner {
    unfinished: BTreeMap<u64, Vec<Bytes>>,
    bytes: usize,
}

impl Joiner {
    /// Takes the next frame of the stream. Returns a message when the frame completes it.
    pub fn take(&mut self, mut frame: Bytes) -> Result<Option<Bytes>, Garbled> {
        if frame.first() != Some(&MARK) {
            return Ok(Some(frame));
        }
        if frame.len() <= HEAD_BYTES {
            return Err(Garbled::Unreadable);
        }
        let head = frame.split_to(HEAD_BYTES);
        let number = u64::from_le_bytes(head[2..].try_into().expect("eight bytes of ten"));
        self.bytes += frame.len();
        if self.bytes > MESSAGE_BYTES_MAX {
            return Err(Garbled::TooLong);
        }
        let pieces = self.unfinished.entry(number).or_default();
        pieces.push(frame);
        if head[1] == 0 {
            return Ok(None);
        }
        let pieces = self.unfinished.remove(&number).expect("was just added to");
        let message = pieces.concat();
        self.bytes -= message.len();
        Ok(Some(message.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(version: u8, length: usize) -> Bytes {
        (0..length)
            .map(|at| if at == 0 { version } else { at as u8 })
            .collect()
    }

    fn lengths() -> impl Strategy<Value = usize> {
        prop_oneof![
            1usize..100,
            PIECE_BYTES - 2..PIECE_BYTES + 3,
            3 * PIECE_BYTES - 2..3 * PIECE_BYTES + 3,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Messages are cut and their pieces take turns in any order; each message arrives whole, and each
        /// frame fits.
        #[test]
        fn messages_arrive_whole_however_their_pieces_take_turns(
            lengths in proptest::collection::vec(lengths(), 1..5),
            turns in proptest::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            let messages: Vec<Bytes> = (1..).zip(&lengths).map(|(version, length)| message(version, *length)).collect();
            let mut senders: Vec<_> = (0..).zip(&messages).map(|(number, message)| cut(message.clone(), number)).collect();
            let (mut joiner, mut arrived) = (Joiner::default(), Vec::new());
            let mut turns = turns.into_iter().cycle();
            while !senders.is_empty() {
                let at = turns.next().expect("goes round").index(senders.len());
                let Some(frame) = senders[at].next() else {
                    drop(senders.remove(at));
                    continue;
                };
                prop_assert!(frame.len() <= PIECE_FRAME_BYTES);
                arrived.extend(joiner.take(frame).expect("is a piece"));
            }
            arrived.sort_by_key(|message| message[0]);
            prop_assert_eq!(arrived, messages);
            prop_assert_eq!(joiner.bytes, 0);
        }

        #[test]
        fn nonsense_is_refused_or_waits_for_more(frames in proptest::collection::vec(any::<Vec<u8>>(), 0..20)) {
            let mut joiner = Joiner::default();
            for frame in frames {
                let _ = joiner.take(frame.into());
            }
        }
    }

    #[test]
    fn a_stream_of_pieces_without_an_end_is_refused() {
        let mut joiner = Joiner::default();
        let piece = |number: u64| {
            let long = message(1, 2 * PIECE_BYTES);
            cut(long, number).next().expect("is cut in two")
        };
        let most = MESSAGE_BYTES_MAX / PIECE_BYTES;
        for number in 0..most {
            let taken = joiner.take(piece(number as u64)).expect("is not too much yet");
            assert!(taken.is_none());
        }
        assert!(matches!(joiner.take(piece(0)), Err(Garbled::TooLong)));
        assert!(matches!(
            joiner.take(Bytes::from_static(&[MARK])),
            Err(Garbled::Unreadable)
        ));
    }
}
