//! From a free port to an orderly end: threads, the host, signals.
//!
//! Starting: listen, so that a taken port is the first thing said; start the host; serve. Stopping:
//! accept no more, answer what is being answered, stop the host (which may need its peers for that),
//! and only then let go of the threads, which carry the peers' streams.
#![expect(
    clippy::disallowed_types,
    reason = "the door to the clients: listeners are handed to threads"
)]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use super::Host;
use super::accept::{Bounds, accept};
use super::descriptors::room_for_connections;
use super::listen::{BindError, listen};
use crate::net::stream::HttpDialer;

/// How long the last frames to peers may take to leave.
const FAREWELL: Duration = Duration::from_millis(200);

/// Why a process does not serve.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E> {
    #[error(transparent)]
    Listen(#[from] BindError),
    #[error("the runtime cannot start: {0}")]
    Runtime(#[from] io::Error),
    /// By the host.
    #[error("{0}")]
    Start(E),
}

/// Serves until SIGTERM, SIGINT or the end of the host. `start` makes the host, on this thread's runtime,
/// where the host's own tasks live; it is given what opens streams to peers.
pub fn run<H, E, S>(
    address: SocketAddr,
    mut bounds: Bounds,
    start: impl FnOnce(HttpDialer) -> S,
) -> Result<(), RunError<E>>
where
    H: Host,
    S: Future<Output = Result<Arc<H>, E>>,
{
    runtime()?.block_on(async {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        bounds.connections_max = bounds.connections_max.min(room_for_connections() / threads);
        let mut listeners = listen(address, threads)?;
        let own = listeners.pop().expect("there is at least one thread");
        let mut signals = Signals::new()?;
        let host = tokio::select! {
            host = start(HttpDialer::new(bounds.carriers.clone())) => host.map_err(RunError::Start)?,
            () = signals.next() => return Ok(()),
        };
        let hall = Arc::new(Hall::new(host, bounds, threads));
        let others: Vec<_> = listeners
            .into_iter()
            .map(|listener| hall.open(listener))
            .collect::<Result<_, _>>()?;
        tracing::info!(address = %own.local_addr()?, threads, "listening");
        let (served, ()) = tokio::join!(hall.serve(own), hall.stop_on(signals));
        hall.close().await;
        others.into_iter().try_for_each(join)?;
        Ok(served?)
    })
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn join(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("stopping: SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("stopping: SIGINT"),
        }
    }
}

/// What the threads share.
struct Hall<H> {
    host: Arc<H>,
    bounds: Arc<Bounds>,
    /// Accept no more.
    stop: CancellationToken,
    /// Passed when every thread has answered its last request.
    drained: Barrier,
    /// The host has stopped; nobody needs the peers' streams any more.
    gone: CancellationToken,
}

impl<H: Host> Hall<H> {
    fn new(host: Arc<H>, bounds: Bounds, threads: usize) -> Self {
        Self {
            host,
            bounds: Arc::new(bounds),
            stop: CancellationToken::new(),
            drained: Barrier::new(threads),
            gone: CancellationToken::new(),
        }
    }

    /// Serves a listener on a thread of its own.
    fn open(self: &Arc<Self>, listener: std::net::TcpListener) -> io::Result<JoinHandle<io::Result<()>>> {
        let hall = Arc::clone(self);
        thread::Builder::new().name("http".into()).spawn(move || {
            runtime()?.block_on(async {
                let served = hall.serve(listener).await;
                hall.gone.cancelled().await;
                served
            })
        })
    }

    /// Serves a listener on this thread's runtime until all threads have answered their last request.
    async fn serve(&self, listener: std::net::TcpListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener);
        let served = match listener {
            Ok(listener) => {
                let (host, bounds) = (Arc::clone(&self.host), Arc::clone(&self.bounds));
                accept(listener, host, bounds, self.stop.clone()).await;
                Ok(())
            }
            Err(error) => Err(error),
        };
        // A process that serves on half of its threads would answer every second client.
        self.stop.cancel();
        self.drained.wait().await;
        served
    }

    async fn stop_on(&self, mut signals: Signals) {
        tokio::select! {
            () = signals.next() => self.stop.cancel(),
            () = self.host.ended() => self.stop.cancel(),
            () = self.stop.cancelled() => {}
        }
    }

    async fn close(&self) {
        self.host.stop().await;
        self.bounds.carriers.close();
        let _ = tokio::time::timeout(FAREWELL, self.bounds.carriers.wait()).await;
        self.gone.cancel();
    }
}
