//! Decides whether this replica may answer a read, and whether it may take a write.
//!
//! This is the one predicate that the store's safety rests on (PROTOCOL.md, three ideas); everything
//! else only decides how soon it becomes true. It depends on one published state, on what is known
//! stable, and on the client's payload.

use super::ReplicaState;
use super::replica_state::{Region, owners_of};
use super::runs::is_end;
use crate::names::{Dot, Epoch, Log, Member, PartitionId, Slot};
use crate::planted::{self, Fault};
use crate::protocol::causality::{Payload, Record, VersionVector};
use crate::protocol::placement::{SlotSet, View};

/// Why an operation is not done at this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotHere {
    /// This node is no member of an active view, or does not own the slot.
    NotOwner,
    /// The payload is of an epoch that is not active here yet (I5).
    EpochAhead(Epoch),
    /// Records from before this node owned the slot are still missing (I6).
    NotReady,
    /// Dependencies that are not here (I7).
    Missing(VersionVector),
    /// A view change is under way: the write waits for the next view.
    Sealed,
}

/// Judges a read of `slot` by a client that depends on `payload`. If it may be answered, returns the
/// [`trimmed`] payload.
pub fn may_read(
    state: &ReplicaState,
    stable: &VersionVector,
    slot: Slot,
    payload: &Payload,
) -> Result<Payload, NotHere> {
    let region = owned_region(state, slot)?;
    let trimmed = trimmed(state, stable, payload);
    may_read_region(state, region, payload.epoch, &trimmed.entries, Scope::Slot(slot))?;
    Ok(trimmed)
}

/// Judges a listing of all keys of these slots: the same as a read in each of them.
pub fn may_list(
    state: &ReplicaState,
    stable: &VersionVector,
    slots: &SlotSet,
    payload: &Payload,
) -> Result<Payload, NotHere> {
    if !state.is_member() || !slots.difference(&state.owned_slots()).is_empty() {
        return Err(NotHere::NotOwner);
    }
    let trimmed = trimmed(state, stable, payload);
    for region in &*state.regions {
        let listed = region.slots.intersection(slots);
        if !listed.is_empty() {
            may_read_region(
                state,
                region,
                payload.epoch,
                &trimmed.entries,
                Scope::Slots(&listed),
            )?;
        }
    }
    Ok(trimmed)
}

/// What is read: a key of one slot, or all keys of some slots.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope<'a> {
    Slot(Slot),
    Slots(&'a SlotSet),
}

impl Scope<'_> {
    fn meets(self, slots: &SlotSet) -> bool {
        match self {
            Self::Slot(slot) => slots.contains(slot),
            Self::Slots(read) => !read.intersection(slots).is_empty(),
        }
    }

    /// The members that owned any of it in that view.
    pub(super) fn owners_in(self, then: &View) -> Vec<Member> {
        match self {
            Self::Slot(slot) => then.members_of(then.partition_of_slot(slot)).collect(),
            Self::Slots(read) => owners_of(then, read).collect(),
        }
    }

    /// True if the partition owned any of it in that view.
    fn was_owned_by(self, partition: PartitionId, then: &View) -> bool {
        match self {
            Self::Slot(slot) => then.partition_of_slot(slot) == partition,
            Self::Slots(_) => self.meets(&then.slots_of_partition(partition)),
        }
    }
}

/// Judges a read in a region. `entries` are those that may not be on every replica yet.
fn may_read_region(
    state: &ReplicaState,
    region: &Region,
    epoch: Epoch,
    entries: &VersionVector,
    scope: Scope<'_>,
) -> Result<(), NotHere> {
    if epoch > state.active && !planted::is(Fault::NoFence) {
        return Err(NotHere::EpochAhead(epoch));
    }
    if !region.is_ready() && !planted::is(Fault::NotReadyServes) {
        return Err(NotHere::NotReady);
    }
    let missing: VersionVector = entries
        .iter()
        .filter(|dot| !is_covered(state, region, *dot, scope))
        .collect();
    if missing.is_empty() || planted::is(Fault::NeverWaits) {
        Ok(())
    } else {
        Err(NotHere::Missing(missing))
    }
}

/// Judges a write of `slot` by a client that has seen `epoch`. Never refused for causal reasons.
pub fn may_write(state: &ReplicaState, slot: Slot, epoch: Epoch) -> Result<(), NotHere> {
    owned_region(state, slot)?;
    if epoch > state.active {
        return Err(NotHere::EpochAhead(epoch));
    }
    if state.is_sealed() && !planted::is(Fault::WritesAfterTheSeal) {
        return Err(NotHere::Sealed);
    }
    Ok(())
}

/// The payload without the entries that are stable or of closed epochs. Dropping an entry raises the
/// epoch to that of this node: a node that is behind could not know why the entry may be missing. An
/// entry outlives the closing of its epoch while a removed member may return the write.
pub fn trimmed(state: &ReplicaState, stable: &VersionVector, payload: &Payload) -> Payload {
    let mut trimmed = payload.clone();
    if state.active == Epoch::NONE {
        return trimmed;
    }
    state.name_lost(&mut trimmed);
    let before = trimmed.entries.len();
    trimmed.entries.retain(|dot| {
        let is_over = || !state.is_still_named(dot) && !state.may_return(dot.log);
        !(stable.includes(dot) || is_over() || state.is_past(dot))
    });
    if trimmed.entries.len() < before {
        trimmed.epoch = trimmed.epoch.max(state.active);
    }
    trimmed
}

