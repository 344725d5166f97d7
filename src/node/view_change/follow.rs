//! Follows a view change: copies, seals, takes over and activates as the driver orders.
//!
//! Each step starts from durable state or from the beginning, so any node may order it, any number of
//! times. `copy` brings most of the records while the view before serves; this file takes the rest from
//! sealed owners.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::names::{Epoch, Member, MemberId, PartitionId};
use crate::node::commit::handle::log_unstored;
use crate::node::commit::job::NotStored;
use crate::node::view_change::ViewChanges;
use crate::protocol::placement::{SlotSet, View};
use crate::protocol::replication::{ChangeAttempt, Copied};
use crate::protocol::view_change::{Order, Phase, Report};
use crate::wire::peer::Known;

/// How often a hand-over is tried before the node goes on without it. The giver's records then come late.
const ATTEMPTS: usize = 2;

/// How soon a disk that refused to drop copies is asked again.
const UNSTAGE_PAUSE: Duration = Duration::from_millis(50);

/// This node's progress in the change that is under way.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) progress: Mutex<Progress>,
    driver_heard: Mutex<Instant>,
    /// When this node began to follow the change.
    since: Mutex<Instant>,
}

#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) attempt: ChangeAttempt,
    pub(crate) phase: Option<Phase>,
    pub(crate) copy: Copy,
    /// What was copied, by the owner that gave it.
    pub(crate) copied: BTreeMap<MemberId, Vec<Copied>>,
    pub(crate) keys_moved: u64,
    pub(crate) keys_to_go: BTreeMap<MemberId, u64>,
    through_with: BTreeSet<MemberId>,
    under_way: BTreeSet<MemberId>,
    /// Hand-overs have begun: later pages of a copy do not count.
    pub(crate) taking: bool,
    /// Serializes the hand-overs of one partition's slots.
    turns: BTreeMap<Option<PartitionId>, Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) enum Copy {
    #[default]
    NotBegun,
    Running,
    Done,
}

impl Default for Following {
    fn default() -> Self {
        Self {
            progress: Mutex::default(),
            driver_heard: Mutex::new(Instant::now()),
            since: Mutex::new(Instant::now()),
        }
    }
}

impl Following {
    /// Follows the change to `order.target`, with fresh progress if that is another change than before.
    fn begin(&self, order: &Order) {
        *self.driver_heard.lock() = Instant::now();
        let mut progress = self.progress.lock();
        if progress.attempt.target != order.target {
            *self.since.lock() = Instant::now();
            *progress = Progress {
                attempt: ChangeAttempt {
                    target: order.target,
                    number: progress.attempt.number + 1,
                },
                ..Progress::default()
            };
        }
        if progress.phase.replace(order.phase) != Some(order.phase) {
            tracing::info!(epoch = %order.target, "view change: {}", order.phase);
        }
    }

    pub(crate) fn attempt(&self) -> ChangeAttempt {
        self.progress.lock().attempt
    }

    pub(crate) fn driver_silence(&self) -> Duration {
        self.driver_heard.lock().elapsed()
    }

    /// How long this node has followed the change.
    pub(crate) fn followed_for(&self) -> Duration {
        self.since.lock().elapsed()
    }

    /// Updates the progress of an attempt. Does nothing if another change has been followed since, which
    /// drops what was copied for this one.
    pub(crate) fn note(&self, attempt: ChangeAttempt, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.progress.lock();
        if progress.attempt == attempt {
            change(&mut progress);
        }
    }
}

impl ViewChanges {
    /// Does what a driver asks, and reports how far this node is.
    pub(crate) async fn follow(self: &Arc<Self>, order: Order, known: Option<Known>) -> Report {
        let state = self.shared.me.state();
        if let Some(known) = known.filter(|_| !state.views.contains_key(&order.target)) {
            self.learn(known).await;
        }
        let state = self.shared.me.state();
        let listed = state
            .views
            .get(&order.target)
            .is_some_and(|view| view.is_member(&state.me));
        let takes_part =
            state.may_act() && state.views.contains_key(&order.target) && (listed || state.is_member());
        if state.active < order.target && takes_part && !self.is_overtaken(order.target) {
            self.following.begin(&order);
            match order.phase {
                Phase::Copy => self.begin_copy(),
                Phase::Seal => self.seal(order.target).await,
                Phase::HandOver => {
                    self.seal(order.target).await;
                    self.begin_taking(order.target, &order.givers);
                }
                Phase::Activate | Phase::Done => self.activate(order.target).await,
            }
        }
        self.report(order.target)
    }

