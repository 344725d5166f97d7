//! Describes a cluster to create: the number of nodes, the first view, the place of their data.

use crate::cluster::{Cluster, Disk, Start};
use crate::docker::Corner;

/// How a node outside of the cluster's view is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outsider {
    /// Without `VIEW`, to be added.
    Waits { k: Option<u32> },
    /// As a cluster of its own.
    Alone { k: u32 },
}

/// The description of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    nodes: usize,
    replicas: u32,
    in_view: usize,
    outsiders: Vec<Outsider>,
    disk: Disk,
}

impl Plan {
    pub(crate) fn new(nodes: usize, replicas: u32) -> Self {
        Self {
            nodes,
            replicas,
            in_view: nodes,
            outsiders: Vec::new(),
            disk: Disk::Volume,
        }
    }

    /// Only the first `in_view` nodes are in `VIEW`; the others are started without it, and wait.
    pub(crate) fn in_view(self, in_view: usize) -> Self {
        Self { in_view, ..self }
    }

    /// Additional nodes at the end, which are not in `VIEW` either.
    pub(crate) fn outsiders(self, outsiders: &[Outsider]) -> Self {
        let outsiders = outsiders.to_vec();
        Self { outsiders, ..self }
    }

    pub(crate) fn disk(self, disk: Disk) -> Self {
        Self { disk, ..self }
    }

    /// Creates the containers and starts none.
    pub(crate) fn lay_out(self) -> Cluster {
        let corner = Corner::open();
        let view: Vec<_> = (0..self.in_view).map(|index| corner.address(index)).collect();
        let member = (Some(view.join(",")), Some(self.replicas));
        let members = (0..self.in_view).map(|_| member.clone());
        let spares = (self.in_view..self.nodes).map(|_| (None, None));
        let outsiders = (self.nodes..)
            .zip(&self.outsiders)
            .map(|(index, outsider)| match outsider {
                Outsider::Waits { k } => (None, *k),
                Outsider::Alone { k } => (Some(corner.address(index)), Some(*k)),
            });
        let nodes = members.chain(spares).chain(outsiders).enumerate();
        let nodes = nodes.map(|(index, (view, replicas))| {
            let mut start = Start::new(self.disk);
            start.knows_view = view.is_some();
            let address = Some(("IPPORT", corner.address(index)));
            let view = view.map(|view| ("VIEW", view));
            let replicas = replicas.map(|replicas| ("K", replicas.to_string()));
            for (name, value) in [address, view, replicas].into_iter().flatten() {
                start.options.push(format!("--env={name}={value}"));
            }
            start
        });
        let nodes = nodes.collect();
        Cluster::create(corner, nodes)
    }

    /// Starts all nodes and waits until all serve keys.
    pub(crate) fn start(self) -> Cluster {
        let cluster = self.lay_out();
        cluster.on_all(|index| cluster.start(index));
        for index in 0..cluster.nodes.len() {
            if cluster.nodes[index].knows_view() {
                cluster.wait_ready(index);
            }
        }
        cluster
    }
}
