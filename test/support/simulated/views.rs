//! Watches the views that nodes keep on their disks: one view for an epoch, for ever (I10).

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway::names::{Epoch, NodeId};
use causeway::protocol::placement::View;
use causeway::store::Engine;
use causeway::wire::notes;

use super::cluster::{SimCluster, SimNode};

/// Every view that was seen, and those that should not exist.
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

fn views_of(node: &SimNode) -> Vec<Arc<View>> {
    let recovered = node.disk.recover().expect("a simulated disk can be read");
    let kept = notes::read(&recovered.notes).expect("a node reads its own notes");
    // What it came to know under another's name is dropped when it is started with its own.
    let kept = kept.filter(|(state, _)| state.me.node == node.id);
    kept.map_or_else(Vec::new, |(state, _)| state.views.into_values().collect())
}

/// True if the node knows no view: it would take part in choosing the first one.
pub fn is_blank(node: &SimNode) -> bool {
    views_of(node).is_empty()
}
