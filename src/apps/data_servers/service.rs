//! The service that both proxies and data servers offer ([`Pairs`]), with its results. Separate from
//! `endpoints`, which calls it for HTTP requests, and from `reply`, which renders the results.

use crate::apps::data_servers::messages::{Datum, KeyOutcome, Pair};

/// The result of a read, for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReadResult {
    Value(Datum),
    Missing,
    /// Its server cannot be asked.
    Unavailable,
}

/// All pairs that can be read.
#[derive(Debug, Default)]
pub(super) struct Everything {
    pub(super) pairs: Vec<Pair>,
    /// Servers whose pairs are missing.
    pub(super) unreachable: Vec<String>,
}

/// The list of servers.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) addresses: Vec<String>,
    /// True if a change of the list is under way, and keys are still moving.
    pub(super) moving: bool,
}

/// Why something was not done as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("not all pairs can be stored, so none is stored")]
    NotStored,
    #[error("{0}")]
    Unavailable(String),
    #[error(
        "it is not known whether the pairs are stored: the server that decides does not answer; either all or none are stored"
    )]
    UnknownOutcome,
    #[error("{0} is already a server")]
    AlreadyThere(String),
    #[error("{name} leads to {server}, which is already a server")]
    SameServer { name: String, server: String },
    #[error(
        "{one} and {other} lead to one data server, or to copies of one folder; name each server once, by the same name at every proxy"
    )]
    NamedTwice { one: String, other: String },
    #[error(
        "{name} leads to {server}, so the list cannot be changed; make {name} lead to its own server again, or give up the pairs that only that server had with DELETE /servers/{name}?force=true"
    )]
    NameLeadsElsewhere { name: String, server: String },
    #[error("{0} serves another list of servers; its keys would be lost")]
    OtherStore(String),
    #[error("{0} is the last server; its keys have nowhere to go")]
    LastServer(String),
    #[error("{server} {why}, or give up its pairs with ?force=true")]
    WouldLoseKeys { server: String, why: String },
    #[error("{0} is not in the list of servers")]
    NotThere(String),
    #[error("the change is not finished: {0}; it continues by itself")]
    Unfinished(String),
    #[error("this is a data server; the list is changed at a proxy")]
    NotAProxy,
}

/// The service behind the endpoints. Results are in the order of the keys that were asked for.
pub(super) trait Pairs: Send + Sync {
    fn write(&self, pairs: Vec<Pair>) -> impl Future<Output = Vec<KeyOutcome>> + Send;

    /// Stores all of them, on all servers, or none.
    fn write_all(&self, pairs: Vec<Pair>) -> impl Future<Output = Result<(), Trouble>> + Send;

    fn read(&self, keys: Vec<Datum>) -> impl Future<Output = Vec<ReadResult>> + Send;

    fn read_everything(&self) -> impl Future<Output = Result<Everything, Trouble>> + Send;

    fn delete(&self, keys: Vec<Datum>) -> impl Future<Output = Vec<KeyOutcome>> + Send;

    fn servers(&self) -> impl Future<Output = Result<Servers, Trouble>> + Send;

    /// Adds a server and moves its share to it. Returns how many keys moved.
    fn add_server(&self, server: String) -> impl Future<Output = Result<u64, Trouble>> + Send;

    /// Moves a server's keys off and removes it; with `force`, gives them up if it does not answer.
    fn remove_server(&self, server: String, force: bool)
    -> impl Future<Output = Result<u64, Trouble>> + Send;
}
