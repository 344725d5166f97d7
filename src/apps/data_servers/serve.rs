//! Runs a proxy or a data server of pairs behind the listeners.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use super::{DataServer, NamedTwice, OpenError, Proxy};
use crate::config::Limits;
use crate::net::Pipe;
use crate::node::Tasks;
use crate::server::{Bounds, Host, RunError, ServeError, Served, run};

/// Why a data server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum DataServerError {
    #[error(transparent)]
    Node(#[from] ServeError),
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Runs a data server until SIGTERM or SIGINT.
pub fn serve_data(listen: SocketAddr, data_dir: &Path) -> Result<(), RunError<DataServerError>> {
    let config = super::config(listen, data_dir);
    run(listen, bounds(2), async |dialer| {
        let served = Served::start(&config, dialer).await?;
        let tasks = Tasks::on_this_runtime();
        let server = DataServer::open(listen.to_string(), Arc::clone(served.node()), tasks.clone()).await?;
        Ok(Arc::new(DataHost {
            server,
            served,
            tasks,
        }))
    })
}

/// Runs a proxy of `servers` until SIGTERM or SIGINT.
pub fn serve_proxy(listen: SocketAddr, servers: &[String]) -> Result<(), RunError<NamedTwice>> {
    run(listen, bounds(1), async |_| {
        let proxy = Proxy::new(servers);
        proxy.check_servers().await?;
        let tasks = Tasks::on_this_runtime();
        tasks.spawn(Arc::clone(&proxy).keep_going());
        Ok(Arc::new(ProxyHost { proxy, tasks }))
    })
}

/// A proxy's calls are a little larger than its clients' bodies, so data servers accept more.
fn bounds(times: usize) -> Bounds {
    let limits = super::limits();
    Bounds::new(&Limits {
        value_bytes_max: times * limits.value_bytes_max,
        ..limits
    })
}

struct DataHost {
    server: Arc<DataServer>,
    served: Served,
    tasks: Tasks,
}

impl Host for DataHost {
    async fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.server.respond(request).await
    }

    // The node is a single-node cluster; no peer opens a stream.
    fn accept_peer(&self, pipe: Pipe) {
        drop(pipe);
    }

    async fn stop(&self) {
        self.tasks.stop();
        self.tasks.ended().await;
        self.served.stop().await;
    }
}

struct ProxyHost {
    proxy: Arc<Proxy>,
    tasks: Tasks,
}

impl Host for ProxyHost {
    async fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.proxy.respond(request).await
    }

    fn accept_peer(&self, pipe: Pipe) {
        drop(pipe);
    }

    async fn stop(&self) {
        self.tasks.stop();
        self.tasks.ended().await;
    }
}
