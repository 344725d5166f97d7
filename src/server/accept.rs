//! Takes connections from one listener, within bounds, until it is told to stop; then lets the
//! requests that are being answered finish.
#![expect(
    clippy::disallowed_types,
    reason = "the door to the clients: sockets are accepted here"
)]

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Host;
use super::bounds::Bounds;
use super::connection::Connection;

/// When no connection can be accepted, mostly because the process is out of file descriptors, trying
/// again at once would only burn the CPU that could close some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often one connection more is asked to make room while all are taken.
const ROOM_PAUSE: Duration = Duration::from_millis(20);

/// How often it is logged that all are taken.
const FULL_LOG_PAUSE: Duration = Duration::from_secs(60);

/// Serves `listener` until `stop`, then until all requests are answered or the drain deadline has passed.
pub async fn accept<H: Host>(
    listener: TcpListener,
    host: Arc<H>,
    bounds: Arc<Bounds>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let mut crowd = Crowd::default();
    loop {
        let is_full = connections.len() >= bounds.connections_max;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => resume_panic(ended),
            () = tokio::time::sleep(ROOM_PAUSE), if is_full => crowd.make_room(&"all connections are taken"),
            accepted = listener.accept(), if !is_full => match accepted {
                Ok((socket, _)) => {
                    let room = Arc::clone(&crowd.room);
                    let connection = Connection::new(Arc::clone(&host), Arc::clone(&bounds), room);
                    connections.spawn(connection.serve(prepared(socket), stop.clone()));
                }
                Err(error) => {
                    crowd.make_room(&error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drain(connections, bounds.drain_deadline).await;
}

/// What is done while no more connections can be accepted. Peers and probes come in through the same door: clients
/// that keep idle connections must not shut them out.
#[derive(Default)]
struct Crowd {
    /// Wakes the connection that has waited longest; one that is idle ends.
    room: Arc<Notify>,
    logged: Option<Instant>,
}

impl Crowd {
    fn make_room(&mut self, why: &dyn Display) {
        if self
            .logged
            .is_none_or(|logged| logged.elapsed() >= FULL_LOG_PAUSE)
        {
            self.logged = Some(Instant::now());
            tracing::warn!(
                reason = %why,
                "no more connections can be accepted; idle ones are closed for others: raise the limit of open files \
                 (ulimit -n, docker run --ulimit nofile=65536), or let clients open fewer"
            );
        }
        self.room.notify_one();
    }
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
