//! Serves a node: opens the store, starts the node, and runs the blocking committer on its own thread.

use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;

use super::{Bounds, Host, RunError, run};
use crate::api;
use crate::config::{Config, StoreKind};
use crate::net::Pipe;
use crate::net::stream::HttpDialer;
use crate::node::{Committer, Machine, Node, Parts, StartError, Tasks};
use crate::process::{system, threads};
use crate::store::{DurableEngine, Engine, MemoryEngine, OpenError};

/// Why a node cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the committer's thread cannot start: {}", system::explain(.0))]
    Thread(#[from] std::io::Error),
}

/// Runs a node until SIGTERM or SIGINT. `started` is called once the node is sure to run.
pub fn serve(config: &Config, started: impl FnOnce()) -> Result<(), RunError<ServeError>> {
    run(config.listen, Bounds::new(&config.limits), async |dialer| {
        let host = Served::start(config, dialer).await?;
        started();
        Ok(Arc::new(host))
    })
}

/// A node and the thread of its committer.
#[derive(Debug)]
pub struct Served {
    node: Arc<Node>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl Served {
    pub async fn start(config: &Config, dialer: HttpDialer) -> Result<Self, ServeError> {
        let engine: Arc<dyn Engine> = match &config.store {
            StoreKind::Durable { data_dir } => Arc::new(DurableEngine::open(data_dir)?),
            StoreKind::Memory => Arc::new(MemoryEngine),
        };
        let parts = Parts {
            world: Arc::new(Machine),
            dialer: Arc::new(dialer),
            engine,
            tasks: Tasks::on_this_runtime(),
        };
        let (node, committer) = Node::start(config, parts).await?;
        let committer = Mutex::new(Some(run_committer(committer)?));
        Ok(Self { node, committer })
    }

    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }
}

fn run_committer(committer: Committer) -> std::io::Result<JoinHandle<()>> {
    threads::start("committer", || Ok(|| committer.run()))
}

impl Host for Served {
    async fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
        api::respond(&self.node, request).await
    }

    fn accept_peer(&self, pipe: Pipe) {
        self.node.serve_peer(pipe);
    }

    async fn stop(&self) {
        self.node.stop().await;
        // The committer finishes the batch that it is syncing. Writes in its queue are not acknowledged.
        if let Some(committer) = self.committer.lock().take()
            && committer.join().is_err()
        {
            tracing::error!("the committer's thread panicked");
        }
    }
}
