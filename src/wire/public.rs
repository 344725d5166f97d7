//! The bodies of the public interface, as clients, the command line and the tests read them.
//!
//! Fields may be added to a reply and are never taken away, so every reader ignores those that it does
//! not know. Key replies are written by hand in `api` because they are the hot path; a test there checks
//! them against these types.

use serde::{Deserialize, Serialize};

use super::json::{self, JsonError};
use crate::text;

/// The reply to `GET /kv-store/<key>`, with either `value` or `value_base64`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRead {
    pub result: String,
    pub msg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// For values that are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    pub partition_id: i64,
    pub causal_payload: String,
    /// Decimal seconds since 1970, by the clock of the replica that first took the write.
    pub timestamp: String,
}

/// The reply to a PUT or DELETE of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyWritten {
    pub result: String,
    pub msg: String,
    pub partition_id: i64,
    pub causal_payload: String,
    pub timestamp: String,
    /// How many replicas have it on stable storage.
    pub replicas: u32,
}

/// `GET /kv-store`: a page of keys, in order, with either `items` or `keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPage {
    pub result: String,
    pub msg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<KeyItem>>,
    /// With `keys_only=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
    /// The cursor to send as `after` for the next page; null after the last.
    pub next: Option<String>,
    pub causal_payload: String,
}

/// A key with its value, either `value` or `value_base64`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyItem {
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    pub timestamp: String,
}

/// `POST /kv-store`: for each operation, in order, the reply that it would have had alone, and its
/// status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationsDone {
    pub result: String,
    pub msg: String,
    pub results: Vec<serde_json::Value>,
    pub causal_payload: String,
}

/// One of several operations, as `POST /kv-store` takes it. A put has either `val` (or `value`) or
/// `val_base64`; the others have neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with op, key and, in a put, val")]
pub struct OperationAsked {
    /// `get`, `put` or `delete`.
    #[serde(alias = "method")]
    pub op: String,
    pub key: String,
    #[serde(
        default,
        alias = "value",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::text"
    )]
    pub val: Option<String>,
    #[serde(default, alias = "value_base64", skip_serializing_if = "Option::is_none")]
    pub val_base64: Option<String>,
}

/// Several operations with the client's payload; an array alone is accepted as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationsAsked {
    pub operations: Vec<OperationAsked>,
    #[serde(default, deserialize_with = "json::absent_if_null")]
    pub causal_payload: String,
}

impl OperationsAsked {
    /// Reads either form.
    pub fn from_json(body: &[u8]) -> Result<Self, JsonError> {
        let text = text::decode(body)?;
        if text.trim_start().starts_with('{') {
            return Ok(serde_json::from_str(&text)?);
        }
        Ok(Self {
            operations: serde_json::from_str(&text)?,
            causal_payload: String::new(),
        })
    }
}

/// Any refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub result: String,
    /// What is wrong and what to do.
    pub error: String,
    pub msg: String,
    /// The stable word for programs.
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causal_payload: Option<String>,
}

/// `GET /kv-store/get_partition_id`; -1 on a node that is in no partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionIdOf {
    pub result: String,
    pub partition_id: i64,
    pub role: String,
}

/// `GET /kv-store/get_all_partition_ids`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionIdList {
    pub result: String,
    pub partition_id_list: Vec<u32>,
}

/// `GET /kv-store/get_partition_members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMembers {
    pub result: String,
    pub partition_members: Vec<String>,
}

/// `GET /kv-store/get_node_details`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDetails {
    pub result: String,
    /// `Yes` or `No`.
    pub replica: String,
    pub role: String,
}

/// `GET /kv-store/get_all_replicas`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    pub result: String,
    pub replicas: Vec<String>,
}

