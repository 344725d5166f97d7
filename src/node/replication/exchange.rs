//! Exchanges with siblings: asks for missing records, and gives records in pages that fit into frames.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::names::{Epoch, Member, SLOTS, Slot};
use crate::node::peers::link::CallError;
use crate::node::replication::Replication;
use crate::protocol::causality::Record;
use crate::protocol::placement::SlotSet;
use crate::protocol::replication::{ChangeAttempt, ExchangeRequest, PAGE_BYTES, Page, pages};
use crate::wire::peer::{Answer, CopyPlace, Declined, Question};

/// How often siblings exchange when no bell rings.
pub(crate) const EXCHANGE_PAUSE: Duration = Duration::from_secs(1);

/// The time limit for one page.
const PAGE_LIMIT: Duration = Duration::from_secs(2);

/// Pages that the taker does not fetch within this time are dropped.
const TICKET_LIMIT: Duration = Duration::from_secs(30);

/// Why an exchange failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the giver declined")]
    Declined,
    #[error("the received records could not be stored")]
    NotStored,
}

/// Answers to exchanges whose later pages have not been fetched.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, (Instant, Vec<Page>)>>,
}

impl Tickets {
    /// Keeps the later pages, and returns the ticket for fetching them.
    fn keep(&self, later: Vec<Page>) -> u64 {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        if !later.is_empty() {
            let mut open = self.open.lock();
            open.retain(|_, (since, _)| since.elapsed() < TICKET_LIMIT);
            open.insert(ticket, (Instant::now(), later));
        }
        ticket
    }

    fn page(&self, ticket: u64, page: u32) -> Option<Vec<Record>> {
        let mut open = self.open.lock();
        let (_, pages) = open.get(&ticket)?;
        let index = usize::try_from(page).ok()?.checked_sub(1)?;
        let records = pages.get(index)?.clone();
        if index + 1 == pages.len() {
            open.remove(&ticket);
        }
        Some(records)
    }
}

impl Replication {
    /// Exchanges with one sibling for as long as the epoch lasts: every second, and whenever its bell
    /// rings because it answers again or has something that is missing here. With a past owner of our
    /// slots that is no sibling, exchanges until it has given what it kept of them.
    pub(crate) async fn exchange_with(self: Arc<Self>, sibling: Member, is_sibling: bool) {
        let bell = self.shared.me.bell(&sibling.node);
        loop {
            tokio::select! {
                biased;
                () = bell.notified() => {}
                () = sleep(EXCHANGE_PAUSE) => {}
            }
            let ask = self.shared.me.state().ask_steady();
            if let Err(reason) = self.exchange(&sibling, ask, None).await {
                tracing::debug!(sibling = %sibling.node, %reason, "exchange failed");
                sleep(crate::node::limits::ASK_LIMIT / 5).await;
            }
            if !is_sibling && !self.shared.me.state().has_not_heard(sibling.id()) {
                return;
            }
        }
    }

    /// Asks, fetches every page, and makes all of it valid in one commit. A hand-over counts only in the
    /// `attempt` that asked for it. All pages come from one process of the giver, because a restarted
    /// giver gives the same ticket to another exchange.
    pub(crate) async fn exchange(
        &self,
        giver: &Member,
        ask: ExchangeRequest,
        attempt: Option<ChangeAttempt>,
    ) -> Result<(), ExchangeError> {
        let question = Question::Exchange(ask.clone());
        let (answer, boot) = self
            .shared
            .peers
            .call_process_of(giver, question, PAGE_LIMIT)
            .await?;
        let Answer::Exchanged {
            given,
            mut records,
            ticket,
            pages,
        } = answer
        else {
            return Err(ExchangeError::Declined);
        };
        if given.giver != *giver {
            return Err(ExchangeError::Declined);
        }
        for page in 1..pages {
            let question = Question::Page { ticket, page };
            match self
                .shared
                .peers
                .call_same_boot(&giver.node, boot, question, PAGE_LIMIT)
                .await?
            {
                Answer::Records(more) => records.extend(more),
                _ => return Err(ExchangeError::Declined),
            }
        }
        let member = given.giver.id();
        let (epoch, held) = (given.active, given.vector.clone());
        let taken = self.shared.commit.take(ask, given, records, attempt).await;
        taken.map_err(|_| ExchangeError::NotStored)?;
        self.shared.acks.acknowledged(epoch, member, &held, false);
        Ok(())
    }

