//! A server with an echoing host, and a client that writes and reads bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway::config::Limits;
use causeway::net::Pipe;
use causeway::server::{Bounds, Host, accept};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Everything here takes milliseconds; a wait beyond this time would never end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The length of `/long`: more than the buffers of a connection hold.
pub(crate) const LONG_BYTES: usize = 64 * 1024 * 1024;

/// Echoes the method, the path and the body (a long one only at `/whole`). `/held` waits for a permit.
#[derive(Debug)]
pub(crate) struct Echo {
    pub(crate) held: Semaphore,
    /// One permit for each request that has begun.
    pub(crate) begun: Semaphore,
    met: mpsc::UnboundedSender<Pipe>,
}

impl Host for Echo {
    async fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.begun.add_permits(1);
        if request.uri().path() == "/held" {
            self.held.acquire().await.expect("is never closed").forget();
        }
        if request.uri().path() == "/long" {
            return Response::new(vec![b'x'; LONG_BYTES].into());
        }
        let (parts, body) = request.into_parts();
        let shown = if body.len() > 80 && parts.uri.path() != "/whole" {
            format!("{} bytes", body.len()).into()
        } else {
            body
        };
        let line = format!("{} {} ", parts.method, parts.uri.path());
        Response::new([line.as_bytes(), &shown].concat().into())
    }

    fn accept_peer(&self, pipe: Pipe) {
        let _ = self.met.send(pipe);
    }

    async fn stop(&self) {}
}

pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) host: Arc<Echo>,
    pub(crate) stop: CancellationToken,
    pub(crate) server: JoinHandle<()>,
    pipes: Mutex<mpsc::UnboundedReceiver<Pipe>>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with changed bounds.
    pub(crate) async fn with(change: impl FnOnce(&mut Bounds)) -> Self {
        let mut bounds = Bounds::new(&Limits {
            value_bytes_max: 100_000,
            ..Limits::default()
        });
        change(&mut bounds);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("is bound");
        let (met, pipes) = mpsc::unbounded_channel();
        let host = Arc::new(Echo {
            held: Semaphore::new(0),
            begun: Semaphore::new(0),
            met,
        });
        let stop = CancellationToken::new();
        let serving = accept(listener, Arc::clone(&host), Arc::new(bounds), stop.clone());
        let server = tokio::spawn(serving);
        Self {
            address,
            host,
            stop,
            server,
            pipes: Mutex::new(pipes),
        }
    }

    pub(crate) async fn client(&self) -> Client {
        let socket = TcpStream::connect(self.address).await.expect("is accepted");
        Client {
            socket,
            read: Vec::new(),
        }
    }

    /// Sends bytes on a connection of their own, closes that direction, and reads the whole reply.
    pub(crate) async fn tell(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.client().await;
        client.send(bytes).await;
        client.socket.shutdown().await.expect("is open");
        client.rest().await
    }

    /// The same for bytes that the server may not read completely. A stream that was opened is dropped.
    pub(crate) async fn told(&self, bytes: &[u8]) -> String {
        let mut client = self.client().await;
        let _ = patiently(client.socket.write_all(bytes)).await;
        let _ = client.socket.shutdown().await;
        let mut pipes = self.pipes.lock().await;
        let hanging_up = async { while pipes.recv().await.is_some() {} };
        tokio::select! {
            told = client.rest() => told,
            () = hanging_up => unreachable!("the host lives"),
        }
    }

    /// Waits until the host has received `count` more requests.
    pub(crate) async fn begun(&self, count: u32) {
        patiently(self.host.begun.acquire_many(count))
            .await
            .expect("is never closed")
            .forget();
    }

    /// The next stream that a peer opens.
    pub(crate) async fn met(&self) -> Pipe {
        patiently(self.pipes.lock().await.recv())
            .await
            .expect("the host lives")
    }
}

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        patiently(self.socket.write_all(bytes.as_ref()))
            .await
            .expect("the server reads");
    }

    /// Everything up to and including `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(at) = text.find(end) {
                self.read.drain(..at + end.len());
                return text[..at + end.len()].into();
            }
            let mut piece = [0; 4096];
            let count = patiently(self.socket.read(&mut piece))
                .await
                .expect("is not reset");
            assert!(count > 0, "{end:?} did not come, only {text:?}");
            self.read.extend_from_slice(&piece[..count]);
        }
    }

    /// Everything until the server ends the connection, in any way.
    pub(crate) async fn rest(&mut self) -> String {
        let _ = patiently(self.socket.read_to_end(&mut self.read)).await;
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }
}

pub(crate) async fn patiently<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("takes milliseconds")
}
