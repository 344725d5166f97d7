//! What a replica durably knows: the views, how far it holds each log, and how it stands with each of
//! its slots.
//!
//! One value, owned by the committer and published whole after each commit, so that a reader always
//! judges by facts that were true together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::COMPLETE;
use crate::causality::VersionVector;
use crate::names::{Dot, Epoch, Log, Member, MemberId, NodeId, PartitionId, Slot};
use crate::placement::{SlotSet, View};

/// How a replica stands with a set of slots that share their history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    pub slots: SlotSet,
    /// [`Epoch::NONE`]: ready. Otherwise: lacks what became stable before this epoch began.
    pub lacks: Epoch,
    /// Up to which number the logs of earlier epochs that are not closed are held for these slots;
    /// [`COMPLETE`] for a log to which nothing can be added.
    pub coverage: VersionVector,
    /// Who handed these slots over since they were gained.
    pub sources: BTreeSet<MemberId>,
    /// Who handed these slots over while it and we were active in this very view.
    pub heard: BTreeSet<MemberId>,
}

/// Slots that this member owned and does not own any more. Their records stay, and are given to whoever
/// owns them, until every new owner has confirmed that it has them (I12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub slots: SlotSet,
    /// The last epoch in which the slots were owned here.
    pub last_owned: Epoch,
    /// As in [`Region::lacks`].
    pub lacks: Epoch,
    /// As in [`Region::coverage`], the last owned epoch included.
    pub coverage: VersionVector,
    /// As in [`Region::sources`].
    pub sources: BTreeSet<MemberId>,
}

/// Epochs that every member is done with, and the epoch in which that was concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Closed {
    /// Every epoch below this one is closed.
    pub below: Epoch,
    /// A node counts the closing only when its own active epoch is at least this one.
    pub at: Epoch,
}

/// Slots on their way to this node in the change to the view of epoch `target`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    pub target: Epoch,
    pub regions: Vec<Region>,
}

/// Everything a replica durably knows about its place in the cluster.
#[derive(Debug, Clone)]
pub struct Facts {
    pub me: Member,
    /// The short name of `me`, which every log of ours carries.
    pub id: MemberId,
    /// The views of epochs that are not closed, the active one and any that are chosen but not active.
    pub views: BTreeMap<Epoch, Arc<View>>,
    /// [`Epoch::NONE`] until the first view is active here.
    pub active: Epoch,
    /// Nothing is taken any more in epochs below this one (I11).
    pub sealed: Epoch,
    /// Up to which number the logs of the active epoch are held: ours and our siblings'.
    pub vector: VersionVector,
    /// The slots that this node owns in the active view, by shared history.
    pub regions: Arc<Vec<Region>>,
    /// Slots that moved away and are not confirmed by all who own them now.
    pub kept: Arc<Vec<Kept>>,
    pub incoming: Option<Incoming>,
    pub closed: Closed,
    /// Slots that became ready with nobody left to take them from: keys of theirs may be gone, and
    /// people must hear of it.
    pub gone: SlotSet,
    /// A view of a higher generation took the place of the active one or of one before it: this node
    /// followed a line that was given up. It serves no more, and hands over as a node no longer listed.
    pub outranked: bool,
    /// This node was a member once, and was removed: it waits to be added, whatever `VIEW` says.
    pub has_left: bool,
    /// Removed members after whose removal this node dropped tombstones: they may hold what was deleted, and
    /// nothing of theirs is taken any more, whatever time the clocks show by then.
    pub too_late: Arc<BTreeSet<MemberId>>,
}

impl Region {
    /// Slots that were just gained and lack what became stable before `lacks`.
    pub fn gained(slots: SlotSet, lacks: Epoch) -> Self {
        Self {
            slots,
            lacks,
            coverage: VersionVector::default(),
            sources: BTreeSet::new(),
            heard: BTreeSet::new(),
        }
    }
}

impl Facts {
    /// A node with an empty store, in no view.
    pub fn new(me: Member) -> Self {
        Self {
            id: me.id(),
            me,
            views: BTreeMap::new(),
            active: Epoch::NONE,
            sealed: Epoch::NONE,
            vector: VersionVector::default(),
            regions: Arc::default(),
            kept: Arc::default(),
            incoming: None,
            closed: Closed::default(),
            gone: SlotSet::default(),
            outranked: false,
            has_left: false,
            too_late: Arc::default(),
        }
    }

