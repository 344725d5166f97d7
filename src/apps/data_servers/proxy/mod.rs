//! A proxy: asks each server for its share of a request, and stores nothing. A proxy with a stale list is
//! corrected by the first server with a newer one.

mod atomic;
mod change;
mod everything;
mod following;
mod fractures;
mod identity;
mod read;
mod write;

use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::following::{Following, LOOK_LIMIT, named_once};
use super::calls::Link;
use super::endpoints;
use super::server_list;
use super::service::{Everything, Pairs, ReadResult, Servers, Trouble};
use crate::apps::data_servers::messages::{Datum, KeyOutcome, Pair};

/// Time for a request however many servers hang, in addition to the time for its bytes and pairs.
const PATIENCE: Duration = Duration::from_millis(1300);

/// A request may take a second longer for this many bytes of its body.
const BYTES_A_SECOND: usize = 8 * 1024 * 1024;

/// And a second longer for this many pairs.
const PAIRS_A_SECOND: usize = 5000;

/// Attempts for one request: the list may change under it, or its answers may not fit together.
const ROUNDS_MAX: usize = 10;

/// Pause between two looks at the servers for abandoned changes.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// A proxy without its listener.
#[derive(Debug)]
pub struct Proxy {
    /// The servers that it was started with.
    seeds: Vec<String>,
    link: Link,
    following: RwLock<Option<Arc<Following>>>,
    /// Held while this proxy changes the list or moves keys; other proxies may do so too.
    changing: Mutex<()>,
}

impl Proxy {
    /// A proxy of these servers, or of those in the list that they follow.
    pub fn new(seeds: &[String]) -> Arc<Self> {
        Arc::new(Self {
            seeds: server_list::first(seeds).servers,
            link: Link::default(),
            following: RwLock::new(None),
            changing: Mutex::new(()),
        })
    }

    /// Answers a client.
    pub async fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
        endpoints::respond(self, request).await
    }

    /// Looks for newer lists, and carries on changes that are unfinished. Runs as long as the proxy.
    pub async fn keep_going(self: Arc<Self>) {
        let mut pause = tokio::time::interval(LOOK_PAUSE);
        pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last_logged = None;
        loop {
            pause.tick().await;
            let (what, trouble) = match self.look_around().await {
                Ok(following) if following.list.is_settled() => {
                    last_logged = None;
                    continue;
                }
                Ok(following) => match self.finish_change(&following).await {
                    Ok(_) => continue,
                    Err(trouble) => ("a change of the servers is not finished yet", trouble),
                },
                // Until there is a list, this is why every request fails.
                Err(trouble) => ("no list of servers yet", trouble),
            };
            // Log each kind of trouble once in a row.
            if last_logged.replace(discriminant(&trouble)) != Some(discriminant(&trouble)) {
                tracing::warn!(%trouble, "{what}");
            }
        }
    }

    /// Fails if two of the given names lead to one server, as far as the servers answer by now.
    pub async fn check_servers(&self) -> Result<(), NamedTwice> {
        let asked = self.seeds.iter().map(|server| self.identify(server, LOOK_LIMIT));
        let answers = join_all(asked).await;
        let identities = self.seeds.iter().map(String::as_str).zip(&answers);
        let identities = identities.filter_map(|(name, identity)| Some((name, identity.as_ref().ok()?)));
        named_once(&identities.collect::<Vec<_>>()).map_err(NamedTwice)
    }
}

/// Two of the names that a proxy was started with lead to one server.
#[derive(Debug, thiserror::Error)]
#[error("--servers: {0}")]
pub struct NamedTwice(Trouble);

/// The deadline of a request, from its number of pairs and bytes.
fn deadline(pairs: usize, bytes: usize) -> Instant {
    let seconds = bytes as f64 / BYTES_A_SECOND as f64 + pairs as f64 / PAIRS_A_SECOND as f64;
    Instant::now() + PATIENCE + Duration::from_secs_f64(seconds)
}

fn bytes_of(pairs: &[Pair]) -> usize {
    let bytes = |pair: &Pair| pair.key.data.len() + pair.value.data.len();
    pairs.iter().map(bytes).sum()
}

impl Pairs for Proxy {
    async fn write(&self, pairs: Vec<Pair>) -> Vec<KeyOutcome> {
        self.set(pairs).await
    }

    async fn write_all(&self, pairs: Vec<Pair>) -> Result<(), Trouble> {
        self.set_whole(pairs).await
    }

    async fn read(&self, keys: Vec<Datum>) -> Vec<ReadResult> {
        self.fetch(&keys).await
    }

    async fn read_everything(&self) -> Result<Everything, Trouble> {
        self.fetch_everything().await
    }

    async fn delete(&self, keys: Vec<Datum>) -> Vec<KeyOutcome> {
        self.remove_keys(keys).await
    }

    async fn servers(&self) -> Result<Servers, Trouble> {
        // Another proxy may just have changed the list.
        Ok(match self.look_around().await {
            Ok(following) => following.list.to_client(),
            Err(trouble @ Trouble::NamedTwice { .. }) => return Err(trouble),
            Err(_) => server_list::first(&self.seeds).to_client(),
        })
    }

    async fn add_server(&self, server: String) -> Result<u64, Trouble> {
        self.add(&server).await
    }

    async fn remove_server(&self, server: String, force: bool) -> Result<u64, Trouble> {
        self.remove(&server, force).await
    }
}