/// `PUT /kv-store/update_view`; partition and role are present if a node was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewUpdated {
    pub result: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_id: Option<i64>,
    pub number_of_partitions: u32,
    /// `replica`, or `proxy` with -1 for its partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    pub epoch: u64,
    /// Slots whose keys were given up by force, and the same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots_given_up: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// `PUT /kv-store/update_view?dry_run=true`: what would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewPreview {
    pub result: String,
    pub dry_run: bool,
    pub before: ViewLayout,
    pub after: ViewLayout,
    /// Slots that get an owner that they do not have yet.
    pub slots_moved: u32,
    pub keys_moved: u64,
    /// Slots whose keys would be given up.
    pub slots_given_up: u32,
}

/// Where each node is in a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewLayout {
    /// The nodes of each partition, by partition id.
    pub partitions: Vec<Vec<String>>,
    pub proxies: Vec<String>,
}

/// `GET /`: which node answers, and its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    pub result: String,
    pub service: String,
    pub version: String,
    pub node: String,
    pub role: String,
    pub partition_id: i64,
    pub endpoints: Vec<String>,
    /// The nodes whose clocks disagree, and by how much; absent while all agree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clock_troubles: Vec<String>,
}

/// `GET /status`: what a node knows of itself and its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub result: String,
    /// The version of the program that this node runs.
    #[serde(default)]
    pub version: String,
    pub node: String,
    /// Start time in milliseconds and a random number, the latter in hexadecimal.
    pub incarnation: String,
    /// `replica`, `proxy` or `waiting`.
    pub role: String,
    pub partition_id: i64,
    /// In hexadecimal; none before the first view.
    pub cluster: Option<String>,
    pub epoch: u64,
    /// K: replicas in a partition.
    pub k: Option<u32>,
    /// The nodes of each partition, by partition id.
    pub partitions: Vec<Vec<String>>,
    pub proxies: Vec<String>,
    pub ready: bool,
    /// Why keys are not served; none while they are.
    pub waiting_for: Option<Reason>,
    pub away: Vec<String>,
    pub keys: u64,
    /// Records that an earlier life of the node left behind, and that it is about to hand over.
    #[serde(default)]
    pub left_behind: u64,
    pub slots_lost: u32,
    pub storage_failure: Option<String>,
    /// Why the node does not trust its wall clock; none while it does.
    pub clock_doubt: Option<String>,
    /// Members whose wall clocks differ from the node's by more than `CLOCK_LIMIT`.
    #[serde(default)]
    pub clocks_apart: Vec<ClockApart>,
    /// The view change that is under way, if one is.
    pub change: Option<Progress>,
}

/// A member's wall clock, as the node that was asked sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockApart {
    pub node: String,
    /// How far it is ahead of the clock of the node that was asked; less than 0 if it is behind.
    pub ahead_ms: i64,
}

/// The progress of a view change, as the node that was asked sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub epoch: u64,
    /// `copy`, `seal`, `hand_over`, `activate` or `done`.
    pub phase: String,
    /// Known at the driving node.
    pub waits_for: Vec<String>,
    pub keys_moved: u64,
    pub keys_to_go: u64,
    /// How long it has been under way.
    pub for_ms: u64,
}

/// A refusal in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub code: String,
    pub error: String,
}

/// `GET /livez` and `GET /readyz`; the checks are named on request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub result: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// One thing that must hold before a node is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    pub detail: String,
}

#[cfg(test)]
impl Status {
    /// The status of a cluster of five with K = 2, as its first node sees it.
    pub(crate) fn example() -> Self {
        let nodes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Self {
            result: "success".into(),
            version: "1".into(),
            node: "a:1".into(),
            incarnation: "1-2".into(),
            role: "replica".into(),
            partition_id: 0,
            cluster: Some("abc".into()),
            epoch: 4,
            k: Some(2),
            partitions: vec![nodes(&["a:1", "b:1"]), nodes(&["c:1", "d:1"])],
            proxies: nodes(&["e:1"]),
            ready: true,
            waiting_for: None,
            away: vec![],
            keys: 3,
            left_behind: 0,
            slots_lost: 0,
            storage_failure: None,
            clock_doubt: None,
            clocks_apart: vec![],
            change: None,
        }
    }
}