    /// The view that is active here.
    pub fn view(&self) -> Option<&Arc<View>> {
        self.views.get(&self.active)
    }

    /// The newest view known, active or not.
    pub fn newest(&self) -> Option<&Arc<View>> {
        self.views.values().next_back()
    }

    /// The view that requests are routed by: the active one; on a node that is not active yet, the
    /// newest it knows.
    pub fn routing(&self) -> Option<&Arc<View>> {
        self.view().filter(|_| !self.outranked).or_else(|| self.newest())
    }

    /// True if the active view lists this node in this incarnation, and was not outranked.
    pub fn is_member(&self) -> bool {
        !self.outranked && self.view().is_some_and(|view| view.is_member(&self.me))
    }

    /// True between the seal and the activation of the next view: writes wait.
    pub fn is_sealed(&self) -> bool {
        self.sealed > self.active
    }

    /// True while a view is known that is not active here.
    pub fn is_between_views(&self) -> bool {
        self.newest().is_some_and(|newest| newest.epoch > self.active)
    }

    /// The partition that this member is a replica of.
    pub fn partition(&self) -> Option<PartitionId> {
        self.view()
            .filter(|_| self.is_member())?
            .partition_of_node(&self.me.node)
    }

    /// The log that this member's writes go to.
    pub fn own_log(&self) -> Log {
        Log {
            epoch: self.active,
            member: self.id,
        }
    }

    /// The other members of this member's partition.
    pub fn siblings(&self) -> Vec<Member> {
        let Some((view, partition)) = self.view().zip(self.partition()) else {
            return Vec::new();
        };
        view.members_of(partition)
            .filter(|member| *member != self.me)
            .collect()
    }

    pub fn is_sibling(&self, member: MemberId) -> bool {
        let Some((view, partition)) = self.view().zip(self.partition()) else {
            return false;
        };
        member != self.id
            && view
                .member_by_id(member)
                .is_some_and(|member| view.partition_of_node(&member.node) == Some(partition))
    }

    pub fn region_of(&self, slot: Slot) -> Option<&Region> {
        self.regions.iter().find(|region| region.slots.contains(slot))
    }

    /// True if every slot owned here may be read here.
    pub fn is_ready(&self) -> bool {
        self.regions.iter().all(|region| region.lacks == Epoch::NONE)
    }

    /// True if slots owned here wait for what this member has of them.
    pub fn waits_for(&self, member: MemberId) -> bool {
        let waits = |region: &Region| region.lacks != Epoch::NONE && !region.sources.contains(&member);
        self.regions.iter().any(waits)
    }

    /// True if a past owner of slots of ours may have something that is not here: it has not handed them
    /// over while it and we were active in this view.
    pub fn has_not_heard(&self, member: MemberId) -> bool {
        self.regions.iter().any(|region| {
            !region.heard.contains(&member) && self.owners_then_and_now(&region.slots).contains(&member)
        })
    }

    /// Every slot owned here.
    pub fn owned_slots(&self) -> SlotSet {
        union_of(self.regions.iter().map(|region| &region.slots))
    }

    /// Every slot that may be read here.
    pub fn ready_slots(&self) -> SlotSet {
        if !self.is_member() {
            return SlotSet::default();
        }
        let ready = self.regions.iter().filter(|region| region.lacks == Epoch::NONE);
        union_of(ready.map(|region| &region.slots))
    }

    /// Every slot that may be read here and of which no removed member keeps anything that this one lacks:
    /// it can do without the others.
    pub fn slots_held_alone(&self) -> SlotSet {
        let regions = self
            .regions
            .iter()
            .filter(|region| !self.awaits_a_removed_owner(region));
        self.ready_slots()
            .intersection(&union_of(regions.map(|region| &region.slots)))
    }

    /// Slots on their way here, in the change to `target`, that an owner has handed over.
    pub fn handed_over(&self, target: Epoch) -> SlotSet {
        let incoming = self.incoming.iter().filter(|incoming| incoming.target == target);
        let regions = incoming.flat_map(|incoming| &incoming.regions);
        let given = regions.filter(|region| !region.sources.is_empty());
        union_of(given.map(|region| &region.slots))
    }

