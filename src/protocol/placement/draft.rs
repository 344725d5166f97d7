//! A view in the making: what is agreed on, without the indexes that answer questions about it.
//!
//! The one place where views are put together, whatever they are made from.

use std::collections::{BTreeMap, BTreeSet};

use super::View;
use super::removal::Removal;
use super::table::SlotTable;
use super::view::Listed;
use crate::names::{ClusterId, Epoch, Incarnation, MemberId, NodeId, PartitionId};

/// How many partitions `nodes` nodes make.
pub(super) fn partition_count(nodes: usize, replicas: u32) -> usize {
    (nodes / replicas as usize).max(1)
}

/// Whoever finishes a draft has seen to it that it keeps the promises of a view.
pub(super) struct Draft {
    pub(super) epoch: Epoch,
    pub(super) forks: Vec<Epoch>,
    pub(super) raised_ms: u64,
    pub(super) removed: BTreeMap<MemberId, Removal>,
    pub(super) cluster: ClusterId,
    pub(super) replicas: u32,
    pub(super) nodes: Vec<(NodeId, Option<Incarnation>)>,
    pub(super) partitions: Vec<BTreeSet<NodeId>>,
    pub(super) table: SlotTable,
}

impl Draft {
    /// Everything as it is in `view`.
    pub(super) fn of(view: &View) -> Self {
        let listed = view.nodes.iter();
        let partitions = view.partitions.iter();
        Self {
            epoch: view.epoch,
            forks: view.forks.clone(),
            raised_ms: view.raised_ms,
            removed: view.removed.clone(),
            cluster: view.cluster,
            replicas: view.replicas,
            nodes: listed
                .map(|listed| (listed.node.clone(), listed.incarnation))
                .collect(),
            partitions: partitions.map(|nodes| nodes.iter().cloned().collect()).collect(),
            table: view.table.clone(),
        }
    }

    pub(super) fn finish(self) -> View {
        let homes: BTreeMap<&NodeId, PartitionId> = (0u32..)
            .zip(&self.partitions)
            .flat_map(|(at, nodes)| nodes.iter().map(move |node| (node, PartitionId(at))))
            .collect();
        let listed = self.nodes.into_iter().map(|(node, incarnation)| Listed {
            partition: homes.get(&node).copied(),
            node,
            incarnation,
        });
        let nodes: Vec<Listed> = listed.collect();
        let mut partitions = vec![Vec::new(); self.partitions.len()];
        for listed in &nodes {
            if let Some(partition) = listed.partition {
                partitions[partition.0 as usize].push(listed.node.clone());
            }
        }
        let numbered = || nodes.iter().enumerate();
        View {
            epoch: self.epoch,
            forks: self.forks,
            raised_ms: self.raised_ms,
            removed: self.removed,
            cluster: self.cluster,
            replicas: self.replicas,
            by_node: numbered().map(|(at, listed)| (listed.node.clone(), at)).collect(),
            by_member: numbered()
                .filter_map(|(at, listed)| Some((listed.member()?.id(), at)))
                .collect(),
            nodes,
            partitions,
            table: self.table,
        }
    }
}
