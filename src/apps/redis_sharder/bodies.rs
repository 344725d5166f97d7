//! Results of the sharder over Redis, the same in its shell, over HTTP and in its library.

use serde::{Deserialize, Serialize};

/// The servers and the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Pairs that a server may hold.
    pub capacity: u64,
    /// Copies that each key should have.
    pub reliability_level: usize,
    pub strict: bool,
    /// How many servers live.
    pub live: usize,
    /// All servers, by port.
    pub servers: Vec<ServerStatus>,
    /// Keys that have a copy.
    pub keys: usize,
    /// Keys with fewer copies than they should have, and keys whose copies all died.
    pub under_replicated: usize,
    pub lost: usize,
    /// The same by name: a thousand of each at the most, those with the fewest copies first.
    pub under_replicated_keys: Vec<i64>,
    pub lost_keys: Vec<i64>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    pub port: u16,
    pub pid: u32,
    pub alive: bool,
    /// True if it answered when it was last asked.
    pub answers: bool,
    /// How many pairs it holds.
    pub keys: usize,
}

/// Any reply over HTTP to a successful request, with `"result":"success"` before the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success<T> {
    pub result: String,
    #[serde(flatten)]
    pub reply: T,
}

impl<T> Success<T> {
    pub fn new(reply: T) -> Self {
        let result = "success".into();
        Self { result, reply }
    }
}

/// `POST /bringUp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroughtUp {
    pub ports: Vec<u16>,
}

/// `POST /failNode`: the copies that were made again, and the state of the keys after that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFailed {
    pub copied: usize,
    pub under_replicated: usize,
    /// Keys lost by this failure.
    pub lost: usize,
}

/// `PUT /put`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairStored {
    pub replicas: usize,
    pub target: usize,
    pub degraded: bool,
}

/// `GET /get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairRead {
    pub key: i64,
    pub value: i64,
}
