//! Runs `master-svr` and `svr` behind the listeners: small processes without a disk, on 127.0.0.1 only.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use crate::apps::master_svr::{Master, Svr};
use crate::config::Limits;
use crate::net::Pipe;
use crate::node::{Machine, World};
use crate::server::{Bounds, Host, RunError, run};

/// Only beats are held for long, and their answers are not needed.
const DRAIN_DEADLINE: Duration = Duration::from_millis(50);

/// Runs a master until SIGTERM or SIGINT.
pub fn serve_master(port: u16) -> Result<(), RunError<Infallible>> {
    // All masters run on this machine, so by its clock every start is later than the one before.
    serve(port, || Master::start(Machine.wall_ms()))
}

/// Runs a server until SIGTERM or SIGINT; it joins as soon as a master answers.
pub fn serve_svr(port: u16, master_port: u16) -> Result<(), RunError<Infallible>> {
    serve(port, || Svr::start(port, Machine.random(), master_port))
}

fn serve<H: Host>(port: u16, start: impl FnOnce() -> H) -> Result<(), RunError<Infallible>> {
    let mut bounds = Bounds::new(&Limits::default());
    bounds.drain_deadline = DRAIN_DEADLINE;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    run(address, bounds, async |_| Ok(Arc::new(start())))
}

impl Host for Master {
    async fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
        Self::respond(self, request).await
    }

    /// There are no peers here; dropping the pipe closes it.
    fn accept_peer(&self, _pipe: Pipe) {}

    async fn stop(&self) {
        Self::stop(self);
    }
}

impl Host for Svr {
    async fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
        Self::respond(self, request).await
    }

    /// There are no peers here; dropping the pipe closes it.
    fn accept_peer(&self, _pipe: Pipe) {}

    async fn stop(&self) {
        Self::stop(self);
    }
}
