//! Hands the body of a reply to the HTTP library piece by piece.
//!
//! The library copies each piece into a buffer that it keeps while the connection is open. A long reply in
//! one piece would be held twice, and the copy for as long as the connection; and the room that the answer
//! takes would be free before it is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Most replies are one piece.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// The progress of the long reply that a connection is sending.
#[derive(Debug, Default)]
pub(super) struct Sending {
    is_under_way: AtomicBool,
    pieces: AtomicU64,
}

impl Sending {
    /// How many pieces of long replies the client has taken; none while no long reply is under way.
    pub(super) fn taken(&self) -> Option<u64> {
        let is_under_way = self.is_under_way.load(Ordering::Relaxed);
        is_under_way.then(|| self.pieces.load(Ordering::Relaxed))
    }
}

/// The rest of a body.
#[derive(Debug)]
pub(super) struct Pieces {
    body: Bytes,
    /// Set for a long body only.
    sending: Option<Arc<Sending>>,
}

impl Pieces {
    pub(super) fn of(body: Bytes, sending: &Arc<Sending>) -> Self {
        let sending = (body.len() > PIECE_BYTES).then(|| Arc::clone(sending));
        if let Some(sending) = &sending {
            sending.is_under_way.store(true, Ordering::Relaxed);
        }
        Self { body, sending }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if let Some(sending) = &self.sending {
            sending.is_under_way.store(false, Ordering::Relaxed);
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(sending) = &self.sending {
            sending.pieces.fetch_add(1, Ordering::Relaxed);
        }
        let body = &mut self.body;
        let piece = if body.len() <= PIECE_BYTES {
            std::mem::take(body)
        } else {
            body.split_to(PIECE_BYTES)
        };
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_comes_whole_in_pieces_and_says_how_long_it_is() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let body: Bytes = (0..length).map(|at| at as u8).collect();
            let sending = Arc::default();
            let mut pieces = Pieces::of(body.clone(), &sending);
            assert_eq!(sending.taken().is_some(), length > PIECE_BYTES);
            assert_eq!(pieces.size_hint().exact(), Some(length as u64));
            let mut came = Vec::new();
            while let Some(frame) = pieces.frame().await {
                let piece = frame.expect("is there").into_data().expect("is data");
                assert!(piece.len() <= PIECE_BYTES && !piece.is_empty());
                came.extend_from_slice(&piece);
            }
            assert_eq!(came, body);
            assert!(pieces.is_end_stream());
            drop(pieces);
            assert_eq!(sending.taken(), None);
        }
    }
}
