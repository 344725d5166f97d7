//! What a node knows of itself and its cluster, as `GET /status` tells it.

use serde_json::Value;

use super::{Client, ClientError, Reply};
use crate::names::NodeId;
use crate::net::http_client::SendError;

/// The state of a cluster in the eyes of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub node: String,
    /// `replica`, `proxy` or `waiting`.
    pub role: String,
    /// -1 on a node that is in no partition.
    pub partition_id: i64,
    pub epoch: u64,
    pub k: Option<u64>,
    /// The nodes of each partition, by partition id.
    pub partitions: Vec<Vec<String>>,
    pub proxies: Vec<String>,
    /// This node has all that it must have to answer for its keys.
    pub ready: bool,
    /// Why keys are not served, when they are not.
    pub waiting_for: Option<String>,
    /// Nodes that do not answer this one at the moment.
    pub away: Vec<String>,
    pub keys: u64,
    /// Records that an earlier life of the node left behind, and that it is about to hand over.
    pub left_behind: u64,
    pub slots_lost: u64,
    pub storage_failure: Option<String>,
    /// Why the node does not trust its wall clock, when it does not.
    pub clock_doubt: Option<String>,
    /// Nodes whose wall clocks differ too much, and how many milliseconds ahead of this one's they are.
    pub clocks_apart: Vec<(String, i64)>,
    /// The view change that is under way, if one is.
    pub change: Option<Change>,
    /// All of it, as it was answered.
    pub body: Value,
}

/// How far a view change is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The epoch that it leads to.
    pub epoch: u64,
    /// `copy`, `seal`, `hand_over`, `activate` or `done`.
    pub phase: String,
    pub waits_for: Vec<String>,
    pub keys_moved: u64,
    pub keys_to_go: u64,
    /// How long it has been under way.
    pub for_ms: u64,
}

impl Client {
    /// The state of the cluster, as the first node that answers sees it.
    pub async fn status(&self) -> Result<Status, ClientError> {
        let reply = self.ask("/status").await?;
        Status::from_reply(&reply)
    }

    /// Whether this node serves keys; if not, it says why.
    pub async fn ready(&self, node: &NodeId) -> Result<bool, SendError> {
        Ok(self.ask_node(node, "/readyz").await?.status.is_success())
    }

    /// Whether this node is in no view: it was removed, or never added.
    pub async fn outside(&self, node: &NodeId) -> Result<bool, SendError> {
        let reply = self.ask_node(node, "/status").await?;
        let code = reply.body.pointer("/waiting_for/code").and_then(Value::as_str);
        Ok(code == Some("not_in_view"))
    }

    /// Whether this process answers at all.
    pub async fn alive(&self, node: &NodeId) -> Result<bool, SendError> {
        Ok(self.ask_node(node, "/livez").await?.status.is_success())
    }
}

impl Status {
    /// What a reply to `GET /status` says.
    pub fn from_reply(reply: &Reply) -> Result<Self, ClientError> {
        let text = |field: &str| reply.text(field).map(str::to_owned);
        let number = |field: &str| reply.number(field).and_then(|number| u64::try_from(number).ok());
        let missing = |field: &str| reply.garbled(format!("no {field} in its status"));
        let partitions = reply.body.get("partitions").and_then(Value::as_array);
        Ok(Self {
            node: text("node").ok_or_else(|| missing("node"))?,
            role: text("role").ok_or_else(|| missing("role"))?,
            partition_id: reply
                .number("partition_id")
                .ok_or_else(|| missing("partition_id"))?,
            epoch: number("epoch").unwrap_or_default(),
            k: number("k"),
            partitions: partitions.map_or_else(Vec::new, |all| all.iter().map(texts).collect()),
            proxies: reply.body.get("proxies").map_or_else(Vec::new, texts),
            ready: reply
                .body
                .get("ready")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
            waiting_for: reason(reply.body.get("waiting_for")),
            away: reply.body.get("away").map_or_else(Vec::new, texts),
            keys: number("keys").unwrap_or_default(),
            left_behind: number("left_behind").unwrap_or_default(),
            slots_lost: number("slots_lost").unwrap_or_default(),
            storage_failure: text("storage_failure"),
            clock_doubt: text("clock_doubt"),
            clocks_apart: reply.body.get("clocks_apart").map_or_else(Vec::new, clocks),
            change: reply.body.get("change").and_then(Change::read),
            body: reply.body.clone(),
        })
    }
}

