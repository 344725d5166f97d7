//! Connects nodes: one long-lived stream of frames to each peer.
//!
//! A [`Pipe`] carries whole frames in order, or ends; `wire::peer` defines their content. The real network
//! opens a pipe by an HTTP upgrade on the peer's own port, since the address in the view is the only one a
//! node has; the simulator opens pipes through its own network.

mod frames;
pub mod http_client;
pub mod stream;

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::names::NodeId;
use crate::wire::pieces::PIECE_FRAME_BYTES;

/// How many frames a pipe queues, each way: enough to keep a link busy for a round trip. When it is full
/// the sender waits, so a slow peer slows its sender and no queue grows.
pub const PIPE_FRAMES: usize = 64;

/// The largest accepted frame: a full pipe takes little memory, and a peer that sends garbage cannot claim
/// more. Longer messages travel in pieces.
pub const FRAME_BYTES_MAX: usize = 512 * 1024;

const _: () = assert!(PIECE_FRAME_BYTES <= FRAME_BYTES_MAX);

/// Both directions of a stream with a peer, frame by frame. Dropping either half ends it.
#[derive(Debug)]
pub struct Pipe {
    pub sender: mpsc::Sender<Bytes>,
    pub receiver: mpsc::Receiver<Bytes>,
}

/// Why a peer could not be reached.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DialError {
    /// Its machine refused the connection: the process is dead, or has not started.
    #[error("{0}")]
    Refused(String),
    /// Any other error, which says nothing about the process.
    #[error("{0}")]
    Failed(String),
}

/// Opens pipes to peers.
pub trait Dialer: Send + Sync + fmt::Debug {
    /// Opens a new pipe to `node`. The caller limits how long it waits.
    fn dial(&self, node: NodeId) -> BoxFuture<'static, Result<Pipe, DialError>>;
}
