//! The service that both proxies and data servers offer ([`Pairs`]), with its results. Separate from
//! `face`, which calls it for HTTP requests, and from `reply`, which renders the results.

use crate::apps::data_servers::messages::{Datum, Fate, Pair};

/// What a reader learns of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Value(Datum),
    Missing,
    /// The server that has it, if any has, cannot be asked.
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
    #[error("not all pairs can be stored, so none was")]
    NotStored,
    #[error("{0}")]
    Unavailable(String),
    #[error(
        "whether the pairs are stored is not known: the server that decides does not answer; all of them are, or none"
    )]
    UnknownOutcome,
    #[error("{0} is a server already")]
    AlreadyThere(String),
    #[error("{name} leads to {server}, which is a server already")]
    SameServer { name: String, server: String },
    #[error(
        "{one} and {other} lead to one data server, or to copies of one folder; name each server once, by the same name at every proxy"
    )]
    NamedTwice { one: String, other: String },
    #[error(
        "{name} leads to {server}, so the list cannot be changed; make {name} lead to its own server again, or give up what only that had with DELETE /servers/{name}?force=true"
    )]
    Misled { name: String, server: String },
    #[error("{0} serves another list of servers; its keys would be lost")]
    OtherStore(String),
    #[error("{0} is the last server; its keys have nowhere to go")]
    LastServer(String),
    #[error("{server} {why}, or give up what only that has with ?force=true")]
    WouldLoseKeys { server: String, why: String },
    #[error("{0} is no server of this list")]
    NotThere(String),
    #[error("the change is not finished: {0}; it goes on by itself")]
    Unfinished(String),
    #[error("this is a data server; the list is changed at a proxy")]
    NotAProxy,
}

/// The service behind the face. Results are in the order of the keys that were asked for.
pub(super) trait Pairs: Send + Sync {
    fn write(&self, pairs: Vec<Pair>) -> impl Future<Output = Vec<Fate>> + Send;

    /// Stores all of them, on all servers, or none.
    fn write_all(&self, pairs: Vec<Pair>) -> impl Future<Output = Result<(), Trouble>> + Send;

    fn read(&self, keys: Vec<Datum>) -> impl Future<Output = Vec<Seen>> + Send;

    fn read_everything(&self) -> impl Future<Output = Result<Everything, Trouble>> + Send;

    fn delete(&self, keys: Vec<Datum>) -> impl Future<Output = Vec<Fate>> + Send;

    fn servers(&self) -> impl Future<Output = Result<Servers, Trouble>> + Send;

    /// Adds a server and moves its share to it. Returns how many keys moved.
    fn add_server(&self, server: String) -> impl Future<Output = Result<u64, Trouble>> + Send;

    /// Moves a server's keys off and removes it; with `force`, gives them up if it does not answer.
    fn remove_server(&self, server: String, force: bool)
    -> impl Future<Output = Result<u64, Trouble>> + Send;
}
