//! What a replica durably knows: the views, how far it holds each log, and the state of each of its slots.
//!
//! The committer owns this one value and publishes it whole after each commit, so that every reader
//! judges by one consistent state.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::runs::{COMPLETE, end_of};
use super::{Ending, Leftover, Lost, Runs};
use crate::names::{Dot, Epoch, Log, Member, MemberId, NodeId, PartitionId, Slot};
use crate::planted::{self, Fault};
use crate::protocol::causality::VersionVector;
use crate::protocol::placement::{SlotSet, View};

/// What a replica has of a set of slots that share their history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    pub slots: SlotSet,
    /// [`Epoch::NONE`] if ready. Otherwise what became stable before this epoch began is lacking.
    pub lacks: Epoch,
    /// How far these slots hold the logs of earlier epochs that are not closed. A log to which nothing
    /// can be added is held to the end of the run in which its member was sealed.
    pub coverage: VersionVector,
    /// The members that handed these slots over since this member gained them.
    pub sources: BTreeSet<MemberId>,
    /// The members that handed these slots over while both sides were active in this very view.
    pub heard: BTreeSet<MemberId>,
}

impl Region {
    /// True if this member lacks nothing of these slots.
    pub fn is_ready(&self) -> bool {
        self.lacks == Epoch::NONE
    }
}

/// Slots that moved away from this member. It keeps their records, and gives them to the owners, until
/// every new owner has confirmed that it has them (I12).
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Closed {
    /// Every epoch below this one is closed.
    pub below: Epoch,
    /// A node counts the closing only when its own active epoch is at least this one.
    pub at: Epoch,
    /// The run that each member was in. In a later run it takes no write of those epochs, unless its
    /// disk goes back in time. Shared, because every commit copies the state.
    pub runs: Arc<BTreeMap<MemberId, u32>>,
}

impl Closed {
    /// The end of a closed log of this member; `COMPLETE` for a life that was not a member at the closing.
    pub(super) fn end_of(&self, member: MemberId) -> u64 {
        self.runs.get(&member).map_or(COMPLETE, |run| end_of(*run))
    }
}

/// Slots on their way to this node in the change to the view of epoch `target`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    pub target: Epoch,
    pub regions: Vec<Region>,
}

/// Everything a replica durably knows about its place in the cluster.
#[derive(Debug, Clone)]
pub struct ReplicaState {
    pub me: Member,
    /// The short name of `me`, which every log of ours carries.
    pub id: MemberId,
    /// The views of epochs that are not closed, the active one and any that are chosen but not active.
    pub views: BTreeMap<Epoch, Arc<View>>,
    /// [`Epoch::NONE`] until the first view is active here.
    pub active: Epoch,
    /// This member takes nothing more in epochs below this one (I11).
    pub sealed: Epoch,
    /// How far the logs of the active epoch are held: ours and our siblings'.
    pub vector: VersionVector,
    /// The slots that this node owns in the active view, by shared history.
    pub regions: Arc<Vec<Region>>,
    /// Slots that moved away and that not every present owner has confirmed.
    pub kept: Arc<Vec<Kept>>,
    pub incoming: Option<Incoming>,
    pub closed: Closed,
    /// Slots that became ready although an owner that may have had more is gone: keys may be lost, and
    /// the operator must be told.
    pub gone: SlotSet,
    /// Views outside the history of the active one: writes of those lines return as new writes, or are
    /// given up.
    pub lost: BTreeMap<Epoch, Lost>,
    /// Set when this life ends while its node runs: it stops serving, lays its records aside and begins
    /// another life.
    pub ended: Option<Ending>,
    /// True until other members were asked whether this disk went back in time: this life neither serves
    /// nor acts until then.
    pub is_unproven: bool,
    /// The starts of this life.
    pub runs: Runs,
    /// How far our own log was at the end of each run, by the number of the run. Shared, like `runs`.
    pub run_ends: Arc<BTreeMap<u32, Dot>>,
    /// True while the current run is not stored; peers are not told of it until then.
    pub is_run_new: bool,
    /// Raised with each commit.
    pub position: u64,
    /// Pages of records that this life has laid aside since it ended.
    pub laid_aside: Range<u64>,
    /// The leftovers of this node's earlier lives, to be handed over.
    pub leftovers: Vec<Leftover>,
    /// True if this node was a member and was removed: it waits to be added, whatever `VIEW` says.
    pub has_left: bool,
    /// Removed members whose time is up: their records may not be taken any more.
    pub expired: BTreeSet<MemberId>,
    /// Removed members that no owner waits for: their removals do not count any more.
    pub settled: BTreeSet<MemberId>,
    /// Members after whose removal this node dropped tombstones. They may hold deleted keys, so their
    /// records are refused, whatever the clocks show.
    pub too_late: Arc<BTreeSet<MemberId>>,
    /// Per log, the highest number that a record stored here claimed to depend on without confirmation.
    /// An honest reader of such a record carries the claim long after the record is gone.
    pub claimed: VersionVector,
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

impl ReplicaState {
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
            lost: BTreeMap::new(),
            ended: None,
            is_unproven: false,
            runs: Runs::default(),
            run_ends: Arc::default(),
            is_run_new: false,
            position: 0,
            laid_aside: 0..0,
            leftovers: Vec::new(),
            has_left: false,
            expired: BTreeSet::new(),
            settled: BTreeSet::new(),
            too_late: Arc::default(),
            claimed: VersionVector::default(),
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

