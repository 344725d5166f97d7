//! A data server: stores pairs on a node of its own, for proxies and for clients that call it directly.
//!
//! One lock guards all state. Changes hold it while they are stored and reads share it, so no read sees
//! half of a set or anything that is not stored. The lock is never held while another server is asked.
//!
//! A call is carried out to its end even if its caller is gone, so that disk and memory never diverge.

mod adopt;
mod keys;
mod local_store;
mod moves;
mod open;
mod outcome;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use tokio::sync::{RwLock, oneshot};

use self::local_store::{LocalStore, LocalStoreError};
pub use self::open::{OpenError, config, limits};
use self::transactions::Transactions;
use super::calls::{CALL_PATH, LIFE_HEADER, Link};
use super::endpoints;
use super::service::{Everything, Pairs, ReadResult, Servers, Trouble};
use crate::apps::data_servers::messages::{
    Answer, Ask, Call, Datum, KeyOutcome, KeyToDelete, Known, Membership, Pair, Stamp,
};
use crate::node::{Refusal, Tasks};

/// How long the deciding server may take to report its decision.
const DECIDER_LIMIT: Duration = Duration::from_millis(400);

/// How long a change waits for keys that a transaction holds.
const HELD_LIMIT: Duration = Duration::from_secs(1);

/// Pause between two looks at an undecided transaction.
const HELD_PAUSE: Duration = Duration::from_millis(5);

/// A data server without its listener.
#[derive(Debug)]
pub struct DataServer {
    /// Where it listens; also its name while it is in no list.
    address: String,
    /// The life of its store: two names that lead to one life lead to one server.
    life: HeaderValue,
    local: LocalStore,
    state: RwLock<State>,
    link: Link,
    tasks: Tasks,
}

/// The part of the local store that is also kept in memory.
#[derive(Debug, Default)]
struct State {
    membership: Option<Membership>,
    transactions: Transactions,
}

impl State {
    /// The reply to a caller whose server list differs from ours.
    fn objection(&self, stamp: Option<&Stamp>) -> Option<Answer> {
        let stamp = stamp?;
        let is_bound = |own: &&Membership| stamp.store == own.list.store || is_member(own);
        let Some(own) = self.membership.as_ref().filter(is_bound) else {
            return Some(Answer::Behind);
        };
        if *stamp == own.list.stamp() {
            None
        } else if stamp.store == own.list.store && stamp.version > own.list.version {
            Some(Answer::Behind)
        } else {
            Some(Answer::OtherServerList(own.list.clone()))
        }
    }

    /// The reply to a call for another server, whose name leads here by mistake: this server does not have
    /// that server's keys and decisions.
    fn wrong_addressee(&self, call: &Call) -> Option<Answer> {
        let own = self.membership.as_ref().filter(|own| is_member(own))?;
        let is_meant = own.name == call.to || matches!(call.ask, Ask::ServerList | Ask::Adopt(_));
        (!is_meant).then(|| Answer::Failed(format!("{} leads to {}", call.to, own.name)))
    }

    /// True if a key may be written here. A server that is in no list takes every key.
    fn takes(&self, key: &Datum) -> bool {
        self.membership
            .as_ref()
            .is_none_or(|own| !own.list.servers.contains(&own.name) || own.list.owner(key) == Some(&own.name))
    }

    /// True if deletions must be remembered, because copies may still be on their way.
    fn remembers_deletions(&self) -> bool {
        let own = self.membership.as_ref();
        own.is_some_and(|own| !own.list.is_settled())
    }
}

/// True if the list that a server follows contains it. A removed server is free to join another store.
fn is_member(own: &Membership) -> bool {
    own.list.concerned().contains(&own.name)
}

impl DataServer {
    /// Answers a client or a proxy.
    pub async fn respond(self: &Arc<Self>, request: Request<Bytes>) -> Response<Bytes> {
        if request.uri().path() != CALL_PATH {
            return endpoints::respond(self, request).await;
        }
        let answer = match serde_json::from_slice::<Call>(request.body()) {
            Ok(call) => {
                let wrong_addressee = self.state.read().await.wrong_addressee(&call);
                match wrong_addressee {
                    Some(answer) => answer,
                    None => self.answer(call).await,
                }
            }
            Err(error) => Answer::Failed(format!("this is not a call to a data server: {error}")),
        };
        let text = serde_json::to_vec(&answer).expect("these types have names and texts only");
        let mut response = Response::new(Bytes::from(text));
        response.headers_mut().insert(LIFE_HEADER, self.life.clone());
        response
    }

    /// Carries out a call and answers it, even if the caller stops waiting.
    async fn answer(self: &Arc<Self>, call: Call) -> Answer {
        let (reply, answer) = oneshot::channel();
        let server = Arc::clone(self);
        self.tasks.spawn(async move {
            let answer = server.carry_out(call).await;
            let _ = reply.send(answer.unwrap_or_else(|error| match error {
                LocalStoreError::Refused(Refusal::UnknownOutcome { .. }) => Answer::Unconfirmed,
                error => Answer::Failed(error.to_string()),
            }));
        });
        let stopped = |_| Answer::Failed("the server is stopping".to_owned());
        answer.await.unwrap_or_else(stopped)
    }

