//! Starts and stops the server: threads, the host, the request to stop.
//!
//! Starting: listen first, so that a taken port is reported first; start the host; serve. Everything that
//! a thread needs is made before the thread, so that a missing resource ends the process with its reason.
//! Stopping: accept no more, answer the requests under way, stop the host (which may need its peers for
//! that), and only then end the threads, which carry the peers' streams.
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
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use super::Host;
use super::accept::accept;
use super::bounds::Bounds;
use super::descriptors::room_for_connections;
use super::listen::{BindError, listen};
use crate::net::stream::HttpDialer;
use crate::process::signals::{self, Ending};
use crate::process::{system, threads};

/// How long the last frames to peers may take to leave.
const LAST_FRAMES_LIMIT: Duration = Duration::from_millis(200);

/// When a process that was asked to stop is ended, whatever it still waits for: well above an orderly end
/// on a busy machine, well below the ten seconds after which Docker kills it.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Why a process does not serve.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E> {
    #[error(transparent)]
    Listen(#[from] BindError),
    #[error("the {part} cannot start: {}", system::explain(.error))]
    Part { part: &'static str, error: io::Error },
    /// The host cannot start.
    #[error("{0}")]
    Start(E),
}

/// Serves until SIGTERM, SIGINT or the end of the host. `start` makes the host on this thread's runtime,
/// where the host's own tasks run. It gets the dialer that opens streams to peers.
pub fn run<H, E, S>(
    address: SocketAddr,
    mut bounds: Bounds,
    start: impl FnOnce(HttpDialer) -> S,
) -> Result<(), RunError<E>>
where
    H: Host,
    S: Future<Output = Result<Arc<H>, E>>,
{
    let ending = signals::hear(false).map_err(|error| RunError::Part {
        part: "thread for signals",
        error,
    })?;
    let runtime = runtime()?;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    bounds.connections_max = bounds.connections_max.min(room_for_connections() / threads);
    let served = serve(
        &runtime,
        &ending,
        Plan {
            address,
            bounds,
            threads,
        },
        start,
    );
    // A pending name look-up must not delay the end.
    runtime.shutdown_background();
    served
}

struct Plan {
    address: SocketAddr,
    bounds: Bounds,
    threads: usize,
}

fn serve<H, E, S>(
    runtime: &Runtime,
    ending: &Ending,
    plan: Plan,
    start: impl FnOnce(HttpDialer) -> S,
) -> Result<(), RunError<E>>
where
    H: Host,
    S: Future<Output = Result<Arc<H>, E>>,
{
    let mut listeners = {
        let _inside = runtime.enter();
        listen(plan.address, plan.threads)?
    };
    let own = listeners.pop().expect("there is at least one thread");
    let address = own.local_addr().unwrap_or(plan.address);
    let own = registered(own, runtime)?;
    let worker_threads: Vec<WorkerThread> = listeners
        .into_iter()
        .map(WorkerThread::new)
        .collect::<Result<_, _>>()?;
    let carriers = plan.bounds.carriers.clone();
    let host = runtime.block_on(async { start(HttpDialer::new(carriers)).await });
    let workers = Arc::new(Workers::new(
        host.map_err(RunError::Start)?,
        plan.bounds,
        plan.threads,
    ));
    ending.allow(END_LIMIT);
    let others = worker_threads.into_iter().map(|worker| workers.open(worker));
    let others: Vec<_> = others.collect::<Result<_, _>>()?;
    tracing::info!(%address, threads = plan.threads, "listening");
    runtime.block_on(async {
        tokio::join!(workers.serve(own), workers.stop_on(ending));
        workers.close().await;
    });
    others.into_iter().for_each(join);
    Ok(())
}

fn runtime<E>() -> Result<Runtime, RunError<E>> {
    threads::runtime().map_err(|error| RunError::Part {
        part: "runtime",
        error,
    })
}

fn join(thread: JoinHandle<()>) {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// The runtime and the listener of a thread that is still to be started.
struct WorkerThread {
    runtime: Runtime,
    listener: TcpListener,
}

impl WorkerThread {
    fn new<E>(listener: std::net::TcpListener) -> Result<Self, RunError<E>> {
        let runtime = runtime()?;
        let listener = registered(listener, &runtime)?;
        Ok(Self { runtime, listener })
    }
}

fn registered<E>(listener: std::net::TcpListener, runtime: &Runtime) -> Result<TcpListener, RunError<E>> {
    let _inside = runtime.enter();
    TcpListener::from_std(listener).map_err(|error| RunError::Part {
        part: "listener",
        error,
    })
}

/// The state that the threads share.
struct Workers<H> {
    host: Arc<H>,
    bounds: Arc<Bounds>,
    /// Tells the threads to accept no more connections.
    stop: CancellationToken,
    /// Passed when every thread has answered its last request.
    drained: Barrier,
    /// Cancelled when the host has stopped and no longer needs the peers' streams.
    gone: CancellationToken,
}

impl<H: Host> Workers<H> {
    fn new(host: Arc<H>, bounds: Bounds, threads: usize) -> Self {
        Self {
            host,
            bounds: Arc::new(bounds),
            stop: CancellationToken::new(),
            drained: Barrier::new(threads),
            gone: CancellationToken::new(),
        }
    }

    /// Serves on a thread of its own.
    fn open<E>(self: &Arc<Self>, worker: WorkerThread) -> Result<JoinHandle<()>, RunError<E>> {
        let workers = Arc::clone(self);
        let WorkerThread { runtime, listener } = worker;
        let thread = thread::Builder::new().name("http".into()).spawn(move || {
            runtime.block_on(async {
                workers.serve(listener).await;
                workers.gone.cancelled().await;
            });
            runtime.shutdown_background();
        });
        thread.map_err(|error| RunError::Part {
            part: "thread for requests",
            error,
        })
    }

    /// Serves a listener on this thread's runtime until all threads have answered their last request.
    async fn serve(&self, listener: TcpListener) {
        let (host, bounds) = (Arc::clone(&self.host), Arc::clone(&self.bounds));
        accept(listener, host, bounds, self.stop.clone()).await;
        self.drained.wait().await;
    }

    async fn stop_on(&self, ending: &Ending) {
        tokio::select! {
            () = ending.asked() => {}
            () = self.host.ended() => {}
        }
        self.stop.cancel();
    }

    async fn close(&self) {
        self.host.stop().await;
        self.bounds.carriers.close();
        let _ = tokio::time::timeout(LAST_FRAMES_LIMIT, self.bounds.carriers.wait()).await;
        self.gone.cancel();
    }
}
