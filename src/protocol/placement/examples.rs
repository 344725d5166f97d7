//! The nodes and views that tests use.

use super::View;
use crate::names::{ClusterId, Incarnation, Member, NodeId};

pub(crate) fn node(number: u64) -> NodeId {
    format!("n{number}:80").parse().expect("is a node")
}

pub(crate) fn incarnation(random: u64) -> Incarnation {
    Incarnation {
        started_ms: 1,
        random,
    }
}

/// Node `number` in its first life.
pub(crate) fn member(number: u64) -> Member {
    reborn(number, 0)
}

pub(crate) fn reborn(number: u64, life: u64) -> Member {
    Member {
        node: node(number),
        incarnation: incarnation(life),
    }
}

/// The first view of `count` nodes, numbered from 0; the last `missing` of them are not up.
pub(crate) fn first(replicas: u32, count: u64, missing: u64) -> View {
    let up = (0..count - missing).map(|number| (node(number), incarnation(0)));
    let nodes = (0..count).map(node).collect();
    View::first(ClusterId(1), replicas, &nodes, &up.collect())
}
