//! Watches the views that nodes keep on their disks: one view for an epoch, for ever (I10).

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway::names::{Epoch, Member, NodeId};
use causeway::protocol::placement::View;
use causeway::protocol::replication::ReplicaState;
use causeway::store::Engine;
use causeway::wire::notes;

use super::cluster::{SimCluster, SimNode};

/// Every view that was seen, and the rivals that should not exist.
#[derive(Debug, Default)]
pub struct Views {
    seen: BTreeMap<Epoch, (NodeId, Arc<View>)>,
    rivals: Vec<String>,
}

impl Views {
    /// Looks at every disk.
    pub fn look(&mut self, cluster: &SimCluster) {
        for node in &cluster.nodes {
            for view in views_of(node) {
                self.note(&node.id, view);
            }
        }
    }

    fn note(&mut self, node: &NodeId, view: Arc<View>) {
        let (first, known) = self
            .seen
            .entry(view.epoch)
            .or_insert_with(|| (node.clone(), Arc::clone(&view)));
        if *known != view {
            let rivals = format!(
                "two views of epoch {}: one at {first}, another at {node}",
                view.epoch
            );
            if !self.rivals.contains(&rivals) {
                self.rivals.push(rivals);
            }
        }
    }

    /// How many views followed the first, as far as they were seen.
    pub fn changes(&self) -> u64 {
        u64::try_from(self.seen.len())
            .expect("few views")
            .saturating_sub(1)
    }

    /// Epochs with more than one view, in words.
    pub fn into_rivals(self) -> Vec<String> {
        self.rivals
    }
}

/// The views on a node's disk.
pub fn views_of(node: &SimNode) -> Vec<Arc<View>> {
    state_of(node).map_or_else(Vec::new, |state| state.views.into_values().collect())
}

/// The life to which a node's disk belongs.
pub fn life_of(node: &SimNode) -> Option<Member> {
    state_of(node).map(|state| state.me)
}

fn state_of(node: &SimNode) -> Option<ReplicaState> {
    let recovered = node.disk.recover().expect("a simulated disk can be read");
    let kept = notes::read(&recovered.notes).expect("a node reads its own notes");
    let (state, _) = kept?;
    // A node drops what it learned under another's name when it is started with its own.
    (state.me.node == node.id).then_some(state)
}

/// True if the node knows no view: it would take part in choosing the first one.
pub fn is_blank(node: &SimNode) -> bool {
    views_of(node).is_empty()
}