fn owned_region(state: &ReplicaState, slot: Slot) -> Result<&Region, NotHere> {
    if !state.is_member() {
        return Err(NotHere::NotOwner);
    }
    state.region_of(slot).ok_or(NotHere::NotOwner)
}

/// True if all writes of the log up to `dot` that concern the read are here (I7).
fn is_covered(state: &ReplicaState, region: &Region, dot: Dot, scope: Scope<'_>) -> bool {
    if !state.has(dot.log.epoch) {
        return state.is_through_with(region, dot.log.epoch, scope);
    }
    if state.is_closed(dot.log.epoch) && state.is_of_later_run(dot) {
        return !state.awaits_later_run(region, dot);
    }
    let Some(then) = state.views.get(&dot.log.epoch) else {
        return is_covered_of_closed(state, region, dot, scope);
    };
    let Some(writer) = then.member_by_id(dot.log.member) else {
        return is_given_up(state, region, dot, scope);
    };
    let partition = then.partition_of_node(&writer.node);
    if !partition.is_some_and(|partition| scope.was_owned_by(partition, then)) {
        return true;
    }
    let held = if dot.log.epoch == state.active {
        &state.vector
    } else {
        &region.coverage
    };
    let is_waved_through = dot.log.epoch < state.active && planted::is(Fault::OldLogsCovered);
    held.includes(dot) || is_waved_through || is_given_up(state, region, dot, scope)
}

/// The same for a log of a closed epoch, whose view may be forgotten. The removals of members that may return
/// more of it say which slots it concerns. A log that no removal names is unknown, so not covered.
fn is_covered_of_closed(state: &ReplicaState, region: &Region, dot: Dot, scope: Scope<'_>) -> bool {
    let concerns = state.holders_of(dot.log).any(|(_, slots)| scope.meets(slots));
    let is_known = state.may_return(dot.log);
    is_known && (!concerns || region.coverage.includes(dot) || is_given_up(state, region, dot, scope))
}

/// True if the log's member is not listed any more and every member that could bring the log has handed
/// over: writes that no member holds must not block readers for ever. A removed member can bring the log
/// until it has returned what it holds of the slots that are read.
fn is_given_up(state: &ReplicaState, region: &Region, dot: Dot, scope: Scope<'_>) -> bool {
    let mut holders = state.holders_of(dot.log).filter(|(_, slots)| scope.meets(slots));
    let may_return = holders.any(|(holder, _)| state.is_awaited(region, holder));
    !state.lists(dot.log.member)
        && (!may_return || planted::is(Fault::RemovedNotAwaited))
        && state.has_heard_all(region)
        && !planted::is(Fault::NeverGivesUp)
}

/// The payload that goes with a reply: all that the client depended on, and the records it was shown (I3).
pub fn answer<'a>(
    state: &ReplicaState,
    stable: &VersionVector,
    payload: &Payload,
    shown: impl IntoIterator<Item = &'a Record>,
) -> Payload {
    let mut answer = payload.clone();
    answer.raise_epoch(state.active);
    for record in shown {
        // A record is in the map shortly before the state of its epoch is published.
        answer.raise_epoch(record.dot().log.epoch);
        // Above the record's own timestamp, so that a read's payload is above that of the write it returned.
        answer.timestamp = answer.timestamp.max(record.timestamp().next());
        answer.entries.raise(record.dot());
        for dependency in record
            .dependencies()
            .filter(|dot| state.may_be_dependency(*dot) || planted::is(Fault::ForgedShown))
            .filter(|_| !planted::is(Fault::DependenciesLeftOut))
        {
            answer.entries.raise(dependency);
        }
    }
    trimmed(state, stable, &answer)
}

impl ReplicaState {
    /// True if the tombstone may be dropped (I4): every member of its partition holds it, every earlier
    /// epoch is closed, and no view is under way whose copies might bring an older version. The caller
    /// checks its age.
    pub fn may_forget(&self, stable: &VersionVector, tombstone: &Record) -> bool {
        let dot = tombstone.dot();
        let settled = dot.log.epoch < self.closed.below || stable.includes(dot);
        settled && self.is_settled()
    }

    /// True if every earlier epoch is closed and no view change is known to be under way.
    pub fn is_settled(&self) -> bool {
        let quiet = self.newest().is_some_and(|view| view.epoch == self.active) && !self.is_sealed();
        quiet && self.closed.below == self.active || planted::is(Fault::StableTombstoneDropped)
    }

    /// The first epoch of which this member may still lack or keep something.
    pub fn done_below(&self) -> Epoch {
        let is_done = |epoch: &Epoch| {
            self.regions
                .iter()
                .all(|region| self.is_done_with(*epoch, region))
        };
        let keeps = !self.kept.is_empty() && !planted::is(Fault::KeptClosed);
        if !self.is_ready() || self.active == Epoch::NONE || keeps {
            return self.closed.below;
        }
        let mut done = self.closed.below;
        while done < self.active && is_done(&done) {
            done = self
                .view()
                .map_or(self.active, |view| view.epoch_at(done.number() + 1));
        }
        done
    }

    fn is_done_with(&self, epoch: Epoch, region: &Region) -> bool {
        let Some(view) = self.views.get(&epoch) else {
            return true;
        };
        let mut logs = owners_of(view, &region.slots).map(|member| Log {
            epoch,
            member: member.id(),
        });
        // The giver of the slots may have counted a closing that no other member learned of before the giver
        // left. Then its coverage had no entry for this epoch, and no other member will provide one.
        logs.all(|log| is_end(region.coverage.number(log))) || self.has_heard_all(region)
    }
}