    /// The view that requests are routed by: the active one, or the newest known one if none is active
    /// or this life has ended.
    pub fn routing(&self) -> Option<&Arc<View>> {
        self.view()
            .filter(|_| self.ended.is_none())
            .or_else(|| self.newest())
    }

    /// True if [`ReplicaState::is_listed`] holds and the disk is known not to have gone back in time.
    pub fn is_member(&self) -> bool {
        !self.is_unproven && self.is_listed()
    }

    /// True unless this life has ended or is unproven: only then may it take part in view changes.
    pub fn may_act(&self) -> bool {
        self.ended.is_none() && !self.is_unproven
    }

    /// True if the active view lists this node in this incarnation and it has not ended, proven or not.
    pub fn is_listed(&self) -> bool {
        self.ended.is_none() && self.view().is_some_and(|view| view.is_member(&self.me))
    }

    /// True between the seal and the activation of the next view: writes wait.
    pub fn is_sealed(&self) -> bool {
        self.sealed > self.active
    }

    /// True while a newer view than the active one is known.
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
        self.regions.iter().all(|region| region.is_ready())
    }

    /// True if a slot owned here is not ready, and `member` has not handed it over.
    pub fn waits_for(&self, member: MemberId) -> bool {
        let waits = |region: &Region| !region.is_ready() && !region.sources.contains(&member);
        self.regions.iter().any(waits)
    }