impl Change {
    fn read(change: &Value) -> Option<Self> {
        let number = |field: &str| change.get(field).and_then(Value::as_u64);
        Some(Self {
            epoch: number("epoch")?,
            phase: change.get("phase")?.as_str()?.to_owned(),
            waits_for: change.get("waits_for").map_or_else(Vec::new, texts),
            keys_moved: number("keys_moved").unwrap_or_default(),
            keys_to_go: number("keys_to_go").unwrap_or_default(),
            for_ms: number("for_ms").unwrap_or_default(),
        })
    }
}

pub(super) fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn clocks(list: &Value) -> Vec<(String, i64)> {
    let items = list.as_array().into_iter().flatten();
    let read = |item: &Value| {
        Some((
            item.get("node")?.as_str()?.to_owned(),
            item.get("ahead_ms")?.as_i64()?,
        ))
    };
    items.filter_map(read).collect()
}

fn reason(refusal: Option<&Value>) -> Option<String> {
    refusal?.get("error")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;

    fn reply(body: &str) -> Reply {
        let node: NodeId = "127.0.0.1:8081".parse().expect("parses");
        Reply::new(node, Response::new(body.to_owned().into()))
    }

    #[test]
    fn a_status_is_read_and_unknown_fields_are_left_alone() {
        let body = r#"{"result":"success","node":"a:1","role":"replica","partition_id":1,"epoch":3,"k":2,
            "partitions":[["b:1"],["a:1","c:1"]],"proxies":["d:1"],"ready":true,"waiting_for":null,
            "away":["c:1"],"keys":7,"slots_lost":0,"storage_failure":null,
            "clocks_apart":[{"node":"b:1","ahead_ms":-5}],"new_field":[]}"#;
        let status = Status::from_reply(&reply(body)).expect("is a status");
        assert_eq!((status.epoch, status.k, status.partition_id), (3, Some(2), 1));
        assert_eq!(status.partitions[1], ["a:1", "c:1"]);
        assert_eq!((status.away, status.waiting_for), (vec!["c:1".to_owned()], None));
        assert_eq!((status.change, status.clock_doubt), (None, None));
        assert_eq!(status.clocks_apart, [("b:1".to_owned(), -5)]);
    }

    #[test]
    fn a_view_change_that_is_under_way_is_read() {
        let body = r#"{"node":"a:1","role":"proxy","partition_id":-1,"change":
            {"epoch":5,"phase":"copy","waits_for":["b:1"],"keys_moved":3,"keys_to_go":4,"for_ms":20}}"#;
        let status = Status::from_reply(&reply(body)).expect("is a status");
        let expected = Change {
            epoch: 5,
            phase: "copy".into(),
            waits_for: vec!["b:1".into()],
            keys_moved: 3,
            keys_to_go: 4,
            for_ms: 20,
        };
        assert_eq!(status.change, Some(expected));
    }

    #[test]
    fn what_is_no_status_is_said_to_be_none() {
        for body in ["<html>", "{}", r#"{"node":"a:1"}"#] {
            assert!(Status::from_reply(&reply(body)).is_err(), "{body}");
        }
    }

    #[test]
    fn a_node_that_waits_says_why() {
        let body = r#"{"node":"a:1","role":"waiting","partition_id":-1,
            "waiting_for":{"code":"not_in_view","error":"in no view"}}"#;
        let status = Status::from_reply(&reply(body)).expect("is a status");
        assert_eq!(status.waiting_for.as_deref(), Some("in no view"));
    }
}