    /// True if this node follows a change to a later view. Two drivers in turn would make it start over for
    /// ever: the driver to the later view is right.
    pub(crate) fn is_overtaken(&self, target: Epoch) -> bool {
        let followed = self.following.attempt().target;
        followed > target && self.shared.me.state().views.contains_key(&followed)
    }

    fn report(&self, target: Epoch) -> Report {
        let state = self.shared.me.state();
        let progress = self.following.progress.lock();
        let mut report = Report {
            by: state.id,
            active: state.active,
            sealed: state.sealed,
            knows: state.views.contains_key(&target),
            copied: false,
            keys_moved: 0,
            keys_to_go: 0,
            through_with: BTreeSet::new(),
        };
        if progress.attempt.target == target {
            report.copied = progress.copy == Copy::Done;
            report.keys_moved = progress.keys_moved;
            report.keys_to_go = progress.keys_to_go.values().sum();
            report.through_with.clone_from(&progress.through_with);
        }
        report
    }

    pub(crate) async fn seal(&self, target: Epoch) {
        if self.shared.me.state().sealed < target {
            log_unstored("the seal", self.shared.commit.seal(target).await);
        }
    }

    pub(crate) async fn activate(&self, target: Epoch) {
        log_unstored("the activation", self.shared.commit.activate(target).await);
    }

    /// Takes the hand-over of every sealed giver that this node is not through with: the owners of one
    /// partition in turn, different partitions in parallel.
    fn begin_taking(self: &Arc<Self>, target: Epoch, givers: &BTreeSet<MemberId>) {
        let state = self.shared.me.state();
        let Some(before) = state.views.range(..target).next_back().map(|(_, view)| view) else {
            return;
        };
        let mut groups: BTreeMap<_, Vec<Member>> = BTreeMap::new();
        let attempt = {
            let mut progress = self.following.progress.lock();
            if progress.attempt.target != target {
                return;
            }
            progress.taking = true;
            for giver in givers {
                if progress.through_with.contains(giver) || !progress.under_way.insert(*giver) {
                    continue;
                }
                match before.member_by_id(*giver) {
                    Some(member) => {
                        let partition = before.partition_of_node(&member.node);
                        groups.entry(partition).or_default().push(member);
                    }
                    None => drop(progress.through_with.insert(*giver)),
                }
            }
            progress.attempt
        };
        for (partition, group) in groups {
            let (node, before) = (Arc::clone(self), Arc::clone(before));
            let turn = Arc::clone(self.following.progress.lock().turns.entry(partition).or_default());
            self.shared.tasks.spawn(async move {
                let _turn = turn.lock().await;
                node.take_from_partition(attempt, &before, partition, group).await;
            });
        }
    }

    /// A copy counts only together with a hand-over of its giver, so those hand-overs come first. Copies
    /// that no giver vouches for are dropped before any giver is asked for the rest.
    async fn take_from_partition(
        self: Arc<Self>,
        attempt: ChangeAttempt,
        before: &View,
        partition: Option<PartitionId>,
        givers: Vec<Member>,
    ) {
        let copied = self.copied_of(before, partition, attempt);
        let slots = partition.map(|partition| before.slots_of_partition(partition));
        let whole = copied.iter().flat_map(|(_, copied)| copied);
        let whole = slots_of(whole);
        // No giver vouches for the pages of a copy that broke off.
        let broken_off = slots.unwrap_or_default().difference(&whole);
        if !self.unstage(attempt, broken_off).await {
            return;
        }
        for (from, copied) in copied {
            let slots = slots_of(copied.iter());
            let giver = givers.iter().find(|giver| giver.id() == from);
            let vouched = match giver {
                Some(giver) => self.take_from(attempt, giver, &copied, &slots).await,
                None => false,
            };
            if !vouched && !self.unstage(attempt, slots).await {
                return;
            }
            self.following
                .note(attempt, |progress| drop(progress.copied.remove(&from)));
        }
        for giver in givers {
            self.take_from(attempt, &giver, &[], &SlotSet::all()).await;
            self.following.note(attempt, |progress| {
                progress.through_with.insert(giver.id());
                progress.under_way.remove(&giver.id());
            });
        }
    }

