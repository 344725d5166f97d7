//! Retires slots that moved away: asks their owners whether they have everything, and drops what all of
//! them confirm. A node that is no member any more returns the rest as new writes and begins another life.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::names::{Incarnation, Member, MemberId, NodeId};
use crate::node::commit::handle::log_unstored;
use crate::node::limits::{ASK_LIMIT, PUSH_LIMIT};
use crate::node::view_change::ViewChanges;
use crate::protocol::causality::Record;
use crate::protocol::placement::{LeftBehind, SlotSet, View};
use crate::protocol::replication::{Confirm, Kept, NoReturn, Return, pages};
use crate::wire::peer::{Answer, Question, Returned};

/// How soon owners are asked again, at first and at most.
pub(crate) const KEEP_PAUSE: Duration = Duration::from_millis(50);
pub(crate) const KEEP_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a removed node waits for the owners' confirmations before it returns what it keeps.
const RETURN_AFTER: Duration = Duration::from_secs(2);

/// How long one page of returned records may take.
const RETURN_LIMIT: Duration = Duration::from_secs(2);

/// About how many records one commit drops: a write that waits behind it must not notice.
const DROP_RECORDS: usize = 1024;

/// The same at a node that is no member any more, where no write waits.
pub(crate) const DROP_RECORDS_AT_THE_END: usize = 16 * 1024;

impl ViewChanges {
    /// Drops slots that moved away as their owners confirm them, for as long as the epoch lasts (I12).
    pub(crate) async fn clean_up(self: Arc<Self>) {
        let mut pause = KEEP_PAUSE;
        loop {
            let state = self.shared.me.state();
            let Some(view) = state.view().filter(|_| !state.kept.is_empty()).cloned() else {
                return;
            };
            // During a view change the disk is busy with the copy.
            if !state.is_between_views() {
                self.drop_confirmed(&view, &SlotSet::all()).await;
            }
            sleep(pause).await;
            pause = KEEP_PAUSE_MAX.min(2 * pause);
        }
    }

    /// Sees this node off when it is no member any more: hands what it keeps to the owners, and begins
    /// another life when nothing is left.
    pub(crate) async fn see_off(self: Arc<Self>) {
        let began = Instant::now();
        let mut pause = KEEP_PAUSE;
        tracing::info!("no longer a member; handing over the records that are left");
        loop {
            self.look_for_newer_views().await;
            let state = self.shared.me.state();
            let Some(view) = state.newest().cloned() else {
                return;
            };
            if state.kept.is_empty() {
                self.leave().await;
            } else {
                self.drop_confirmed(&view, &SlotSet::all()).await;
                if began.elapsed() >= RETURN_AFTER {
                    self.return_kept(&view).await;
                }
            }
            sleep(pause).await;
            pause = KEEP_PAUSE_MAX.min(2 * pause);
        }
    }

    /// Ends this life, if nothing of it is left here.
    pub(crate) async fn leave(&self) {
        let life = Member {
            node: self.shared.me.node.clone(),
            incarnation: Incarnation {
                started_ms: self.shared.me.wall_ms(),
                random: self.shared.me.world.random(),
            },
        };
        let name = MemberId(self.shared.me.world.random());
        log_unstored("another life", self.shared.commit.leave(life, name).await);
    }

    /// Learns newer views from a member of the newest view that is known here.
    pub(crate) async fn look_for_newer_views(&self) {
        let state = self.shared.me.state();
        let Some(view) = state.newest() else { return };
        for member in view.members().filter(|member| member.node != self.shared.me.node) {
            if let Ok(Answer::Met { known, .. }) = self
                .shared
                .peers
                .call(&member.node, Question::Meet, ASK_LIMIT)
                .await
            {
                self.learn(known).await;
                return;
            }
        }
    }

