//! Starts a data server: configures its single-node cluster and recovers its state.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep};

use super::local_store::{LocalStore, LocalStoreError};
use super::{DataServer, State};
use crate::apps::data_servers::body::PAIR_BYTES_MAX;
use crate::apps::data_servers::messages::{Applied, Staged};
use crate::apps::data_servers::place;
use crate::config::{Config, Limits, StoreKind};
use crate::names::{Incarnation, NodeId};
use crate::node::{Node, Refusal, Tasks};

/// The node behind every data server has the same name, because no other node calls it: so its folder may
/// be served from another address.
const NODE: &str = "alone:1";

/// A single node forms its view at once; a slow disk takes longer.
const READY_LIMIT: Duration = Duration::from_secs(30);
const READY_PAUSE: Duration = Duration::from_millis(2);

/// Why a data server does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store is not ready: {0}")]
    NotReady(Refusal),
    #[error("the stored data cannot be read: {0}")]
    Unreadable(String),
}

/// The configuration of the node behind a data server.
pub fn config(listen: SocketAddr, data_dir: &Path) -> Config {
    let node: NodeId = NODE.parse().expect("this is host:port");
    Config {
        view: Some(vec![node.clone()]),
        node,
        listen,
        replicas: Some(1),
        store: StoreKind::Durable {
            data_dir: data_dir.to_path_buf(),
        },
        limits: limits(),
    }
}

/// The node's limits. A body may hold several pairs of the largest size, and a call is a little larger
/// than the body that it was made of.
pub fn limits() -> Limits {
    Limits {
        value_bytes_max: PAIR_BYTES_MAX,
        ..Limits::default()
    }
}

impl DataServer {
    /// Recovers the state from the node, once the node serves.
    pub async fn open(address: String, node: Arc<Node>, tasks: Tasks) -> Result<Arc<Self>, OpenError> {
        let life = node.status().incarnation;
        let local = LocalStore::new(node);
        let began = Instant::now();
        let state = loop {
            match recover(&local).await {
                Ok(state) => break state,
                Err(LocalStoreError::Refused(_)) if began.elapsed() < READY_LIMIT => sleep(READY_PAUSE).await,
                Err(LocalStoreError::Refused(refusal)) => return Err(OpenError::NotReady(refusal)),
                Err(error) => return Err(OpenError::Unreadable(error.to_string())),
            }
        };
        let server = Arc::new(Self {
            address,
            life: life_header(life),
            local,
            state: RwLock::new(state),
            link: Default::default(),
            tasks,
        });
        server.tasks.spawn(Arc::clone(&server).keep_cleaning_up());
        Ok(server)
    }
}

fn life_header(life: Incarnation) -> HeaderValue {
    let Incarnation { started_ms, random } = life;
    HeaderValue::from_str(&format!("{started_ms:016x}{random:016x}")).expect("digits are a header value")
}

async fn recover(local: &LocalStore) -> Result<State, LocalStoreError> {
    let now = Instant::now();
    let mut state = State {
        membership: local.read(&place::of_server_list()).await?,
        ..State::default()
    };
    let (staged, _) = local.list::<Staged>(place::STAGED, None, usize::MAX).await?;
    for staged in staged {
        state.transactions.stage(staged, now);
    }
    let (applied, _) = local.list::<Applied>(place::APPLIED, None, usize::MAX).await?;
    for applied in applied {
        state.transactions.applied(applied, now);
    }
    Ok(state)
}
