//! Assembles the server: listeners, connections, signals, and the order of starting and stopping.
//!
//! ```text
//! run ─▶ one thread a core ─▶ accept ─▶ connection ─▶ Host: respond(request), meet(pipe)
//! ```
//!
//! Each thread has its own listener on the same port and its own runtime; a connection stays on the thread
//! that accepted it. That takes 0.93 (GET) and 0.72 (PUT) of the CPU of one runtime over all threads. The
//! server serves a [`Host`], so that it can be tested without a node.

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

/// The application behind the listeners.
pub trait Host: Send + Sync + 'static {
    /// Answers one request.
    fn respond(&self, request: Request<Bytes>) -> impl Future<Output = Response<Bytes>> + Send;

    /// Takes over a stream that a peer opened to this node.
    fn accept_peer(&self, pipe: Pipe);

    /// Resolves if the host has ended by itself; the process ends then.
    fn ended(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Called after the last request: finishes what was begun, and drops all pipes.
    fn stop(&self) -> impl Future<Output = ()> + Send;
}
