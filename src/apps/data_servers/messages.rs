//! Pairs as JSON: in public bodies, in calls between proxies and data servers, and in the records that a
//! data server stores. Unknown fields are ignored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The encoding of a key or a value. The store does not decode it; it only tells the two encodings apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    String,
    Binary,
}

/// A key or a value. The data is a text that comes back as it was given, whatever its encoding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Datum {
    pub encoding: Encoding,
    pub data: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub key: Datum,
    pub value: Datum,
}

/// A key in a public answer, as the client gave it, valid or not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Given<'a> {
    Datum(&'a Datum),
    Other(&'a Value),
}

/// A key and the answer for it. No value means that there is none, or that it cannot be known now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answered<'a, V> {
    pub key: Given<'a>,
    pub value: Option<V>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
}

/// The outcome of a set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeysAdded<'a> {
    pub keys_added: usize,
    pub keys_failed: Vec<Given<'a>>,
}

/// The outcome of a deletion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeysDeleted<'a> {
    pub keys_deleted: usize,
    pub keys_failed: Vec<Given<'a>>,
}

/// The record of a key at a data server. Without a value it is a tombstone, kept while keys move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPair {
    pub key: Datum,
    pub value: Option<Datum>,
}

/// The list of servers; see `server_list` for how one list becomes the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerList {
    /// The id that the lists of one store share, and no two stores.
    pub store: String,
    pub version: u64,
    pub servers: Vec<String>,
    /// The previous list, while keys are moving from it to `servers`.
    pub previous: Option<Vec<String>>,
    /// Servers of the previous list that were given up with their keys.
    #[serde(default)]
    pub lost: Vec<String>,
    /// Servers that join by this change, and the version in which each began to join.
    #[serde(default)]
    pub joining: Vec<(String, u64)>,
}

/// An atomic set over several servers. The first participant decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    pub id: String,
    pub participants: Vec<String>,
}

/// The record of an applied transaction. Its keys show which reads it concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub transaction: Transaction,
    pub keys: Vec<Datum>,
}

/// The list that a data server follows, and its own name in that list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub name: String,
    pub list: ServerList,
}

/// The record of a staged transaction at a participant that knows no decision yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    pub transaction: Transaction,
    pub pairs: Vec<Pair>,
}

/// The version of the list that a call is based on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub store: String,
    pub version: u64,
}

/// A call to a data server. A call without a stamp is answered under any list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The name of the called server in the list.
    pub to: String,
    pub stamp: Option<Stamp>,
    pub ask: Ask,
}

/// The requests to a data server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    ServerList,
    Adopt(ServerList),
    /// The values of keys, which must show the outcome of the `expected` transactions.
    Read {
        keys: Vec<Datum>,
        expected: Vec<String>,
    },
    /// All pairs after a name, page by page.
    List {
        after: Option<String>,
        expected: Vec<String>,
    },
    Write {
        pairs: Vec<Pair>,
        /// Store all of them or none.
        is_whole: bool,
    },
    Delete {
        keys: Vec<KeyToDelete>,
    },
    Stage(Staged),
    /// To the first participant: commit the transaction.
    Commit {
        id: String,
    },
    /// To the first participant: report the decision; with `abort`, an undecided transaction is aborted.
    Outcome {
        id: String,
        abort: bool,
    },
    /// To the others: the transaction is decided; ask the first participant.
    Resolve {
        id: String,
    },
    /// Some of the pairs that the list places elsewhere.
    Misplaced {
        after: Option<String>,
    },
    /// Copies from another server, for keys that are unknown here.
    Receive {
        pairs: Vec<Pair>,
    },
    /// Pairs to drop, because their owner has them.
    Drop {
        keys: Vec<Datum>,
    },
}

/// A key that is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyToDelete {
    pub key: Datum,
    /// True if it exists at the server that had it before the move.
    pub is_elsewhere: bool,
}

/// A data server's answer to a [`Call`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    /// The server follows a newer list, or another one of the same version.
    OtherServerList(ServerList),
    /// The server follows an older list, or none; nothing was done.
    Behind,
    /// Nothing was done.
    Failed(String),
    /// The call was begun, and cannot be confirmed in time.
    Unconfirmed,
    Membership(Option<Membership>),
    Values {
        values: Vec<Known>,
        applied: Vec<Transaction>,
    },
    /// Also the answer to [`Ask::Misplaced`].
    Page {
        pairs: Vec<StoredPair>,
        next: Option<String>,
        applied: Vec<Transaction>,
    },
    /// For each key in order, whether it was done.
    Each(Vec<KeyOutcome>),
    Outcome(Outcome),
}

/// The state of a key at one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    Value(Datum),
    /// The key was deleted here, whatever other servers still have.
    Deleted,
    Nothing,
    /// Another key has the same hash.
    Clash,
    /// It is part of a transaction whose deciding server does not answer.
    InDoubt,
}

/// The outcome for one key of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOutcome {
    Done,
    Missing,
    Refused,
    /// Not confirmed; it may have been done.
    Unknown,
}

/// The first participant's answer about a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Committed,
    Aborted,
    Undecided,
}
