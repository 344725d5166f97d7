//! The assembly: listeners, connections, signals, and the order of starting and stopping.
//!
//! ```text
//! run ─▶ one thread a core ─▶ accept ─▶ connection ─▶ Host: respond(request), meet(pipe)
//! ```
//!
//! Each thread has a listener of its own on the same port and a runtime of its own; a connection stays
//! on the thread that accepted it. That takes 0.93 (GET) and 0.72 (PUT) of the CPU of one runtime over
//! all threads. What is served is a [`Host`], so that all of this is tested without a node.

mod accept;
mod bounds;
mod connection;
mod descriptors;
mod listen;
mod pieces;
mod refusal;
mod run;
mod serve;

use bytes::Bytes;
use http::{Request, Response};

pub use self::accept::accept;
pub use self::bounds::Bounds;
pub use self::listen::{BindError, listen};
pub use self::run::{RunError, run};
pub use self::serve::{ServeError, Served, serve};
use crate::net::Pipe;

/// What stands behind the listeners.
pub trait Host: Send + Sync + 'static {
    /// Answers one request.
    fn respond(&self, request: Request<Bytes>) -> impl Future<Output = Response<Bytes>> + Send;

    /// A peer has opened a stream to this node.
    fn accept_peer(&self, pipe: Pipe);

    /// Resolves if the host has come to an end by itself, and the process should.
    fn ended(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// No request will come any more: brings to an end what was begun, and drops all pipes.
    fn stop(&self) -> impl Future<Output = ()> + Send;
}