    /// Every slot that moved away and is kept.
    pub fn kept_slots(&self) -> SlotSet {
        union_of(self.kept.iter().map(|kept| &kept.slots))
    }

    /// True if this node was added, and removed before it served a view. Nobody else knows that it took
    /// nothing: it goes along, and says so as everybody does who leaves.
    pub fn is_passed_by(&self) -> bool {
        let is_listed = |view: &Arc<View>| view.is_member(&self.me);
        let is_out = self.newest().is_some_and(|view| !is_listed(view));
        self.active == Epoch::NONE && is_out && self.views.values().any(is_listed)
    }

    /// All that is held for a region: the logs of the active epoch and those of earlier ones.
    pub fn holds(&self, region: &Region) -> VersionVector {
        let mut holds = self.vector.clone();
        holds.merge(&region.coverage);
        holds
    }

    /// Seals every epoch below `target` (I11). True if that is news.
    pub fn seal(&mut self, target: Epoch) -> bool {
        let news = target > self.sealed;
        self.sealed = self.sealed.max(target);
        news
    }

    /// The next number of our own log.
    pub fn next_dot(&self) -> Dot {
        let log = self.own_log();
        Dot {
            log,
            number: self.vector.number(log) + 1,
        }
    }

    /// The views known of these epochs, both included; none if there are no such epochs.
    pub(super) fn views_of(&self, first: Epoch, last: Epoch) -> impl Iterator<Item = &Arc<View>> {
        // Not a range with two ends: one that ends before it begins would be a panic.
        let from = self.views.range(first..);
        from.map(|(_, view)| view)
            .take_while(move |view| view.epoch <= last)
    }

    /// The members, listed then and now, that owned any of `slots` in an epoch that is not closed.
    pub fn owners_then_and_now(&self, slots: &SlotSet) -> BTreeSet<MemberId> {
        let Some(active) = self.view() else {
            return BTreeSet::new();
        };
        self.views_of(self.closed.below, self.active)
            .flat_map(|view| owners_of(view, slots))
            .filter(|owner| active.is_member(owner) && *owner != self.me)
            .map(|owner| owner.id())
            .collect()
    }

    /// Nodes of this member's partition, this one included: who takes a request for its slots.
    pub fn owners(&self, slot: Slot) -> &[NodeId] {
        self.routing().map_or(&[], |view| view.owners(slot))
    }

    /// Drops the entries of closed epochs, and the views that nothing refers to any more.
    pub(super) fn forget_closed(&mut self) {
        let below = self.closed.below;
        for region in Arc::make_mut(&mut self.regions) {
            region.coverage.retain(|dot| dot.log.epoch >= below);
        }
        for kept in Arc::make_mut(&mut self.kept) {
            kept.coverage.retain(|dot| dot.log.epoch >= below);
        }
        let active = self.active;
        self.views.retain(|epoch, _| *epoch >= below || *epoch >= active);
    }

    /// Our own log of each sealed epoch from the active one on: complete, since it is sealed.
    pub(super) fn own_sealed_logs(&self, target: Epoch) -> impl Iterator<Item = Dot> + '_ {
        (self.active.0..target.0)
            .filter(|epoch| *epoch != 0)
            .map(|epoch| Dot {
                log: Log {
                    epoch: Epoch(epoch),
                    member: self.id,
                },
                number: COMPLETE,
            })
    }
}

pub(super) fn union_of<'a>(sets: impl Iterator<Item = &'a SlotSet>) -> SlotSet {
    sets.fold(SlotSet::default(), |all, slots| all.union(slots))
}

/// The members of `view` that own any of `slots` in it.
pub(super) fn owners_of(view: &View, slots: &SlotSet) -> impl Iterator<Item = Member> {
    let partitions = partitions_of(view, slots).into_iter();
    partitions.flat_map(|partition| view.members_of(partition))
}

/// The partitions of `view` that any of `slots` belongs to.
pub(super) fn partitions_of(view: &View, slots: &SlotSet) -> BTreeSet<PartitionId> {
    let mut partitions = BTreeSet::new();
    let mut latest = None;
    for partition in slots.iter().map(|slot| view.partition_of_slot(slot)) {
        // Slots of a partition lie in runs: most of them need no look-up.
        if latest.replace(partition) != Some(partition) {
            partitions.insert(partition);
        }
    }
    partitions
}
