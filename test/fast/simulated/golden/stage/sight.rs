//! Shows a cluster from outside: each owner's answers, and each node's part.

use causeway::names::{Member, NodeId, PartitionId};
use causeway::node::{NodeStatus, Role};

use super::clients::{CLIENT_LIMIT, request};
use super::{Slip, Stage};
use crate::golden::command::Keys;
use crate::golden::told::{Deed, Told};
use crate::simulated::client::Door;

impl Stage {
    /// What each running owner answers to a client without dependencies.
    pub(super) async fn look(&self, keys: &[Keys]) -> Result<Vec<String>, Slip> {
        let mut lines = Vec::new();
        for key in keys.iter().flat_map(|keys| &keys.keys) {
            let partition = self.partition_of(key).await?;
            let mut told = Vec::new();
            for node in &self.cluster()?.nodes {
                let owns = node
                    .running
                    .as_ref()
                    .is_some_and(|node| node.status().role == Role::Replica(PartitionId(partition)));
                if owns {
                    let (ending, _) = Door::of(node)
                        .send(request(key, &Deed::Get, ""), CLIENT_LIMIT)
                        .await;
                    told.push(format!("{} has {}", node.id, Told::from(ending).found()));
                }
            }
            lines.push(self.short(&format!("{key}: {}", told.join(", "))));
        }
        Ok(lines)
    }

    pub(super) async fn find(&self, keys: &[Keys]) -> Result<Vec<String>, Slip> {
        let mut lines = Vec::new();
        for key in keys.iter().flat_map(|keys| &keys.keys) {
            lines.push(format!("{key} is in partition {}", self.partition_of(key).await?));
        }
        Ok(lines)
    }

    async fn partition_of(&self, key: &str) -> Result<u32, Slip> {
        let (any, _) = self.foremost()?;
        let (ending, _) = Door::of(any)
            .send(request(key, &Deed::Get, ""), CLIENT_LIMIT)
            .await;
        let told = Told::from(ending);
        let partition = told.field("partition_id").and_then(serde_json::Value::as_u64);
        partition
            .and_then(|id| u32::try_from(id).ok())
            .ok_or(format!("nobody says where {key} is: {}", told.found()))
    }

    pub(super) fn status(&self, node: usize) -> Result<String, Slip> {
        let name = format!("n{}", node + 1);
        let Some(status) = self.status_of(node) else {
            return Ok(format!("{name} does not run"));
        };
        let member = Member {
            node: status.node.clone(),
            incarnation: status.incarnation,
        };
        let name = self.members.get(&member.id()).cloned().unwrap_or(name);
        let mut line = match status.role {
            Role::Replica(partition) => format!("{name}: replica of partition {partition}"),
            Role::Proxy => format!("{name}: proxy"),
            Role::Waiting => format!("{name}: waiting"),
        };
        line.push_str(if status.ready { ", ready" } else { ", not ready" });
        line.push_str(&format!(", {} keys", status.keys));
        for away in &status.away {
            line.push_str(&format!(", {away} is away"));
        }
        if let Some(reason) = &status.waiting_for {
            line.push_str(&format!(", {reason}"));
        }
        if let Some(reason) = &status.storage_failure {
            line.push_str(&format!(", cannot store: {reason}"));
        }
        if status.slots_lost > 0 {
            line.push_str(", keys were lost");
        }
        for trouble in status.clock_troubles() {
            line.push_str(&format!("; {trouble}"));
        }
        Ok(self.short(&line))
    }

    pub(super) fn agree(&self) -> Result<Vec<String>, Slip> {
        let differences = self.cluster()?.differences();
        let differences: Vec<String> = differences.iter().map(|line| self.short(line)).collect();
        Ok(if differences.is_empty() {
            vec!["the replicas agree".to_owned()]
        } else {
            differences
        })
    }

    /// A text with the nodes' short names instead of their addresses.
    pub(super) fn short(&self, text: &str) -> String {
        shortened(text, &self.short_names())
    }

    /// Every node's address and its short name.
    pub(super) fn short_names(&self) -> Vec<(String, String)> {
        let nodes = self.cluster.iter().flat_map(|cluster| &cluster.nodes).zip(1..);
        nodes
            .map(|(node, number)| (node.id.to_string(), format!("n{number}")))
            .collect()
    }

    /// Replaces a parameter that is a node's short name by its address.
    pub(super) fn long(&self, value: &str) -> String {
        let mut nodes = self.cluster.iter().flat_map(|cluster| &cluster.nodes).zip(1..);
        let named = nodes.find(|(_, number)| value == format!("n{number}"));
        named.map_or(value, |(node, _)| node.id.as_str()).to_owned()
    }
}

pub(super) fn shortened(text: &str, names: &[(String, String)]) -> String {
    names.iter().fold(text.to_owned(), |text, (address, name)| {
        text.replace(address, name)
    })
}

pub(super) fn partitions(status: &NodeStatus) -> Vec<String> {
    let list = |nodes: &[NodeId]| {
        let nodes: Vec<&str> = nodes.iter().map(|node| node.as_str()).collect();
        nodes.join(" ")
    };
    let partitions = status.partitions.iter().enumerate();
    let mut lines: Vec<String> = partitions
        .map(|(id, nodes)| format!("{id}: {}", list(nodes)))
        .collect();
    if !status.proxies.is_empty() {
        lines.push(format!("proxies: {}", list(&status.proxies)));
    }
    lines
}
