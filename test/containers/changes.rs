//! Changes the view of a cluster, and checks what all nodes say about it after the answer.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::patience::{HEALED, PATIENT, eventually};
use crate::support::request::{Reply, Request};

/// Longer than `VIEW_CHANGE_TIMEOUT`: every request has an answer by then.
const ANSWERED: Duration = Duration::from_secs(65);

pub(crate) fn change(cluster: &Cluster, kind: &str, node: usize) -> Request {
    let path = format!("/kv-store/update_view?type={kind}");
    let fields = [("ip_port", cluster.nodes[node].address.as_str())];
    Request::new("PUT", &path).form(&fields).deadline(ANSWERED)
}

/// The nodes of the view in a status.
fn listed(status: &Value) -> Vec<&str> {
    let partitions = status["partitions"].as_array().into_iter().flatten();
    let lists = partitions.chain([&status["proxies"]]);
    lists
        .flat_map(|list| list.as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect()
}

impl Cluster {
    /// The members of the view in a status, by number.
    pub(crate) fn listed(&self, status: &Value) -> Vec<usize> {
        let listed = listed(status);
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| listed.contains(&&*node.address))
            .map(|(number, _)| number)
            .collect()
    }

    #[track_caller]
    pub(crate) fn add(&self, via: usize, node: usize) -> Reply {
        self.ask_for("add", via, node)
    }

    #[track_caller]
    pub(crate) fn remove(&self, via: usize, node: usize) -> Reply {
        self.ask_for("remove", via, node)
    }

    #[track_caller]
    fn ask_for(&self, kind: &str, via: usize, node: usize) -> Reply {
        let reply = self.send(via, change(self, kind, node));
        println!(
            "{kind} n{} through n{}: {:?}, {reply}",
            node + 1,
            via + 1,
            reply.took
        );
        reply
    }

    #[track_caller]
    pub(crate) fn status(&self, node: usize) -> Value {
        self.try_status(node).unwrap_or_else(|why| panic!("{why}"))
    }

    pub(crate) fn try_status(&self, node: usize) -> Result<Value, String> {
        let sent = self.try_send(node, Request::new("GET", "/status"));
        let reply = sent.map_err(|error| format!("status of n{}: {error}", node + 1))?;
        Ok(reply.expect(200).json())
    }

    /// How many keys are on a node's own disk.
    #[track_caller]
    pub(crate) fn held(&self, node: usize) -> u64 {
        self.status(node)["keys"].as_u64().expect("a number")
    }

    /// These nodes, and no others, form the view; each of them says so now, in the same words.
    #[track_caller]
    pub(crate) fn view_is(&self, members: &[usize]) {
        self.nodes_say(members, members);
    }

    /// All `asked` nodes say now, in the same words, that `members` form the view.
    #[track_caller]
    pub(crate) fn nodes_say(&self, asked: &[usize], members: &[usize]) {
        if let Err(why) = self.try_nodes_say(asked, members) {
            panic!("{why}");
        }
    }

    /// Waits until the members say so by themselves.
    #[track_caller]
    pub(crate) fn wait_view(&self, limit: Duration, members: &[usize]) {
        eventually(limit, &format!("the view is {members:?}"), || {
            self.try_nodes_say(members, members)
        });
    }

    pub(crate) fn try_nodes_say(&self, asked: &[usize], members: &[usize]) -> Result<(), String> {
        let mut expected: Vec<_> = members.iter().map(|node| &*self.nodes[*node].address).collect();
        expected.sort_unstable();
        let told = asked.iter().map(|node| self.try_status(*node));
        let told: Vec<Value> = told.collect::<Result<_, _>>()?;
        for status in &told {
            let same = |field: &str| status[field] == told[0][field];
            let mut listed = listed(status);
            listed.sort_unstable();
            let agree = same("epoch") && same("partitions") && same("proxies");
            if !agree || listed != expected {
                return Err(format!("expected {expected:?}, told {told:#?}"));
            }
        }
        Ok(())
    }

    /// Waits until a returning or removed node is in no view and keeps nothing.
    #[track_caller]
    pub(crate) fn wait_empty(&self, node: usize) {
        eventually(PATIENT, &format!("n{} is empty and waits", node + 1), || {
            let status = self.try_status(node)?;
            match status["role"] == "waiting" && status["keys"] == 0 {
                true => Ok(()),
                false => Err(status.to_string()),
            }
        });
    }

    /// The node is in no view and keeps nothing: it may be added.
    #[track_caller]
    pub(crate) fn waits_empty(&self, node: usize) {
        let status = self.status(node);
        assert!(
            status["role"] == "waiting" && status["keys"] == 0,
            "n{}: {status:#}",
            node + 1
        );
    }

    /// Waits until these nodes hold this many copies in all: each key is on every replica of its
    /// partition, and keys that moved away are dropped.
    #[track_caller]
    pub(crate) fn wait_copies(&self, nodes: &[usize], copies: usize) {
        eventually(HEALED, &format!("{copies} copies in all"), || {
            let held: Vec<u64> = nodes.iter().map(|node| self.held(*node)).collect();
            match held.iter().sum::<u64>() == u64::try_from(copies).expect("is small") {
                true => Ok(()),
                false => Err(format!("{held:?}")),
            }
        });
    }
}