    pub(crate) async fn give(&self, ask: ExchangeRequest) -> Answer {
        let Some((given, records)) = self.shared.commit.give(ask).await else {
            return Answer::Declined(Declined::Gone);
        };
        let mut pages = pages(records);
        let count = u32::try_from(pages.len()).expect("fewer pages than records");
        let records = pages.remove(0);
        let ticket = self.tickets.keep(pages);
        Answer::Exchanged {
            given,
            records,
            ticket,
            pages: count,
        }
    }

    pub(crate) fn page(&self, ticket: u64, page: u32) -> Answer {
        match self.tickets.page(ticket, page) {
            Some(records) => Answer::Records(records),
            None => Answer::Declined(Declined::Gone),
        }
    }

    /// Gives a page of a copy: records of the slots that the taker gains, from a place on, and what was
    /// held before the first of them was read. It reads concurrently with the committer: later changes are
    /// in the hand-over that ends the copy.
    pub(crate) fn copy_page(
        &self,
        taker: &Member,
        target: Epoch,
        slots: &SlotSet,
        from: &CopyPlace,
    ) -> Answer {
        let activations = self.shared.me.activations();
        let copied = self.shared.me.state().offer_copy(taker, target);
        if copied.is_empty() {
            return Answer::Declined(Declined::Gone);
        }
        let ours = copied
            .iter()
            .fold(SlotSet::default(), |all, one| all.union(&one.slots));
        #[cfg(test)]
        crate::node::tests::interleaved::happen_now();
        let asked = slots.intersection(&ours);
        let (records, next) = copied_page(&asked, from, |slot| self.shared.resident.records_in(slot));
        // Slots that were dropped meanwhile look empty, but were not.
        if self.shared.me.activations() != activations {
            return Answer::Declined(Declined::Gone);
        }
        let rest = asked.from(next.as_ref().map_or(SLOTS, |next| next.slot));
        let to_go: usize = rest.iter().map(|slot| self.shared.resident.len_of(slot)).sum();
        Answer::Copied {
            records,
            copied,
            next,
            keys_to_go: u64::try_from(to_go).unwrap_or(u64::MAX),
        }
    }

    /// The part of these slots for which this node needs no other node, and how many keys it has.
    pub(crate) fn holdings(&self, slots: &SlotSet) -> Answer {
        let state = self.shared.me.state();
        let ready = state.slots_held_alone().intersection(slots);
        let mut keys = 0;
        self.shared
            .resident
            .for_each_in(ready.iter(), |record| keys += u64::from(!record.is_tombstone()));
        Answer::Holdings { ready, keys }
    }
}

/// The records of one page of a copy, and where the next page begins. A slot that does not fit into the
/// rest of the page is copied in the order of its keys. Whatever is written meanwhile on either side of
/// the place comes with the hand-over.
fn copied_page(
    slots: &SlotSet,
    from: &CopyPlace,
    records_in: impl Fn(Slot) -> Vec<Record>,
) -> (Vec<Record>, Option<CopyPlace>) {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for slot in slots.iter().filter(|slot| slot.0 >= from.slot) {
        let mut records = records_in(slot);
        if let Some(after) = from.after.as_deref().filter(|_| slot.0 == from.slot) {
            records.retain(|record| record.key() > after);
        }
        if bytes + bytes_of(&records) <= PAGE_BYTES {
            bytes += bytes_of(&records);
            page.append(&mut records);
            continue;
        }
        records.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        let mut after = from.after.clone().filter(|_| slot.0 == from.slot);
        for record in records {
            if bytes >= PAGE_BYTES {
                let slot = slot.0;
                return (page, Some(CopyPlace { slot, after }));
            }
            bytes += record.as_block().len();
            after = Some(record.key().to_owned());
            page.push(record);
        }
    }
    (page, None)
}

