//! Which disks a plan may destroy: data on two replicas must survive the loss of one, and blank nodes
//! must never form a quorum.

use std::collections::{BTreeMap, BTreeSet};

use causeway::node::Role;
use causeway::protocol::placement::is_quorum_of;

use super::cluster::{SimCluster, SimNode};
use super::views::{is_blank, life_of, views_of};

/// The disks destroyed in a run: one for each partition, since two could hold the only copies.
#[derive(Debug, Default)]
pub struct Destroyed(BTreeMap<Option<u32>, usize>);

impl Destroyed {
    /// True if this disk may go too; it then counts as destroyed.
    pub fn may_go(&mut self, cluster: &SimCluster, number: usize) -> bool {
        let partition = partition_of(cluster, number);
        // Empty nodes that reach only each other are a new cluster.
        let mut empty: BTreeSet<usize> = self.0.values().copied().collect();
        empty.insert(number);
        empty.extend(blank(cluster));
        let is_only = self.0.get(&partition).is_none_or(|other| *other == number);
        let leaves_enough = !are_quorum(cluster, &empty) && leaves_member(cluster, number);
        let may_go = is_only && leaves_enough && has_company(cluster, number);
        if may_go {
            self.0.insert(partition, number);
        }
        may_go
    }
}

/// Nodes that know no view.
fn blank(cluster: &SimCluster) -> Vec<usize> {
    let numbered = cluster.nodes.iter().enumerate();
    let blank = numbered.filter(|(_, node)| is_blank(node));
    blank.map(|(number, _)| number).collect()
}

/// True if these nodes can choose a first view, which only the nodes of `VIEW` can.
fn are_quorum(cluster: &SimCluster, numbers: &BTreeSet<usize>) -> bool {
    let listed = cluster.nodes.iter().take(cluster.listed);
    let nodes = listed.map(|node| node.id.clone()).collect();
    let chosen = numbers.iter().map(|number| cluster.nodes[*number].id.clone());
    is_quorum_of(&chosen.collect(), &nodes)
}

/// True if another member of the newest view has its disk: it can take in the lives that follow the lost ones. That
/// view may be on its way, and list nodes that are in no partition yet.
fn leaves_member(cluster: &SimCluster, number: usize) -> bool {
    let views = cluster.nodes.iter().flat_map(views_of);
    let Some(newest) = views.max_by_key(|view| view.epoch) else {
        return true;
    };
    let has_disk = |node: &SimNode| life_of(node).is_some_and(|life| newest.is_member(&life));
    let mut others = cluster
        .nodes
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != number);
    others.any(|(_, node)| has_disk(node))
}

fn partition_of(cluster: &SimCluster, number: usize) -> Option<u32> {
    match cluster.node(number).map(|node| node.status().role) {
        Some(Role::Replica(partition)) => Some(partition.0),
        _ => None,
    }
}

/// True if the node runs and its siblings have all that it keeps: all of them run and are ready.
fn has_company(cluster: &SimCluster, number: usize) -> bool {
    let Some(node) = cluster.node(number) else {
        return false;
    };
    if node.status().left_behind > 0 {
        return false;
    }
    let Role::Replica(partition) = node.status().role else {
        return true;
    };
    let owners = node.status().partitions[partition.0 as usize].clone();
    let siblings = cluster.nodes.iter().filter(|other| owners.contains(&other.id));
    let ready = siblings.filter(|other| other.running.as_ref().is_some_and(|node| node.status().ready));
    owners.len() > 1 && ready.count() == owners.len()
}
