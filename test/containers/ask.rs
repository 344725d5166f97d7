//! Sends requests to the nodes of a cluster.

use std::io;

use crate::cluster::Cluster;
use crate::patience::{PATIENT, eventually};
use crate::support::request::{Reply, Request};

impl Cluster {
    /// Sends a request to a node. An error is a connection that was refused or broke. `NotConnected`
    /// means that the test itself has the node down, and nothing was sent.
    pub(crate) fn try_send(&self, index: usize, request: Request) -> io::Result<Reply> {
        let port = self.port(index).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotConnected,
                "the node is down or cut off from this machine",
            )
        })?;
        request.send(("127.0.0.1", port))
    }

    #[track_caller]
    pub(crate) fn send(&self, index: usize, request: Request) -> Reply {
        let line = format!("{} {}", request.method, request.path);
        match self.try_send(index, request) {
            Ok(reply) => reply,
            Err(error) => panic!("{line} at n{}: {error}", index + 1),
        }
    }

    #[track_caller]
    pub(crate) fn put(&self, index: usize, key: &str, value: &str, payload: &str) -> Reply {
        self.send(index, put(key, value, payload))
    }

    #[track_caller]
    pub(crate) fn get(&self, index: usize, key: &str, payload: &str) -> Reply {
        self.send(index, get(key, payload))
    }

    #[track_caller]
    pub(crate) fn delete(&self, index: usize, key: &str, payload: &str) -> Reply {
        let fields = [("causal_payload", payload)];
        self.send(
            index,
            Request::new("DELETE", &format!("/kv-store/{key}")).form(&fields),
        )
    }

    /// One of the information endpoints.
    #[track_caller]
    pub(crate) fn info(&self, index: usize, what: &str) -> Reply {
        self.send(index, Request::new("GET", &format!("/kv-store/{what}")))
    }

    /// Waits until the process in a started container answers; it need not serve keys yet.
    #[track_caller]
    pub(crate) fn wait_live(&self, index: usize) {
        self.wait_for_200(index, "/livez");
    }

    /// Waits until a node serves keys.
    #[track_caller]
    pub(crate) fn wait_ready(&self, index: usize) {
        self.wait_for_200(index, "/readyz");
    }

    #[track_caller]
    fn wait_for_200(&self, index: usize, path: &str) {
        let what = format!("{path} of n{} says yes", index + 1);
        eventually(PATIENT, &what, || {
            let reply = self.try_send(index, Request::new("GET", path));
            match reply {
                Ok(reply) if reply.status == 200 => Ok(()),
                Ok(reply) => Err(reply.to_string()),
                Err(error) => Err(error.to_string()),
            }
        });
    }

    /// The members of a partition, by number, according to one node.
    pub(crate) fn members(&self, asked: usize, partition: i64) -> Vec<usize> {
        let path = "/kv-store/get_partition_members";
        let fields = [("partition_id", partition.to_string())];
        let request = Request::new("GET", path).form(&[(fields[0].0, &fields[0].1)]);
        let reply = self.send(asked, request).expect(200).json();
        let listed = reply["partition_members"].as_array().expect("a list of members");
        let number = |address: &serde_json::Value| {
            let known = self.nodes.iter().position(|node| *address == *node.address);
            known.unwrap_or_else(|| panic!("{address} is no node of this cluster"))
        };
        listed.iter().map(number).collect()
    }

    /// Writes keys through a node until `count` of them are in this partition; their value is "start".
    pub(crate) fn keys_in(&self, asked: usize, partition: i64, prefix: &str, count: usize) -> Vec<String> {
        let mut keys = Vec::new();
        for number in 0..count * 200 {
            let key = format!("{prefix}-{number}");
            let reply = self.put(asked, &key, "start", "").expect(201);
            if reply.number("partition_id") == partition {
                keys.push(key);
            }
            if keys.len() == count {
                return keys;
            }
        }
        panic!("only {} keys came to lie in partition {partition}", keys.len());
    }

    /// Waits until all these nodes give this value for the key.
    #[track_caller]
    pub(crate) fn wait_value(&self, limit: std::time::Duration, nodes: &[usize], key: &str, value: &str) {
        for node in nodes {
            eventually(limit, &format!("{key} is {value:?} at n{}", node + 1), || {
                let reply = self.try_send(*node, get(key, "")).map_err(|e| e.to_string())?;
                match reply.status == 200 && reply.text("value") == value {
                    true => Ok(()),
                    false => Err(reply.to_string()),
                }
            });
        }
    }
}

pub(crate) fn put(key: &str, value: &str, payload: &str) -> Request {
    let fields = [("val", value), ("causal_payload", payload)];
    Request::new("PUT", &format!("/kv-store/{key}")).form(&fields)
}

/// As in the assignment: the payload in a form body, also for GET.
pub(crate) fn get(key: &str, payload: &str) -> Request {
    let fields = [("causal_payload", payload)];
    Request::new("GET", &format!("/kv-store/{key}")).form(&fields)
}
