//! The leftovers of earlier lives of this node: laid aside when a life ends, and handed over by the next one.
//!
//! Apart from `retire`, because a member that leaves in good order hands over its records while it has its
//! name. Here the name is gone, and the records come back as new writes of their takers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::names::{Member, MemberId, Slot};
use crate::node::commit::handle::log_unstored;
use crate::node::view_change::ViewChanges;
use crate::node::view_change::retire::{DROP_RECORDS_AT_THE_END, KEEP_PAUSE, KEEP_PAUSE_MAX, part_of};
use crate::protocol::causality::Record;
use crate::protocol::placement::{SlotSet, View};
use crate::protocol::replication::{Ending, Leftover};
use crate::wire::peer::Returned;

/// Bytes laid aside in one commit; the last slot may exceed it.
const LAID_ASIDE_BYTES: usize = 8 * 1024 * 1024;

/// The records that were laid aside, in pages as on disk.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    by_number: Mutex<BTreeMap<u64, Vec<Record>>>,
    /// Another life has begun, which may have something to hand over.
    pub(crate) arrived: Notify,
}

impl Pages {
    pub(crate) fn new(by_number: BTreeMap<u64, Vec<Record>>) -> Self {
        Self {
            by_number: Mutex::new(by_number),
            arrived: Notify::new(),
        }
    }

    /// Applies what a commit laid aside and dropped.
    pub(crate) fn change(&self, laid_aside: Vec<(u64, Vec<Record>)>, dropped: Range<u64>) {
        if laid_aside.is_empty() && dropped.is_empty() {
            return;
        }
        let mut by_number = self.by_number.lock();
        by_number.extend(laid_aside);
        by_number.retain(|number, _| !dropped.contains(number));
    }

    /// The records of some slots on these pages.
    fn records(&self, pages: &Range<u64>, slots: &SlotSet) -> Vec<Record> {
        let by_number = self.by_number.lock();
        let records = by_number.range(pages.clone()).flat_map(|(_, page)| page);
        records
            .filter(|record| slots.contains(record.slot()))
            .cloned()
            .collect()
    }

    /// How many records wait to be handed over.
    pub(crate) fn len(&self) -> usize {
        self.by_number.lock().values().map(Vec::len).sum()
    }
}

/// How much of what one life left behind has been handed over since this process started.
#[derive(Debug, Default)]
struct Handed {
    slots: SlotSet,
    /// Some of it was refused as too late.
    too_late: bool,
}

impl ViewChanges {
    /// This life has ended: lays aside what it has, piece by piece, and begins another.
    pub(crate) async fn lay_aside(self: Arc<Self>) {
        match self.shared.me.state().ended {
            Some(Ending::WentBack) => tracing::error!(
                "this disk went back in time: it is an older copy, or its end is missing; \
                 the node begins another life, and hands over what only this disk has"
            ),
            _ => tracing::warn!(
                "this node followed a line of views that was given up; it begins another life, and hands over \
                 what was written there"
            ),
        }
        let mut pause = KEEP_PAUSE;
        loop {
            for slots in self.occupied_pieces() {
                log_unstored("records laid aside", self.shared.commit.lay_aside(slots).await);
            }
            // Also ends this task, unless the disk refuses.
            self.leave().await;
            sleep(pause).await;
            pause = KEEP_PAUSE_MAX.min(2 * pause);
        }
    }

    /// The slots that have records, in pieces that each about fill a commit.
    fn occupied_pieces(&self) -> Vec<SlotSet> {
        let mut pieces = vec![SlotSet::default()];
        let (mut records, mut bytes) = (0, 0);
        for slot in Slot::all() {
            if self.shared.resident.len_of(slot) == 0 {
                continue;
            }
            if records >= DROP_RECORDS_AT_THE_END || bytes >= LAID_ASIDE_BYTES {
                pieces.push(SlotSet::default());
                (records, bytes) = (0, 0);
            }
            pieces.last_mut().expect("begins with one piece").insert(slot);
            self.shared.resident.for_each_in([slot], |record| {
                records += 1;
                bytes += record.as_block().len();
            });
        }
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    /// Hands over what earlier lives left behind, for as long as the node runs.
    pub(crate) async fn hand_over_left_behind(self: Arc<Self>) {
        let mut handed: BTreeMap<MemberId, Handed> = BTreeMap::new();
        let mut pause = KEEP_PAUSE;
        loop {
            let state = self.shared.me.state();
            let is_through = |leftover: &Leftover| {
                handed
                    .get(&leftover.left.name)
                    .is_some_and(|handed| handed.too_late)
            };
            if state.leftovers.iter().all(is_through) {
                self.pages.arrived.notified().await;
                pause = KEEP_PAUSE;
                continue;
            }
            if state.ended.is_none() {
                for leftover in &state.leftovers {
                    self.hand_over(leftover, handed.entry(leftover.left.name).or_default())
                        .await;
                }
            }
            sleep(pause).await;
            pause = KEEP_PAUSE_MAX.min(2 * pause);
        }
    }

    /// Hands a leftover to one owner of each partition, this node included. That owner has it before its
    /// siblings do.
    async fn hand_over(&self, leftover: &Leftover, handed: &mut Handed) {
        let Some(view) = self.shared.me.state().newest().cloned() else {
            return;
        };
        let name = leftover.left.name;
        if !view.removed.contains_key(&name) {
            self.announce(&view).await;
        }
        let kept = leftover.of_all_slots();
        let mut is_late = false;
        for (partition, _) in view.partitions() {
            let slots = view.slots_of_partition(partition).difference(&handed.slots);
            if slots.is_empty() {
                continue;
            }
            let records = self.pages.records(&leftover.pages, &slots);
            for owner in self.owners_to_ask(view.members_of(partition).collect()) {
                let kept = part_of(&kept, &slots);
                let left = Some(&leftover.left);
                match self
                    .return_records(&owner, left, records.clone(), &slots, kept)
                    .await
                {
                    Some(Returned::Settled) => handed.slots = handed.slots.union(&slots),
                    Some(Returned::TooLate) => {
                        is_late = true;
                        handed.slots = handed.slots.union(&slots);
                    }
                    Some(Returned::NotYet) => {}
                    None => continue,
                }
                break;
            }
        }
        handed.too_late |= is_late;
        if is_late {
            self.formation.note_too_late();
        }
        if handed.slots == SlotSet::all() && !handed.too_late {
            tracing::info!("what an earlier life left behind is handed over");
            log_unstored("what is handed over", self.shared.commit.handed_over(name).await);
        }
    }

    /// The owners in the order to ask: this node first, unreachable ones last. Those are asked too: where
    /// no view lists this node, only a call shows that they are back.
    pub(crate) fn owners_to_ask(&self, mut owners: Vec<Member>) -> Vec<Member> {
        let me = self.shared.me.member();
        owners.retain(|owner| *owner == me || owner.node != me.node);
        owners.sort_by_key(|owner| (*owner != me, self.shared.peers.is_away(&owner.node)));
        owners
    }

    /// Has a view note that leftovers are to come back.
    async fn announce(&self, view: &View) {
        let me = self.shared.me.member();
        for member in view.members() {
            let is_noted = if member == me {
                self.answer_admit(&me, self.shared.me.state().left_behind());
                true
            } else {
                member.node != me.node && self.ask_to_admit(&member).await
            };
            if is_noted {
                return;
            }
        }
    }
}
