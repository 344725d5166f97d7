//! What a replica durably knows: the views, how far it holds each log, and how it stands with each of
//! its slots.
//!
//! One value, owned by the committer and published whole after each commit, so that a reader always
//! judges by one state, true as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::runs::{COMPLETE, end_of};
use super::{Ending, Leftover, Lost, Runs};
use crate::names::{Dot, Epoch, Log, Member, MemberId, NodeId, PartitionId, Slot};
use crate::planted::{self, Fault};
use crate::protocol::causality::VersionVector;
use crate::protocol::placement::{SlotSet, View};

/// How a replica stands with a set of slots that share their history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    pub slots: SlotSet,
    /// [`Epoch::NONE`]: ready. Otherwise: lacks what became stable before this epoch began.
    pub lacks: Epoch,
    /// Up to which number the logs of earlier epochs that are not closed are held for these slots. A log to
    /// which nothing can be added is held to the end of the run in which its member was sealed.
    pub coverage: VersionVector,
    /// The members that handed these slots over since they were gained.
    pub sources: BTreeSet<MemberId>,
    /// The members that handed these slots over while they and this one were active in this very view.
    pub heard: BTreeSet<MemberId>,
}

impl Region {
    /// True if this member lacks nothing of these slots.
    pub fn is_ready(&self) -> bool {
        self.lacks == Epoch::NONE
    }
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Closed {
    /// Every epoch below this one is closed.
    pub below: Epoch,
    /// A node counts the closing only when its own active epoch is at least this one.
    pub at: Epoch,
    /// The run in which each member was: it takes no write of those epochs in a later one, unless its disk goes
    /// back in time. Shared, because the state is copied with every commit.
    pub runs: Arc<BTreeMap<MemberId, u32>>,
}

impl Closed {
    /// The end of a closed log of this member; of one that was a member no more, whatever was written.
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
    /// Views of lines that are not in the history of the active one: what was written there comes back as
    /// new writes, or is given up.
    pub lost: BTreeMap<Epoch, Lost>,
    /// This life is over, though the node runs: it serves no more, lays aside what it has, and begins another.
    pub ended: Option<Ending>,
    /// Until members that may know better were asked, nobody can say whether this disk went back in time:
    /// nothing of this life is done meanwhile.
    pub is_unproven: bool,
    /// The starts of this life.
    pub runs: Runs,
    /// Where our own log was when a start ended, by the number of the start. Shared, as they are.
    pub run_ends: Arc<BTreeMap<u32, Dot>>,
    /// The last of them is not stored yet, and nobody is told of it.
    pub is_run_new: bool,
    /// Raised with each commit.
    pub position: u64,
    /// Pages of records that this life has laid aside since it ended.
    pub laid_aside: Range<u64>,
    /// The leftovers of this node's earlier lives, to be handed over.
    pub leftovers: Vec<Leftover>,
    /// This node was a member once, and was removed: it waits to be added, whatever `VIEW` says.
    pub has_left: bool,
    /// Removed members of which nothing is taken any more, because their time is up.
    pub expired: BTreeSet<MemberId>,
    /// Removed members that no owner waits for any more: their records say nothing that is not known.
    pub settled: BTreeSet<MemberId>,
    /// Removed members after whose removal this node dropped tombstones: they may hold what was deleted, and
    /// nothing of theirs is taken any more, whatever time the clocks show by then.
    pub too_late: Arc<BTreeSet<MemberId>>,
    /// Up to where records that were stored here claimed to depend on logs, when nobody had confirmed it. An
    /// honest reader of such a record carries the claim, long after the record is gone.
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

    /// The view that requests are routed by: the active one; on a node that is not active yet, the
    /// newest it knows.
    pub fn routing(&self) -> Option<&Arc<View>> {
        self.view()
            .filter(|_| self.ended.is_none())
            .or_else(|| self.newest())
    }

    /// True if the active view lists this node in this incarnation, which has not ended, and whose disk is
    /// known to be the one that it left.
    pub fn is_member(&self) -> bool {
        !self.is_unproven && self.is_listed()
    }

