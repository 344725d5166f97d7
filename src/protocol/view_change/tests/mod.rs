//! Tests the register's rules one by one and against every schedule of a small model, and the driver's
//! steps. Holds the nodes and views that these tests share.

mod driver;
mod model;
mod register;
mod schedules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::names::{ClusterId, Incarnation, Member, NodeId};
use crate::protocol::placement::{View, next};

fn node(number: u64) -> NodeId {
    format!("n{number}:80").parse().expect("is a node")
}

fn nodes(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    numbers.into_iter().map(node).collect()
}

fn reborn(number: u64, random: u64) -> Member {
    let incarnation = Incarnation {
        started_ms: 1,
        random,
    };
    Member {
        node: node(number),
        incarnation,
    }
}

fn member(number: u64) -> Member {
    reborn(number, 0)
}

/// The first view of `count` nodes, numbered from 0; the last `missing` of them are not up.
fn first(count: u64, missing: u64) -> View {
    let up: BTreeMap<_, _> = (0..count - missing)
        .map(|number| (node(number), member(number).incarnation))
        .collect();
    View::first(ClusterId(1), 2, &nodes(0..count), &up)
}

/// A possible next view: `view` without node `number`.
fn minus(view: &View, number: u64) -> Arc<View> {
    Arc::new(next::remove(view, &node(number)).expect("is listed"))
}
