//! Reports what a node knows of itself and its cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::names::{ClusterId, Epoch, Incarnation, NodeId, PartitionId};
use crate::node::Node;
use crate::node::outcome::Refusal;
use crate::node::peers::ON_ITS_WAY_FOR;
use crate::node::time::clock_difference;
use crate::node::view_change::view_request::ChangeProgress;
use crate::protocol::placement::View;
use crate::protocol::replication::ReplicaState;

/// The role of a node in its view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Replica(PartitionId),
    Proxy,
    /// In no view, waiting to be added.
    Waiting,
}

/// What a node knows of itself and its cluster; before the first view, as `VIEW` would have it.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub role: Role,
    /// None until the first view is known.
    pub cluster: Option<ClusterId>,
    /// [`Epoch::NONE`] until the first view is active here.
    pub epoch: Epoch,
    /// K; none on a node that was started without K and is in no view.
    pub replicas: Option<u32>,
    /// The nodes of each partition, by partition id.
    pub partitions: Vec<Vec<NodeId>>,
    pub proxies: Vec<NodeId>,
    /// False while a slot that this node owns lacks something that it needs to answer.
    pub ready: bool,
    /// Why keys are not served, when they are not.
    pub waiting_for: Option<Refusal>,
    /// Peers that do not answer at the moment.
    pub away: Vec<NodeId>,
    /// Partitions to whose owners this node has no link.
    pub out_of_reach: Vec<PartitionId>,
    /// True while links are still being opened, or if there are none although other nodes own every key.
    pub is_cut_off: bool,
    /// For how long writes have waited for the next view, if they do.
    pub sealed_for: Option<Duration>,
    /// Records resident here that have a value.
    pub keys: u64,
    /// Records of an earlier life of this node that it is about to hand over.
    pub left_behind: u64,
    /// True if the owners refuse what this node kept or left behind: by the clocks it came too late.
    pub is_too_late: bool,
    /// Slots that became ready without any node to take them from: their keys are lost.
    pub slots_lost: u32,
    /// Why writes are refused, when they are.
    pub storage_failure: Option<String>,
    /// Why this node does not trust its wall clock, when it does not.
    pub clock_doubt: Option<String>,
    /// Members whose wall clocks differ too much, and how many milliseconds ahead of this node's they are.
    pub clocks_apart: Vec<(NodeId, i64)>,
    /// The view change that is under way, if there is one.
    pub change: Option<ChangeProgress>,
}

impl NodeStatus {
    /// Why keys are not served.
    pub fn why_not(&self) -> Option<String> {
        self.waiting_for.as_ref().map(Refusal::to_string)
    }

    /// One sentence for each problem with the clocks; none if they agree.
    pub fn clock_troubles(&self) -> Vec<String> {
        let doubt = self.clock_doubt.iter();
        let doubt = doubt.map(|doubt| format!("this node's wall clock is not trusted: {doubt}"));
        let apart = self.clocks_apart.iter();
        let apart =
            apart.map(|(node, ahead_ms)| format!("{node} is {} this node", clock_difference(*ahead_ms)));
        doubt.chain(apart).collect()
    }
}

impl Node {
    /// What this node knows of itself and its cluster; before the first view, as `VIEW` would have it.
    pub fn status(&self) -> NodeStatus {
        let state = self.shared.me.state();
        let view = state.routing().cloned().or_else(|| self.view_to_be());
        let is_known = state.routing().is_some();
        let partitions = view
            .iter()
            .flat_map(|view| view.partitions().map(|(_, nodes)| nodes.to_vec()))
            .collect();
        // No node waits for removed nodes, and they wait for none.
        let mut away = self.shared.peers.away();
        let lists_both =
            |view: &Arc<View>, node: &NodeId| view.lists(&self.shared.me.node) && view.lists(node);
        // Nor does a node wait for itself, if its own address does not lead back to it.
        away.retain(|node| {
            *node != self.shared.me.node && view.as_ref().is_some_and(|view| lists_both(view, node))
        });
        let (doubt, clocks_apart) = self.shared.me.disagreement();
        let out_of_reach = state.view().map_or_else(Vec::new, |view| self.out_of_reach(view));
        NodeStatus {
            node: self.shared.me.node.clone(),
            incarnation: self.shared.me.member().incarnation,
            role: self.role(view.as_deref()),
            cluster: view.as_ref().filter(|_| is_known).map(|view| view.cluster),
            epoch: state.active,
            replicas: view
                .as_ref()
                .map(|view| view.replicas)
                .or(self.shared.start.replicas),
            partitions,
            proxies: view.iter().flat_map(|view| view.proxies()).cloned().collect(),
            ready: state.is_member() && state.is_ready(),
            waiting_for: self.view_changes.waiting_for(),
            away,
            is_cut_off: self.is_cut_off(&state, &out_of_reach),
            out_of_reach,
            sealed_for: self.shared.me.sealed_for(),
            keys: u64::try_from(self.shared.resident.live_len()).unwrap_or(u64::MAX),
            left_behind: u64::try_from(self.view_changes.pages.len()).unwrap_or(u64::MAX),
            is_too_late: self.view_changes.formation.came_too_late(),
            slots_lost: u32::try_from(state.gone.len()).unwrap_or(u32::MAX),
            storage_failure: self.shared.storage.failure(),
            clock_doubt: doubt.map(|doubt| doubt.to_string()),
            clocks_apart,
            change: self.view_changes.change_progress(),
        }
    }

    fn out_of_reach(&self, view: &View) -> Vec<PartitionId> {
        let reaches = |owner: &NodeId| *owner == self.shared.me.node || self.shared.peers.is_up(owner);
        let partitions = view.partitions();
        let lost = partitions.filter(|(_, owners)| !owners.iter().any(reaches));
        lost.map(|(partition, _)| partition).collect()
    }

    /// True until links had time to open after the start, and for a proxy without links: it could answer
    /// for no key, even if other nodes can.
    fn is_cut_off(&self, state: &ReplicaState, out_of_reach: &[PartitionId]) -> bool {
        let is_young = self.shared.me.born.elapsed() < ON_ITS_WAY_FOR;
        let partitions = state.view().map_or(0, |view| view.partitions().count());
        !out_of_reach.is_empty() && (is_young || out_of_reach.len() == partitions)
    }

    fn role(&self, view: Option<&View>) -> Role {
        let node = &self.shared.me.node;
        match view.filter(|view| view.lists(node)) {
            None => Role::Waiting,
            Some(view) => view.partition_of_node(node).map_or(Role::Proxy, Role::Replica),
        }
    }

    /// The first view as `VIEW` would have it.
    fn view_to_be(&self) -> Option<Arc<View>> {
        if self.shared.me.state().has_left {
            return None;
        }
        let nodes: BTreeSet<NodeId> = self.shared.start.view.as_ref()?.iter().cloned().collect();
        Some(Arc::new(View::first(
            ClusterId(0),
            self.shared.start.replicas?,
            &nodes,
            &BTreeMap::new(),
        )))
    }
}