    /// True unless this life has ended, or may turn out to have: only then may it take part in changes.
    pub fn may_act(&self) -> bool {
        self.ended.is_none() && !self.is_unproven
    }

    /// True if the active view lists this node in this incarnation, which has not ended; proven or not.
    pub fn is_listed(&self) -> bool {
        self.ended.is_none() && self.view().is_some_and(|view| view.is_member(&self.me))
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
        self.regions.iter().all(|region| region.is_ready())
    }

    /// True if slots owned here wait for what this member has of them.
    pub fn waits_for(&self, member: MemberId) -> bool {
        let waits = |region: &Region| !region.is_ready() && !region.sources.contains(&member);
        self.regions.iter().any(waits)
    }

    /// True if a past owner of slots of ours may have something that is not here: it has not handed them
    /// over while it and we were active in this view.
    pub fn has_not_heard(&self, member: MemberId) -> bool {
        // Every peer that tells something is asked about here, so the common case must not walk the slots:
        // with no other epoch open, nobody but siblings ever owned them.
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

    /// True if this node serves no view, and would not serve the newest that it knows.
    pub fn is_out(&self) -> bool {
        self.active == Epoch::NONE && !self.newest().is_some_and(|view| view.is_member(&self.me))
    }

    /// True if this node was added, and removed before it served a view, or the view that added it was given up.
    /// Nobody else knows that it took nothing: it goes along, and says so as everybody does who leaves.
    pub fn is_passed_by(&self) -> bool {
        let lost = self.lost.values().map(|lost| &lost.view);
        let mut known = self.views.values().chain(lost);
        self.is_out() && known.any(|view| view.is_member(&self.me))
    }

    /// True if nothing ever depended on this node: it was in no view, and what it may have heard of views
    /// others know too. Its store may begin anew under another name.
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

    /// The last write of a member that is held here, in the active epoch.
    pub fn last_held_of(&self, node: &NodeId) -> Option<Dot> {
        let log = Log {
            epoch: self.active,
            member: self.view()?.member(node)?.id(),
        };
        let number = self.vector.number(log);
        (number > 0).then_some(Dot { log, number })
    }

    /// The next number of our own log. Each start begins further up, so that numbers which were drawn after a
    /// copy of the disk was made are not drawn again from the copy.
    pub fn next_dot(&self) -> Dot {
        let log = self.own_log();
        Dot {
            log,
            number: self.vector.number(log).max(self.runs.first_number()) + 1,
        }
    }

    /// The views known of these epochs, both included; none if there are no such epochs.
    pub(super) fn views_of(&self, first: Epoch, last: Epoch) -> impl Iterator<Item = &Arc<View>> {
        // Not a range with two ends: one that ends before it begins would be a panic.
        let from = self.views.range(first..);
        from.map(|(_, view)| view)
            .take_while(move |view| view.epoch <= last)
    }

    /// The views of epochs that are not closed, up to this one.
    pub fn views_until(&self, last: Epoch) -> impl Iterator<Item = &View> {
        self.views_of(self.closed.below, last).map(Arc::as_ref)
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

    /// True if every past and present owner that could bring anything of these slots has handed over
    /// while active in this very view.
    pub(super) fn has_heard_all(&self, region: &Region) -> bool {
        self.owners_then_and_now(&region.slots).is_subset(&region.heard)
    }

    /// Nodes of this member's partition, this one included: who takes a request for its slots.
    pub fn owners(&self, slot: Slot) -> &[NodeId] {
        self.routing().map_or(&[], |view| view.owners(slot))
    }

    /// Our own log of each sealed epoch from the active one on: complete, since it is sealed.
    pub(super) fn own_sealed_logs(&self, target: Epoch) -> impl Iterator<Item = Dot> + '_ {
        let numbers = self.active.number().max(1)..target.number();
        let view = self.views.get(&target).filter(|_| target > self.active);
        let epochs = view
            .into_iter()
            .flat_map(move |view| numbers.clone().map(|number| view.epoch_at(number)));
        epochs.map(|epoch| self.complete_own_log(epoch))
    }

    /// Our own log of an epoch, to which nothing is added any more.
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
