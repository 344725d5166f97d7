//! Sends messages to one peer, long ones in pieces, and bounds the bytes that wait for its stream.
//!
//! Separate from `link` and `inbound`, which send on different streams and need the same bound.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use crate::wire::pieces::{PIECE_BYTES, count, cut};

/// Bytes of long messages that one stream carries at a time; more wait. The pieces of these messages take
/// turns with short messages.
const LONG_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The semaphore counts in units of this size, because it counts in 32 bits.
const UNIT_BYTES: usize = 1024;

/// The stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// The sending half of a stream to a peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    sender: mpsc::Sender<Bytes>,
    /// The number of the next message that is cut.
    next: AtomicU64,
    long: Semaphore,
}

impl Outbox {
    pub(crate) fn new(sender: mpsc::Sender<Bytes>) -> Self {
        Self {
            sender,
            next: AtomicU64::new(0),
            long: Semaphore::new(LONG_BYTES_MAX / UNIT_BYTES),
        }
    }

    /// Sends a message of about `about_bytes`. It encodes the message only when the stream has room, so that
    /// thousands of waiting answers take no memory.
    ///
    /// The caller must not cancel a long message halfway: the peer would keep its pieces for ever.
    pub(crate) async fn send(
        &self,
        about_bytes: usize,
        encode: impl FnOnce() -> Bytes,
    ) -> Result<(), Closed> {
        let _room = self.room(about_bytes).await?;
        let first = self.sender.reserve().await.map_err(|_| Closed)?;
        let message = encode();
        if count(message.len()) == 1 {
            first.send(message);
            return Ok(());
        }
        let mut pieces = self.cut(message);
        first.send(pieces.next().expect("a message has a piece"));
        for piece in pieces {
            self.sender.send(piece).await.map_err(|_| Closed)?;
        }
        Ok(())
    }

    /// Sends a message at once and in order, unless the stream is full or has ended.
    pub(crate) fn try_send(&self, message: Bytes) -> Result<(), Closed> {
        let count = count(message.len());
        if count == 1 {
            return self.sender.try_send(message).map_err(|_| Closed);
        }
        let permits = self.sender.try_reserve_many(count).map_err(|_| Closed)?;
        for (permit, piece) in permits.zip(self.cut(message)) {
            permit.send(piece);
        }
        Ok(())
    }

    fn cut(&self, message: Bytes) -> impl Iterator<Item = Bytes> + use<> {
        cut(message, self.next.fetch_add(1, Ordering::Relaxed))
    }

    async fn room(&self, bytes: usize) -> Result<Option<SemaphorePermit<'_>>, Closed> {
        if bytes <= PIECE_BYTES {
            return Ok(None);
        }
        // The longest message takes all of it and travels alone.
        let units = bytes.min(LONG_BYTES_MAX) / UNIT_BYTES;
        let units = u32::try_from(units).expect("a small constant");
        let permit = self.long.acquire_many(units).await;
        permit.map(Some).map_err(|_| Closed)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::net::PIPE_FRAMES;
    use crate::wire::pieces::Joiner;

    fn message(length: usize) -> Bytes {
        vec![1; length].into()
    }

    #[tokio::test]
    async fn a_short_message_passes_a_long_one() {
        let (sender, mut stream) = mpsc::channel(2);
        let outbox = Outbox::new(sender);
        let long = outbox.send(8 * PIECE_BYTES, || message(8 * PIECE_BYTES));
        let short = outbox.send(1, || message(1));
        let receive = async {
            let (mut joiner, mut arrived) = (Joiner::default(), Vec::new());
            while arrived.len() < 2 {
                let frame = stream.recv().await.expect("both are under way");
                arrived.extend(
                    joiner
                        .take(frame)
                        .expect("is a piece")
                        .map(|message| message.len()),
                );
            }
            arrived
        };
        let (long, short, arrived) = tokio::join!(long, short, receive);
        assert_eq!((long, short), (Ok(()), Ok(())));
        assert_eq!(arrived, [1, 8 * PIECE_BYTES]);
    }

    /// The peer takes nothing: of a hundred long answers, only one is encoded.
    #[tokio::test]
    async fn long_messages_that_wait_are_not_encoded() {
        let (sender, stream) = mpsc::channel(PIPE_FRAMES);
        let outbox = Outbox::new(sender);
        let encoded = AtomicU64::new(0);
        let long = LONG_BYTES_MAX - UNIT_BYTES;
        let encode = || {
            encoded.fetch_add(1, Ordering::Relaxed);
            message(long)
        };
        let mut sending: Vec<_> = (0..100).map(|_| Box::pin(outbox.send(long, encode))).collect();
        for one in &mut sending {
            assert_eq!(one.now_or_never(), None);
        }
        assert_eq!(encoded.load(Ordering::Relaxed), 1);
        drop(stream);
        for one in sending {
            assert_eq!(one.await, Err(Closed));
        }
    }

    #[tokio::test]
    async fn what_is_sent_at_once_goes_whole_or_not_at_all() {
        let (sender, mut stream) = mpsc::channel(4);
        let outbox = Outbox::new(sender);
        assert_eq!(outbox.try_send(message(3 * PIECE_BYTES)), Ok(()));
        assert_eq!(outbox.try_send(message(2 * PIECE_BYTES)), Err(Closed));
        assert_eq!(outbox.try_send(message(1)), Ok(()));
        let mut frames = Vec::new();
        while let Ok(frame) = stream.try_recv() {
            frames.push(frame);
        }
        assert_eq!(frames.len(), 4);
    }
}