    /// What was copied of the slots of a partition, by giver.
    fn copied_of(
        &self,
        before: &View,
        partition: Option<PartitionId>,
        attempt: ChangeAttempt,
    ) -> Vec<(MemberId, Vec<Copied>)> {
        let Some(partition) = partition else {
            return Vec::new();
        };
        let owners: BTreeSet<MemberId> = before.members_of(partition).map(|owner| owner.id()).collect();
        let progress = self.following.progress.lock();
        let is_of_it = |from: &MemberId| progress.attempt == attempt && owners.contains(from);
        let copied = progress.copied.iter().filter(|(from, _)| is_of_it(from));
        copied.map(|(from, copied)| (*from, copied.clone())).collect()
    }

    /// One hand-over of some slots, retried if it fails. True if all is here that the giver had.
    async fn take_from(
        &self,
        attempt: ChangeAttempt,
        giver: &Member,
        copied: &[Copied],
        slots: &SlotSet,
    ) -> bool {
        if giver.node == self.shared.me.node {
            return true;
        }
        for _ in 0..ATTEMPTS {
            // Writes wait: an unreachable giver must not cost the time of a page.
            if !self
                .shared
                .peers
                .is_alive(&giver.node, crate::node::limits::ASK_LIMIT)
                .await
            {
                tracing::info!(giver = %giver.node, "does not answer; its records will arrive late");
                continue;
            }
            let Some(mut ask) = self.shared.me.state().ask_hand_over(attempt.target, copied) else {
                return false;
            };
            ask.restrict(slots);
            if ask.wanted.is_empty() {
                return true;
            }
            match self.replication.exchange(giver, ask, Some(attempt)).await {
                Ok(()) => return true,
                Err(reason) => tracing::info!(giver = %giver.node, %reason, "hand-over failed"),
            }
        }
        false
    }

    /// Drops copies for which no giver vouches, and retries until the disk takes it: the next giver that
    /// hands these slots over would vouch for what is left. The driver passes over a node that makes no
    /// progress. False if another change is followed meanwhile, or the node stops.
    async fn unstage(&self, attempt: ChangeAttempt, slots: SlotSet) -> bool {
        loop {
            match self.shared.commit.unstage(attempt, slots.clone()).await {
                Ok(()) => return true,
                Err(NotStored::Stopped) => return false,
                Err(_) if self.following.attempt() != attempt => return false,
                Err(_) => sleep(UNSTAGE_PAUSE).await,
            }
        }
    }

    /// Copies the slots that this node gains, while the old view serves.
    fn begin_copy(self: &Arc<Self>) {
        let attempt = {
            let mut progress = self.following.progress.lock();
            if progress.copy != Copy::NotBegun {
                return;
            }
            progress.copy = Copy::Running;
            progress.attempt
        };
        let node = Arc::clone(self);
        self.shared.tasks.spawn(async move {
            node.copy_gained(attempt).await;
            node.following
                .note(attempt, |progress| progress.copy = Copy::Done);
        });
    }

    async fn copy_gained(&self, attempt: ChangeAttempt) {
        let target = attempt.target;
        let state = self.shared.me.state();
        let (Some(view), Some((_, before))) =
            (state.views.get(&target), state.views.range(..target).next_back())
        else {
            return;
        };
        // Slots that come back soon after they moved away are copied like any others, if their owners can
        // do without what is kept here.
        let comes_back = view.slots_of_member(&state.me).intersection(&state.kept_slots());
        if let Some(active) = state.view().filter(|_| !comes_back.is_empty()) {
            self.drop_confirmed(active, &comes_back).await;
        }
        let state = self.shared.me.state();
        // Slots that are still kept are brought up to date by the hand-over alone.
        let here = state.owned_slots().union(&state.kept_slots());
        let gained = view
            .slots_of_member(&state.me)
            .difference(&here)
            .difference(&state.handed_over(target));
        if gained.is_empty() {
            return;
        }
        // No giver would vouch for the pages of an earlier attempt.
        if self.shared.commit.unstage(attempt, gained.clone()).await.is_err() {
            // Nothing is copied, and the hand-over brings it all: no change waits for a full disk.
            return;
        }
        let of_partition = |partition| before.slots_of_partition(partition).intersection(&gained);
        let copies = before
            .partitions()
            .map(|(partition, _)| (partition, of_partition(partition)))
            .filter(|(_, slots)| !slots.is_empty())
            .map(|(partition, slots)| {
                let owners = before.members_of(partition);
                let givers = owners.filter(|giver| giver.node != self.shared.me.node);
                self.copy_partition(attempt, givers.collect(), slots)
            });
        join_all(copies).await;
    }
}

fn slots_of<'a>(copied: impl Iterator<Item = &'a Copied>) -> SlotSet {
    copied.fold(SlotSet::default(), |all, copied| all.union(&copied.slots))
}