    /// Goes through what is kept of some slots piece by piece: asks, and drops at once what is confirmed.
    pub(crate) async fn drop_confirmed(&self, view: &View, slots: &SlotSet) {
        let serves = !self.shared.me.state().is_leaving();
        let records = if serves {
            DROP_RECORDS
        } else {
            DROP_RECORDS_AT_THE_END
        };
        let kept = self.shared.me.state().kept_slots().intersection(slots);
        for slots in self.pieces_of(&kept, records) {
            let confirmed = self.confirmed_by_all(view, &slots).await;
            if confirmed.is_empty() {
                continue;
            }
            let began = Instant::now();
            self.drop_kept(view, confirmed).await;
            // Clients come first: rest for as long as the drop took.
            if serves {
                sleep(began.elapsed()).await;
            }
        }
    }

    async fn drop_kept(&self, view: &View, slots: SlotSet) {
        log_unstored(
            "what is dropped",
            self.shared.commit.drop_kept(view.epoch, slots).await,
        );
    }

    /// Splits slots into pieces of about `records` records.
    pub(crate) fn pieces_of(&self, slots: &SlotSet, records: usize) -> Vec<SlotSet> {
        let mut pieces = Vec::new();
        let (mut piece, mut in_piece) = (SlotSet::default(), 0);
        for slot in slots.iter() {
            piece.insert(slot);
            in_piece += self.shared.resident.len_of(slot);
            if in_piece >= records {
                pieces.push(std::mem::take(&mut piece));
                in_piece = 0;
            }
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
        pieces
    }

    /// The slots that every other node of their partition confirms. A node that is not up confirms nothing,
    /// and in a partition without another node no slot is confirmed.
    async fn confirmed_by_all(&self, view: &View, slots: &SlotSet) -> SlotSet {
        let mut all = SlotSet::default();
        for (partition, nodes) in view.partitions() {
            let mut confirmed = view.slots_of_partition(partition).intersection(slots);
            let others: Vec<&NodeId> = nodes
                .iter()
                .filter(|node| **node != self.shared.me.node)
                .collect();
            if others.is_empty() {
                continue;
            }
            for node in others {
                confirmed = match view.member(node).filter(|_| !confirmed.is_empty()) {
                    Some(owner) => confirmed.intersection(&self.confirmed_by(&owner, view, slots).await),
                    None => SlotSet::default(),
                };
            }
            all = all.union(&confirmed);
        }
        all
    }

    pub(crate) async fn confirmed_by(&self, owner: &Member, view: &View, slots: &SlotSet) -> SlotSet {
        let mut confirm: Confirm = self.shared.me.state().ask_to_confirm(view.epoch);
        confirm.kept = part_of(&confirm.kept, slots);
        let question = Question::Confirm(confirm);
        match self.shared.peers.call_member(owner, question, ASK_LIMIT).await {
            Ok(Answer::Confirmed(confirmed)) => confirmed,
            _ => SlotSet::default(),
        }
    }

    /// Returns what is kept to one owner of each partition, page by page.
    async fn return_kept(&self, view: &View) {
        for (partition, _) in view.partitions() {
            let slots = view
                .slots_of_partition(partition)
                .intersection(&self.shared.me.state().kept_slots());
            if slots.is_empty() {
                continue;
            }
            for owner in self.owners_to_ask(view.members_of(partition).collect()) {
                match self.return_to(&owner, &slots).await {
                    Some(Returned::Settled) => {
                        self.drop_kept(view, slots).await;
                        break;
                    }
                    Some(Returned::TooLate) => {
                        self.formation.note_too_late();
                        break;
                    }
                    Some(Returned::NotYet) => break,
                    None => {}
                }
            }
        }
    }

    /// Returns all records of some slots to an owner. None if the owner does not take them.
    pub(crate) async fn return_to(&self, owner: &Member, slots: &SlotSet) -> Option<Returned> {
        let mut records = Vec::new();
        self.shared
            .resident
            .for_each_in(slots.iter(), |record| records.push(record.clone()));
        let kept = part_of(&self.shared.me.state().kept, slots);
        self.return_records(owner, None, records, slots, kept).await
    }

    /// Returns records of some slots to an owner, page by page, and with the last page says what was kept.
    pub(crate) async fn return_records(
        &self,
        owner: &Member,
        left: Option<&LeftBehind>,
        mut records: Vec<Record>,
        slots: &SlotSet,
        kept: Vec<Kept>,
    ) -> Option<Returned> {
        // Each page arrives before the next, and causes are older than their effects. So no reader sees one
        // of these records without those of its causes that are among them.
        records.sort_unstable_by_key(Record::timestamp);
        let mut outcome = Returned::Settled;
        let pages = pages(records);
        let last = pages.len() - 1;
        let ask = async |records, kept| {
            let (left, slots) = (left.cloned(), slots.clone());
            let claimed = self.shared.me.state().claimed.clone();
            if *owner == self.shared.me.member() {
                let from = owner.clone();
                let returned = Return {
                    from,
                    left,
                    records,
                    slots,
                    kept,
                    claimed,
                };
                return match self.answer_return(returned).await {
                    Answer::Returned(returned) => Some(returned),
                    _ => None,
                };
            }
            let question = Question::Return {
                left,
                records,
                slots,
                kept,
                claimed,
            };
            match self.shared.peers.call_member(owner, question, RETURN_LIMIT).await {
                Ok(Answer::Returned(returned)) => Some(returned),
                _ => None,
            }
        };
        for (number, records) in pages.into_iter().enumerate() {
            let is_last = number == last;
            match ask(records, if is_last { kept.clone() } else { Vec::new() }).await? {
                Returned::Settled => {}
                Returned::NotYet => outcome = Returned::NotYet,
                // An owner that is not told what else is lost would wait for it for ever.
                Returned::TooLate if !is_last => return ask(Vec::new(), kept).await,
                Returned::TooLate => return Some(Returned::TooLate),
            }
        }
        Some(outcome)
    }

    pub(crate) async fn answer_confirm(&self, confirm: Confirm) -> Answer {
        let state = self.shared.me.state();
        let confirmed = state.confirms(&confirm);
        let is_member = state.view().is_some_and(|view| view.is_member(&confirm.keeper));
        if is_member || confirmed.is_empty() {
            return Answer::Confirmed(confirmed);
        }
        // A removed keeper drops what is confirmed and tells no other node: note it before the keeper does.
        self.shared.commit.confirm(confirm).await
    }

    /// Takes returned records, and waits up to `PUSH_LIMIT` for the siblings to have them too.
    pub(crate) async fn answer_return(&self, returned: Return) -> Answer {
        let (from, line) = (
            returned.from.node.clone(),
            returned.left.as_ref().map(|left| left.epoch),
        );
        match self.shared.commit.adopt(returned).await {
            Ok(()) => {}
            Err(NoReturn::TooLate) => return Answer::Returned(Returned::TooLate),
            Err(NoReturn::NotNow) => {
                // The disk may have been full when the two lines of views met.
                let state = self.shared.me.state();
                if line.is_some_and(|epoch| !state.has(epoch) && !state.lost.contains_key(&epoch)) {
                    self.shared.me.may_know_newer(&from);
                }
                return Answer::NotTaken;
            }
        }
        let deadline = Instant::now() + PUSH_LIMIT;
        let held = self.shared.me.state().vector.clone();
        while !self.shared.acks.is_held_by_all(&held) {
            if Instant::now() >= deadline {
                return Answer::Returned(Returned::NotYet);
            }
            sleep(Duration::from_millis(5)).await;
        }
        Answer::Returned(Returned::Settled)
    }
}

pub(crate) fn part_of(kept: &[Kept], slots: &SlotSet) -> Vec<Kept> {
    let part = kept.iter().map(|one| Kept {
        slots: one.slots.intersection(slots),
        ..one.clone()
    });
    part.filter(|one| !one.slots.is_empty()).collect()
}