    async fn carry_out(&self, call: Call) -> Result<Answer, LocalStoreError> {
        let stamp = call.stamp.as_ref();
        match call.ask {
            Ask::ServerList => Ok(Answer::Membership(self.state.read().await.membership.clone())),
            Ask::Adopt(list) => self.adopt(call.to, list).await,
            Ask::Read { keys, expected } => self.read(stamp, &keys, &expected).await,
            Ask::List { after, expected } => self.list(stamp, after.as_deref(), &expected).await,
            Ask::Write { pairs, is_whole } => self.write(stamp, pairs, is_whole).await,
            Ask::Delete { keys } => self.delete(stamp, keys).await,
            Ask::Stage(staged) => self.stage(stamp, staged).await,
            Ask::Commit { id } => self.commit(&id).await.map(Answer::Outcome),
            Ask::Outcome { id, abort } => self.outcome(&id, abort).await.map(Answer::Outcome),
            Ask::Resolve { id } => self.resolve(&id, false).await,
            Ask::Misplaced { after } => self.misplaced(stamp, after.as_deref()).await,
            Ask::Receive { pairs } => self.receive(stamp, pairs).await,
            Ask::Drop { keys } => self.drop_moved(stamp, &keys).await,
        }
    }

    /// Makes a client's call, which is not bound to a list.
    async fn call(self: &Arc<Self>, ask: Ask) -> Answer {
        let to = self.address.clone();
        let stamp = None;
        self.answer(Call { to, stamp, ask }).await
    }

    /// Ends abandoned transactions, and forgets applied ones that no server will ask about. Runs as long
    /// as the server.
    pub async fn keep_cleaning_up(self: Arc<Self>) {
        let mut pause = tokio::time::interval(Duration::from_millis(500));
        loop {
            pause.tick().await;
            if let Err(error) = self.clean_up().await {
                tracing::warn!(%error, "cannot clean up after atomic sets");
            }
        }
    }
}

/// The service for clients that call this server directly.
impl Pairs for Arc<DataServer> {
    async fn write(&self, pairs: Vec<Pair>) -> Vec<KeyOutcome> {
        let count = pairs.len();
        match self
            .call(Ask::Write {
                pairs,
                is_whole: false,
            })
            .await
        {
            Answer::Each(outcomes) => outcomes,
            Answer::Unconfirmed => vec![KeyOutcome::Unknown; count],
            _ => vec![KeyOutcome::Refused; count],
        }
    }

    async fn write_all(&self, pairs: Vec<Pair>) -> Result<(), Trouble> {
        match self
            .call(Ask::Write {
                pairs,
                is_whole: true,
            })
            .await
        {
            Answer::Each(outcomes) if outcomes.iter().all(|outcome| *outcome == KeyOutcome::Done) => Ok(()),
            Answer::Unconfirmed => Err(Trouble::UnknownOutcome),
            _ => Err(Trouble::NotStored),
        }
    }

    async fn read(&self, keys: Vec<Datum>) -> Vec<ReadResult> {
        let count = keys.len();
        let expected = Vec::new();
        match self.call(Ask::Read { keys, expected }).await {
            Answer::Values { values, .. } => values.into_iter().map(read_result).collect(),
            _ => vec![ReadResult::Unavailable; count],
        }
    }

    async fn read_everything(&self) -> Result<Everything, Trouble> {
        let mut everything = Everything::default();
        let mut after = None;
        loop {
            let expected = Vec::new();
            let Answer::Page { pairs, next, .. } = self.call(Ask::List { after, expected }).await else {
                let text = "some pairs cannot be read now; try again";
                return Err(Trouble::Unavailable(text.to_owned()));
            };
            let pairs = pairs.into_iter().filter_map(|pair| {
                let value = pair.value?;
                Some(Pair { key: pair.key, value })
            });
            everything.pairs.extend(pairs);
            if next.is_none() {
                return Ok(everything);
            }
            after = next;
        }
    }

    async fn delete(&self, keys: Vec<Datum>) -> Vec<KeyOutcome> {
        let count = keys.len();
        let is_elsewhere = false;
        let keys = keys.into_iter().map(|key| KeyToDelete { key, is_elsewhere });
        match self.call(Ask::Delete { keys: keys.collect() }).await {
            Answer::Each(outcomes) => outcomes,
            Answer::Unconfirmed => vec![KeyOutcome::Unknown; count],
            _ => vec![KeyOutcome::Refused; count],
        }
    }

    async fn servers(&self) -> Result<Servers, Trouble> {
        let state = self.state.read().await;
        Ok(match &state.membership {
            Some(own) => own.list.to_client(),
            None => Servers {
                addresses: vec![self.address.clone()],
                moving: false,
            },
        })
    }

    async fn add_server(&self, _: String) -> Result<u64, Trouble> {
        Err(Trouble::NotAProxy)
    }

    async fn remove_server(&self, _: String, _: bool) -> Result<u64, Trouble> {
        Err(Trouble::NotAProxy)
    }
}

/// The result for a client, from the state of a key.
pub(super) fn read_result(known: Known) -> ReadResult {
    match known {
        Known::Value(value) => ReadResult::Value(value),
        Known::Deleted | Known::Nothing | Known::Clash => ReadResult::Missing,
        Known::InDoubt => ReadResult::Unavailable,
    }
}
