//! Gives the refusals that the HTTP library writes by itself (400, 414, 431) the body that every error has.
//!
//! hyper itself answers a head that it cannot read, and has no hook for that. So this socket inspects what
//! is written: such an answer has a head of known form and no body, and hyper closes the connection after
//! it. Our own replies that could be mistaken for one are recognized by their ends: see
//! [`Guard::note_reply`].
//!
//! hyper closes a connection that begins as HTTP/2 does without a word. Such a beginning is altered on its
//! way in, so that hyper refuses it as any other head that is not HTTP/1.1.
#![expect(
    clippy::disallowed_types,
    reason = "the door to the clients: sockets are written here"
)]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::pieces::PIECE_BYTES;
use crate::api::{HeadFault, Rejected, turn_away};

/// How every head begins.
const HEAD_BEGIN: &[u8] = b"HTTP/1.1 ";

/// The end of a head; no JSON text ends like this.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// How a connection of HTTP/2 begins; no method of HTTP/1.1 has this name.
const HTTP2_BEGIN: &[u8] = b"PRI ";

/// hyper's refusals have a status, a length of zero, a date.
const HEAD_BYTES_MAX: usize = 256;

const FAULTS: [(&[u8], HeadFault); 3] = [
    (b"HTTP/1.1 400 Bad Request\r\n", HeadFault::NoRequest),
    (b"HTTP/1.1 414 URI Too Long\r\n", HeadFault::PathTooLong),
    (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        HeadFault::HeadersTooLarge,
    ),
];

/// Remembers whether a reply on this connection could be mistaken for a refusal of the library.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard(Arc<AtomicBool>);

impl Guard {
    /// Notes a reply that is about to be written. If a piece of its body ends like a head, as a value may,
    /// or if it is a client error without a body, nothing more is replaced on this connection: a reply
    /// must never be taken for the library's.
    pub(super) fn note_reply(&self, reply: &Response<Bytes>) {
        let body = reply.body();
        let is_bare = || body.is_empty() && reply.status().is_client_error();
        if body.chunks(PIECE_BYTES).any(|piece| piece.ends_with(HEAD_END)) || is_bare() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn may_replace(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// A client's socket.
#[derive(Debug)]
pub(super) struct Socket {
    inner: TcpStream,
    guard: Guard,
    /// The reply that is written in place of a refusal.
    instead: Bytes,
    /// Nothing has been read yet.
    is_fresh: bool,
}

impl Socket {
    pub(super) fn new(inner: TcpStream, guard: Guard) -> Self {
        Self {
            inner,
            guard,
            instead: Bytes::new(),
            is_fresh: true,
        }
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.inner
    }

    fn poll_write_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// Finds a refusal of the library at the end of these bytes: where it begins, and its fault.
fn refusal(bytes: &[u8]) -> Option<(usize, HeadFault)> {
    if !bytes.ends_with(HEAD_END) {
        return None;
    }
    let from = bytes.len().saturating_sub(HEAD_BYTES_MAX);
    let last = |text: &[u8]| bytes[from..].windows(text.len()).rposition(|found| found == text);
    let at = from + last(HEAD_BEGIN)?;
    let found = FAULTS.iter().find(|(line, _)| bytes[at..].starts_with(line));
    let (_, fault) = *found?;
    let head = &bytes[at..bytes.len() - HEAD_END.len()];
    let is_one_head = !head.windows(HEAD_END.len()).any(|found| found == HEAD_END);
    let length = b"\r\ncontent-length: 0";
    let is_empty = head.windows(length.len()).any(|found| found == length);
    (is_one_head && is_empty).then_some((at, fault))
}

/// The same refusal in the form of all other errors.
fn whole(fault: HeadFault) -> Bytes {
    let reply: Response<Bytes> = turn_away(Rejected::BadHead(fault));
    let status = reply.status();
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        reply.body().len()
    );
    [head.as_bytes(), reply.body()].concat().into()
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if std::mem::take(&mut self.is_fresh) {
            let first = &mut buffer.filled_mut()[before..];
            if first.starts_with(HTTP2_BEGIN) {
                first[0] = b'p';
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.instead.is_empty() {
            // The library handed its refusal in before; it counts as written only now.
            ready!(self.poll_write_instead(context))?;
            return Poll::Ready(Ok(bytes.len()));
        }
        match refusal(bytes).filter(|_| self.guard.may_replace()) {
            None => Pin::new(&mut self.inner).poll_write(context, bytes),
            // Replies before it go out first.
            Some((at, _)) if at > 0 => Pin::new(&mut self.inner).poll_write(context, &bytes[..at]),
            Some((_, fault)) => {
                self.instead = whole(fault);
                ready!(self.poll_write_instead(context))?;
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\
        date: Sun, 29 Nov 2026 15:00:00 GMT\r\n\r\n";

    #[test]
    fn a_refusal_is_found_behind_other_replies() {
        let reply = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let both = format!("{reply}{REFUSED}");
        let fault = HeadFault::HeadersTooLarge;
        assert_eq!(refusal(REFUSED.as_bytes()), Some((0, fault)));
        assert_eq!(refusal(both.as_bytes()), Some((reply.len(), fault)));
        for other in [
            reply,
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\nabc\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nallow: GET\r\n\r\n",
            // A value, followed by an empty reply.
            "HTTP/1.1 400 Bad Request\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "\r\n\r\n",
            "",
        ] {
            assert_eq!(refusal(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_value_that_looks_like_a_refusal_is_left_alone() {
        let guard = Guard::default();
        let reply = |status: u16, body: &'static str| {
            let reply = Response::builder().status(status);
            reply
                .body(Bytes::from_static(body.as_bytes()))
                .expect("is a reply")
        };
        for harmless in [reply(200, "{}"), reply(400, "{}"), reply(200, ""), reply(204, "")] {
            guard.note_reply(&harmless);
            assert!(guard.may_replace(), "{harmless:?}");
        }
        let mut long = vec![b'v'; 2 * PIECE_BYTES];
        long[PIECE_BYTES - REFUSED.len()..PIECE_BYTES].copy_from_slice(REFUSED.as_bytes());
        let long = Response::new(Bytes::from(long));
        for misleading in [reply(200, REFUSED), reply(400, ""), long] {
            let guard = Guard::default();
            guard.note_reply(&misleading);
            assert!(!guard.may_replace(), "{misleading:?}");
        }
    }

    #[test]
    fn what_stands_instead_is_a_whole_reply_with_an_error() {
        for (_, fault) in FAULTS {
            let bytes = whole(fault);
            let text = std::str::from_utf8(&bytes).expect("is text");
            let (head, body) = text.split_once("\r\n\r\n").expect("has a body");
            assert!(
                head.contains(&format!("content-length: {}\r\n", body.len())),
                "{head}"
            );
            let body: serde_json::Value = serde_json::from_str(body).expect("is JSON");
            assert_eq!(body["result"], "error");
        }
    }
}