    /// True if `member` owns or owned slots of ours and has not handed them over while both were active
    /// in this view: it may have records that this node lacks.
    pub fn has_not_heard(&self, member: MemberId) -> bool {
        // This runs for every peer's gossip, so the common case must not walk the slots: with no other
        // epoch open, only siblings ever owned them.
        if self.closed.below == self.active && !self.is_sibling(member) && self.lost.is_empty() {
            return false;
        }
        self.regions.iter().any(|region| {
            let may_bring = || {
                let of_lost = self.lost.values().filter(|lost| !lost.is_over);
                let mut of_lost = of_lost.flat_map(|lost| owners_of(&lost.view, &region.slots));
                self.owners_then_and_now(&region.slots).contains(&member)
                    || of_lost.any(|owner| owner.id() == member)
            };
            !region.heard.contains(&member) && may_bring()
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
        let ready = self.regions.iter().filter(|region| region.is_ready());
        union_of(ready.map(|region| &region.slots))
    }

    /// Every slot that may be read here and of which no removed member keeps more than this one has: no
    /// other copy of it is needed.
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

    /// True if this node has no active view, and the newest known view does not list it.
    pub fn is_out(&self) -> bool {
        self.active == Epoch::NONE && !self.newest().is_some_and(|view| view.is_member(&self.me))
    }

    /// True if a view added this node and it never served one: it was removed first, or that view was
    /// given up. Only this node knows that it took no writes, so it follows the views and says so, like
    /// every member that leaves.
    pub fn is_passed_by(&self) -> bool {
        let lost = self.lost.values().map(|lost| &lost.view);
        let mut known = self.views.values().chain(lost);
        self.is_out() && known.any(|view| view.is_member(&self.me))
    }

    /// True if nothing ever depended on this node: no view listed it, and other nodes know every view
    /// that it knows. Its store may start over under another name.
    pub fn is_unused(&self) -> bool {
        let was_listed = self.views.values().any(|view| view.is_member(&self.me));
        self.active == Epoch::NONE && self.kept.is_empty() && !self.has_left && !was_listed
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

    /// The last write of `node` in the active epoch that is held here.
    pub fn last_held_of(&self, node: &NodeId) -> Option<Dot> {
        let log = Log {
            epoch: self.active,
            member: self.view()?.member(node)?.id(),
        };
        let number = self.vector.number(log);
        (number > 0).then_some(Dot { log, number })
    }

    /// The next dot of our own log. Each run begins at a higher number, so that a restored copy of the
    /// disk does not draw numbers again that were drawn after the copy was made.
    pub fn next_dot(&self) -> Dot {
        let log = self.own_log();
        Dot {
            log,
            number: self.vector.number(log).max(self.runs.first_number()) + 1,
        }
    }

    /// The known views of the epochs from `first` to `last`, both included; empty if `last` is below `first`.
    pub(super) fn views_of(&self, first: Epoch, last: Epoch) -> impl Iterator<Item = &Arc<View>> {
        // Not `range(first..=last)`, which panics if `last` is below `first`.
        let from = self.views.range(first..);
        from.map(|(_, view)| view)
            .take_while(move |view| view.epoch <= last)
    }

    /// The views of epochs that are not closed, up to this one.
    pub fn views_until(&self, last: Epoch) -> impl Iterator<Item = &View> {
        self.views_of(self.closed.below, last).map(Arc::as_ref)
    }

    /// The other members of the active view that own or owned any of `slots` in an epoch that is not closed.
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

    /// True if every past and present owner that is still listed has handed these slots over while
    /// active in this very view.
    pub(super) fn has_heard_all(&self, region: &Region) -> bool {
        self.owners_then_and_now(&region.slots).is_subset(&region.heard)
    }

    /// The nodes that take requests for this slot, by the view that requests are routed by.
    pub fn owners(&self, slot: Slot) -> &[NodeId] {
        self.routing().map_or(&[], |view| view.owners(slot))
    }

    /// Our own logs from the active epoch up to, but not including, `target`: complete, since those
    /// epochs are sealed.
    pub(super) fn own_sealed_logs(&self, target: Epoch) -> impl Iterator<Item = Dot> + '_ {
        let numbers = self.active.number().max(1)..target.number();
        let view = self.views.get(&target).filter(|_| target > self.active);
        let epochs = view
            .into_iter()
            .flat_map(move |view| numbers.clone().map(|number| view.epoch_at(number)));
        epochs.map(|epoch| self.complete_own_log(epoch))
    }

    /// The end of our own log of an epoch in which nothing is added any more.
    pub(super) fn complete_own_log(&self, epoch: Epoch) -> Dot {
        let log = Log {
            epoch,
            member: self.id,
        };
        let number = if planted::is(Fault::RunsNotNamed) {
            COMPLETE
        } else {
            end_of(self.runs.current().number)
        };
        Dot { log, number }
    }
}

pub(super) fn union_of<'a>(sets: impl Iterator<Item = &'a SlotSet>) -> SlotSet {
    sets.fold(SlotSet::default(), |all, slots| all.union(slots))
}

/// The members of `view` that own any of `slots` in it.
pub(super) fn owners_of(view: &View, slots: &SlotSet) -> impl Iterator<Item = Member> {
    let partitions = view.partitions_of_slots(slots).into_iter();
    partitions.flat_map(|partition| view.members_of(partition))
}
