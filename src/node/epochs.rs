//! Begins epochs and lives of a node: starts and stops the loops that belong to one of them.
//!
//! Apart from `commit`, which notices that a new one has begun, because these loops belong to other services.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::claims::Claims;
use super::replication::Replication;
use super::shared::Shared;
use super::view_change::ViewChanges;
use crate::names::Member;
use crate::protocol::replication::{ReplicaState, Step};

/// The service that follows the epochs and lives of a node.
#[derive(Debug)]
pub(crate) struct Epochs {
    pub shared: Arc<Shared>,
    pub claims: Arc<Claims>,
    pub replication: Arc<Replication>,
    pub view_changes: Arc<ViewChanges>,
    /// Ends the loops that belong to the active epoch.
    epoch_stop: Mutex<CancellationToken>,
    /// Ends the streams on which this node greeted in its present life.
    life_stop: Mutex<CancellationToken>,
}

impl Epochs {
    pub(crate) fn new(
        claims: Arc<Claims>,
        replication: Arc<Replication>,
        view_changes: Arc<ViewChanges>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            epoch_stop: Mutex::new(shared.tasks.child()),
            life_stop: Mutex::new(shared.tasks.child()),
            shared,
            claims,
            replication,
            view_changes,
        }
    }

    /// Cancelled when the present life ends.
    pub(crate) fn life_stop(&self) -> CancellationToken {
        self.life_stop.lock().clone()
    }

    /// Begins an epoch: resets the acknowledgements and starts the loops that talk to the view's members.
    pub(crate) fn begin_epoch(&self, state: &ReplicaState) {
        let own = state.own_log();
        let siblings = state.siblings();
        let step = |away: bool| if away { Step::Out } else { Step::In };
        let steps = siblings
            .iter()
            .map(|member| (member.id(), step(self.shared.peers.is_away(&member.node))));
        // The view decides which clocks count.
        self.shared.me.judge_wall();
        // A node that is no member, or does not know yet, has no siblings that could tell what is stable.
        let number = if state.is_member() {
            state.vector.number(own)
        } else {
            0
        };
        self.shared.acks.begin(own, number, steps.collect());
        // A node that restarts between seal and activation stays sealed (I11).
        if state.is_sealed() || !state.is_member() {
            self.shared.acks.seal();
        }
        let stop = self.shared.tasks.child();
        std::mem::replace(&mut *self.epoch_stop.lock(), stop.clone()).cancel();
        if state.ended.is_some() {
            self.shared
                .tasks
                .spawn_until(&stop, Arc::clone(&self.view_changes).lay_aside());
        } else if state.is_leaving() {
            self.shared
                .tasks
                .spawn_until(&stop, Arc::clone(&self.view_changes).see_off());
        }
        let Some(view) = state.view().filter(|_| state.is_member()) else {
            return;
        };
        if !state.kept.is_empty() {
            self.shared
                .tasks
                .spawn_until(&stop, Arc::clone(&self.view_changes).clean_up());
        }
        tracing::info!(
            epoch = %state.active,
            role = state.partition().map_or("proxy".to_owned(), |id| format!("replica of partition {id}")),
            "serving"
        );
        self.shared
            .tasks
            .spawn_until(&stop, Arc::clone(&self.replication).look_for_the_absent());
        if siblings.len() > 1 {
            self.shared
                .tasks
                .spawn_until(&stop, Arc::clone(&self.replication).spread_stable());
        }
        for peer in view.members().filter(|peer| *peer != state.me) {
            let is_sibling = siblings.contains(&peer);
            self.shared.tasks.spawn_until(
                &stop,
                Arc::clone(&self.replication).gossip_with(peer.clone(), is_sibling),
            );
            if is_sibling || state.has_not_heard(peer.id()) {
                self.hear(&stop, peer, is_sibling);
            }
        }
    }

    /// Starts exchanges with a peer, for as long as it may have something for this node.
    fn hear(&self, stop: &CancellationToken, peer: Member, is_sibling: bool) {
        self.shared.me.ring(&peer.node);
        self.shared.tasks.spawn_until(
            stop,
            Arc::clone(&self.replication).exchange_with(peer, is_sibling),
        );
    }

    /// Starts exchanges with the members that may have served a lost line that this node just learned of.
    pub(crate) fn hear_owners_of_lost(&self, before: &ReplicaState, state: &ReplicaState) {
        let stop = self.epoch_stop.lock().clone();
        let members = state.view().into_iter().flat_map(|view| view.members());
        let others = members.filter(|peer| state.is_member() && *peer != state.me);
        for peer in others.filter(|peer| state.has_not_heard(peer.id()) && !before.has_not_heard(peer.id())) {
            if !state.is_sibling(peer.id()) {
                self.hear(&stop, peer, false);
            }
        }
    }

    /// Begins another life: this node was removed and keeps nothing, or its life has ended.
    pub(crate) fn begin_life(&self) {
        let left_behind = self.shared.me.state().leftovers.len();
        tracing::info!(
            left_behind,
            "this node begins another life, and waits for a view to list it"
        );
        self.view_changes.pages.arrived.notify_one();
        self.greet_anew();
        self.shared
            .tasks
            .spawn(Arc::clone(&self.view_changes).find_place());
    }

    /// Closes every stream, because this node's greetings on them are outdated.
    pub(crate) fn greet_anew(&self) {
        let stop = self.shared.tasks.child();
        std::mem::replace(&mut *self.life_stop.lock(), stop).cancel();
        self.shared.peers.hang_up();
    }
}
