//! Encodes and decodes frames in a stream of bytes: four bytes of length, little-endian, then that many
//! bytes. Pure; `stream` reads and writes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::FRAME_BYTES_MAX;

const LENGTH_BYTES: usize = 4;

/// Frames are gathered up to this size before they are written. Large enough that thousands of small
/// frames share one system call, small enough that the first of them does not wait for the last.
const BATCH_BYTES: usize = 64 * 1024;

/// Longer frames are written from their own buffer instead of being copied into the batch.
const COPIED_BYTES_MAX: usize = 8 * 1024;

/// A peer announced more than [`FRAME_BYTES_MAX`]: it speaks another protocol, or sends garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes was announced; {FRAME_BYTES_MAX} is the most that is accepted")]
pub(super) struct TooLong(pub(super) usize);

/// Takes the first whole frame from the bytes read so far, and makes room for more if there is none.
pub(super) fn next_frame(read: &mut BytesMut) -> Result<Option<Bytes>, TooLong> {
    let Some(prefix) = read.first_chunk::<LENGTH_BYTES>() else {
        read.reserve(BATCH_BYTES);
        return Ok(None);
    };
    let length = u32::from_le_bytes(*prefix) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(TooLong(length));
    }
    let end = LENGTH_BYTES + length;
    if read.len() < end {
        read.reserve((end - read.len()).max(BATCH_BYTES));
        return Ok(None);
    }
    read.advance(LENGTH_BYTES);
    Ok(Some(read.split_to(length).freeze()))
}

/// Outgoing frames: small ones copied together, followed by at most one large one.
#[derive(Debug, Default)]
pub(super) struct Batch {
    head: BytesMut,
    body: Bytes,
}

impl Batch {
    pub(super) fn push(&mut self, frame: Bytes) {
        let length = u32::try_from(frame.len()).expect("a frame is at most FRAME_BYTES_MAX");
        self.head.put_u32_le(length);
        if frame.len() <= COPIED_BYTES_MAX {
            self.head.put_slice(&frame);
        } else {
            self.body = frame;
        }
    }

    /// True if the batch must be written before it can take another frame.
    pub(super) fn is_full(&self) -> bool {
        !self.body.is_empty() || self.head.len() >= BATCH_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    /// The unwritten bytes. They shrink when written, so an interrupted write resumes in the right place.
    pub(super) fn unwritten(&mut self) -> impl Buf + '_ {
        (&mut self.head).chain(&mut self.body)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames() -> impl Strategy<Value = Vec<Bytes>> {
        let length = prop_oneof![9 => 0usize..40, 1 => COPIED_BYTES_MAX - 2..COPIED_BYTES_MAX + 3];
        proptest::collection::vec(length.prop_map(|length| vec![length as u8; length].into()), 0..40)
    }

    fn bytes_of(frames: &[Bytes]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut batch = Batch::default();
        for frame in frames {
            batch.push(frame.clone());
            if batch.is_full() {
                bytes.put(batch.unwritten());
            }
        }
        bytes.put(batch.unwritten());
        assert!(batch.is_empty());
        bytes
    }

    proptest! {
        #[test]
        fn frames_survive_the_stream_however_it_is_cut(frames in frames(), piece in 1usize..9000) {
            let mut read = BytesMut::new();
            let mut got = Vec::new();
            for piece in bytes_of(&frames).chunks(piece) {
                read.extend_from_slice(piece);
                while let Some(frame) = next_frame(&mut read).expect("is not too long") {
                    got.push(frame);
                }
            }
            prop_assert_eq!(got, frames);
            prop_assert!(read.is_empty());
        }

        #[test]
        fn whole_frames_before_nonsense_are_given_out_and_nothing_after_it(
            frames in frames(),
            beyond in (FRAME_BYTES_MAX as u32 + 1)..,
            behind in any::<Vec<u8>>(),
        ) {
            let mut read = BytesMut::from(&bytes_of(&frames)[..]);
            read.put_u32_le(beyond);
            read.put_slice(&behind);
            for frame in &frames {
                prop_assert_eq!(next_frame(&mut read), Ok(Some(frame.clone())));
            }
            for _ in 0..2 {
                prop_assert_eq!(next_frame(&mut read), Err(TooLong(beyond as usize)));
            }
        }

        #[test]
        fn nonsense_is_refused_or_waits_for_more(bytes in any::<Vec<u8>>()) {
            let mut read = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = next_frame(&mut read) {}
            prop_assert!(read.capacity() <= FRAME_BYTES_MAX + BATCH_BYTES + bytes.len());
        }
    }

    #[test]
    fn a_longer_frame_than_allowed_is_refused_before_it_arrives() {
        let mut read = BytesMut::from(&b"GET / HTTP/1.1\r\n"[..]);
        assert_eq!(
            next_frame(&mut read),
            Err(TooLong(u32::from_le_bytes(*b"GET ") as usize))
        );
    }
}
