//! Accepts connections from one listener, within bounds, until it is stopped; then lets pending requests
//! finish.
#![expect(
    clippy::disallowed_types,
    reason = "the door to the clients: sockets are accepted here"
)]

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Host;
use super::bounds::Bounds;
use super::connection::Connection;

/// The pause after a failed accept, mostly for lack of file descriptors: trying again at once would only
/// burn the CPU that could close some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often one more connection is closed while all are taken.
const ROOM_PAUSE: Duration = Duration::from_millis(20);

/// How long a client may take to send its first request before its connection is closed for another one.
const FIRST_REQUEST_LIMIT: Duration = Duration::from_secs(1);

/// How often the log reports that all connections are in use.
const FULL_LOG_PAUSE: Duration = Duration::from_secs(60);

/// Serves `listener` until `stop`, then until all requests are answered or the drain deadline has passed.
pub async fn accept<H: Host>(
    listener: TcpListener,
    host: Arc<H>,
    bounds: Arc<Bounds>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let mut open = Open::default();
    loop {
        let is_full = connections.len() >= bounds.connections_max;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => drop(open.stops.remove(&number_of(ended))),
            () = tokio::time::sleep(ROOM_PAUSE), if is_full => open.make_room(&"all connections are in use"),
            accepted = listener.accept(), if !is_full => match accepted {
                Ok((socket, _)) => {
                    let connection = Connection::new(Arc::clone(&host), Arc::clone(&bounds));
                    let (number, stop) = open.begin(&stop);
                    let served = connection.serve(prepared(socket), stop);
                    connections.spawn(async move {
                        served.await;
                        number
                    });
                }
                Err(error) => {
                    open.make_room(&error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drain(connections, bounds.drain_deadline).await;
}

/// The open connections, oldest first, each with the token that ends it. Peers and probes use the same
/// listener: clients with idle connections must not shut them out.
#[derive(Default)]
struct Open {
    stops: BTreeMap<u64, (Instant, CancellationToken)>,
    begun: u64,
    logged: Option<Instant>,
}

impl Open {
    fn begin(&mut self, stop: &CancellationToken) -> (u64, CancellationToken) {
        self.begun += 1;
        let stop = stop.child_token();
        self.stops.insert(self.begun, (Instant::now(), stop.clone()));
        (self.begun, stop)
    }

    /// Closes the oldest connection, after the request that is under way on it.
    fn make_room(&mut self, why: &dyn Display) {
        if self
            .logged
            .is_none_or(|logged| logged.elapsed() >= FULL_LOG_PAUSE)
        {
            self.logged = Some(Instant::now());
            tracing::warn!(
                reason = %why,
                "all connections are in use, so the oldest ones are closed for new clients: raise the limit of open \
                 files (ulimit -n, docker run --ulimit nofile=65536), or let clients open fewer"
            );
        }
        let oldest = self.stops.first_entry();
        if let Some(oldest) = oldest.filter(|oldest| oldest.get().0.elapsed() >= FIRST_REQUEST_LIMIT) {
            oldest.remove().1.cancel();
        }
    }
}

fn prepared(socket: TcpStream) -> TcpStream {
    // Answers are small and whole; waiting for fuller packets only costs time. A failure means that the
    // connection is gone, and the next read reports that.
    let _ = socket.set_nodelay(true);
    socket
}

async fn drain(mut connections: JoinSet<u64>, deadline: Duration) {
    let drained = tokio::time::timeout(deadline, async {
        while let Some(ended) = connections.join_next().await {
            number_of(ended);
        }
    });
    if drained.await.is_err() {
        tracing::info!(
            connections = connections.len(),
            "closing connections that did not end in time"
        );
        connections.shutdown().await;
    }
}

/// The number of the connection that ended. A panic is propagated: what else it broke is not known.
fn number_of(ended: Result<u64, JoinError>) -> u64 {
    ended.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => 0,
    })
}