fn bytes_of(records: &[Record]) -> usize {
    records.iter().map(|record| record.as_block().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Dot, Epoch, Key, Log, MemberId};
    use crate::protocol::causality::{Timestamp, VersionVector};

    fn page(number: u64) -> Page {
        let log = Log {
            epoch: Epoch(1),
            member: MemberId(1),
        };
        let key = Key::new("k").expect("is a key");
        let dot = Dot { log, number };
        vec![Record::new(
            &key,
            None,
            dot,
            Timestamp(number),
            &VersionVector::default(),
        )]
    }

    #[test]
    fn each_exchange_has_pages_of_its_own_until_the_last_is_fetched() {
        let tickets = Tickets::default();
        let one = tickets.keep(vec![page(1), page(2)]);
        let other = tickets.keep(vec![page(3)]);
        assert_eq!(tickets.page(one, 1), Some(page(1)));
        assert_eq!(tickets.page(other, 1), Some(page(3)));
        assert_eq!(tickets.page(other, 1), None);
        assert_eq!(tickets.page(one, 2), Some(page(2)));
        assert_eq!(tickets.page(one, 1), None);
    }

    /// A slot of many long records among short ones: each page fits, and together the pages hold each
    /// record once, even while other records come and go.
    #[test]
    fn a_slot_longer_than_a_page_is_copied_in_pieces() {
        let record = |name: &str, bytes: usize| {
            let log = Log {
                epoch: Epoch(1),
                member: MemberId(1),
            };
            let (key, none) = (Key::new(name).expect("is a key"), VersionVector::default());
            let dot = Dot { log, number: 1 };
            Record::new(&key, Some(&vec![0; bytes]), dot, Timestamp(1), &none)
        };
        let name = |slot: Slot, number: usize| format!("{:05}-{number:03}", slot.0);
        let mut slots: BTreeMap<Slot, Vec<Record>> = BTreeMap::new();
        for (slot, count, bytes) in [(1, 3, 10), (2, 50, 40_000), (3, 2, 2 * PAGE_BYTES), (7, 1, 10)] {
            let records = (0..count).map(|number| record(&name(Slot(slot), number), bytes));
            // In no order, as in a table.
            slots.insert(Slot(slot), records.rev().collect());
        }
        let expected: Vec<String> = slots
            .values()
            .flatten()
            .map(|record| record.key().to_owned())
            .collect();
        let (mut next, mut copied, mut pages) = (Some(CopyPlace::default()), Vec::new(), 0);
        while let Some(from) = next.take() {
            let found = copied_page(&SlotSet::all(), &from, |slot| {
                slots.get(&slot).cloned().unwrap_or_default()
            });
            assert!(!found.0.is_empty(), "every page gets on");
            let but_the_last = &found.0[..found.0.len() - 1];
            assert!(bytes_of(but_the_last) < PAGE_BYTES);
            copied.extend(found.0.iter().map(|record| record.key().to_owned()));
            next = found.1;
            pages += 1;
            // Records that come and go meanwhile change nothing for the rest.
            let slot = slots.get_mut(&Slot(2)).expect("is there");
            slot.retain(|record| !record.key().ends_with('x'));
            slot.push(record(&format!("{}x", name(Slot(2), pages)), 10));
        }
        copied.retain(|name| !name.ends_with('x'));
        copied.sort_unstable();
        let mut all = expected;
        all.sort_unstable();
        assert_eq!(copied, all);
        assert!(pages >= 10, "{pages}");
    }
}
