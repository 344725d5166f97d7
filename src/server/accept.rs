//! Takes connections from one listener, within bounds, until it is told to stop; then lets the
//! requests that are being answered finish.
#![expect(
    clippy::disallowed_types,
    reason = "the door to the clients: sockets are accepted here"
)]

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Host;
use super::bounds::Bounds;
use super::connection::Connection;

/// When no connection can be accepted, mostly because the process is out of file descriptors, trying
/// again at once would only burn the CPU that could close some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `listener` until `stop`, then until all requests are answered or the drain deadline has passed.
pub async fn accept<H: Host>(
    listener: TcpListener,
    host: Arc<H>,
    bounds: Arc<Bounds>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => resume_panic(ended),
            accepted = listener.accept(), if connections.len() < bounds.connections_max => match accepted {
                Ok((socket, _)) => {
                    let connection = Connection::new(Arc::clone(&host), Arc::clone(&bounds));
                    connections.spawn(connection.serve(prepared(socket), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drain(connections, bounds.drain_deadline).await;
}

fn prepared(socket: TcpStream) -> TcpStream {
    // Answers are small and whole; waiting to send them fuller only costs time. If it fails the
    // connection is gone, which reading it will tell.
    let _ = socket.set_nodelay(true);
    socket
}

async fn drain(mut connections: JoinSet<()>, deadline: Duration) {
    let drained = tokio::time::timeout(deadline, async {
        while let Some(ended) = connections.join_next().await {
            resume_panic(ended);
        }
    });
    if drained.await.is_err() {
        tracing::info!(
            connections = connections.len(),
            "cutting off connections that did not end in time"
        );
        connections.shutdown().await;
    }
}

/// A panic is never kept to one connection: what it broke is not known.
fn resume_panic(ended: Result<(), JoinError>) {
    if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
        std::panic::resume_unwind(panic);
    }
}
