//! Runs a sharder over Redis behind the listeners, together with its shell.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Sharder, http as requests};
use crate::config::Limits;
use crate::net::Pipe;
use crate::server::{Bounds, Host, RunError, run};

/// Serves a sharder until SIGTERM or SIGINT, or until `shell` ends.
pub fn serve_sharder(
    address: SocketAddr,
    sharder: Arc<Sharder>,
    shell: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError<Infallible>> {
    run(address, Bounds::new(&Limits::default()), async |_| {
        Ok(Arc::new(Served::start(sharder, shell)))
    })
}

struct Served {
    sharder: Arc<Sharder>,
    shell: Mutex<JoinSet<()>>,
    end: CancellationToken,
}

impl Served {
    fn start(sharder: Arc<Sharder>, shell: impl Future<Output = ()> + Send + 'static) -> Self {
        let end = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let shell_end = end.clone();
        tasks.spawn(async move {
            shell.await;
            shell_end.cancel();
        });
        Self {
            sharder,
            shell: Mutex::new(tasks),
            end,
        }
    }
}

impl Host for Served {
    async fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
        requests::respond(&self.sharder, request).await
    }

    fn accept_peer(&self, pipe: Pipe) {
        // A sharder has no peers; a stream that is requested ends at once.
        drop(pipe);
    }

    async fn ended(&self) {
        self.end.cancelled().await;
    }

    async fn stop(&self) {
        self.shell.lock().await.shutdown().await;
        self.sharder.stop().await;
    }
}
