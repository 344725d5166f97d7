//! Asks a node about itself and its cluster.

use serde_json::Value;

use super::{Client, ClientError, Reply};
use crate::names::NodeId;
use crate::net::http_client::SendError;
use crate::wire::public::Status;

impl Client {
    /// The state of the cluster, as the first node that answers sees it.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.status_reply().await?.read()
    }

    /// The same as the node sent it, with fields that this program does not know.
    pub async fn status_reply(&self) -> Result<Reply, ClientError> {
        self.ask("/status").await
    }

    /// True if this node serves keys.
    pub async fn ready(&self, node: &NodeId) -> Result<bool, SendError> {
        Ok(self.ask_node(node, "/readyz").await?.status.is_success())
    }

    /// True if this node is in no view: it was removed, or never added.
    pub async fn outside(&self, node: &NodeId) -> Result<bool, SendError> {
        let reply = self.ask_node(node, "/status").await?;
        let code = reply.body.pointer("/waiting_for/code").and_then(Value::as_str);
        Ok(code == Some("not_in_view"))
    }

    /// True if this process answers that it is alive.
    pub async fn alive(&self, node: &NodeId) -> Result<bool, SendError> {
        Ok(self.ask_node(node, "/livez").await?.status.is_success())
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn status(body: &str) -> Result<Status, ClientError> {
        let node: NodeId = "127.0.0.1:8081".parse().expect("parses");
        Reply::new(node, Response::new(body.to_owned().into())).read()
    }

    #[test]
    fn a_status_is_read_and_unknown_fields_are_left_alone() {
        let body = r#"{"result":"success","node":"a:1","incarnation":"1-2","role":"replica","partition_id":1,
            "cluster":null,"epoch":3,"k":2,"partitions":[["b:1"],["a:1","c:1"]],"proxies":["d:1"],"ready":true,
            "waiting_for":{"code":"behind","error":"wait"},"away":["c:1"],"keys":7,"slots_lost":0,
            "storage_failure":null,"clock_doubt":null,"clocks_apart":[{"node":"b:1","ahead_ms":-5}],
            "change":{"epoch":5,"phase":"copy","waits_for":["b:1"],"keys_moved":3,"keys_to_go":4,"for_ms":20},
            "new_field":[]}"#;
        let status = status(body).expect("is a status");
        assert_eq!((status.epoch, status.k, status.partition_id), (3, Some(2), 1));
        assert_eq!(status.partitions[1], ["a:1", "c:1"]);
        assert_eq!(status.waiting_for.expect("waits").error, "wait");
        assert_eq!((status.away, status.clock_doubt), (vec!["c:1".to_owned()], None));
        assert_eq!(status.clocks_apart[0].ahead_ms, -5);
        assert_eq!(status.change.expect("changes").waits_for, ["b:1"]);
    }

    #[test]
    fn what_is_no_status_is_said_to_be_none() {
        for body in ["<html>", "{}", r#"{"node":"a:1"}"#] {
            assert!(matches!(status(body), Err(ClientError::Garbled { .. })), "{body}");
        }
    }
}
