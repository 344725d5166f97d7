//! Exchanges on the way: asking siblings for what is missing, and giving what they ask for, in pages
//! that fit into frames.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::Node;
use super::jobs::{Job, NotStored, Round};
use super::link::CallError;
use crate::causality::Record;
use crate::names::{Epoch, Member, SLOTS};
use crate::placement::SlotSet;
use crate::replication::{Ask, NoExchange};
use crate::wire::peer::{Answer, Declined, Question};

/// How often siblings exchange when nothing hurries them.
pub(super) const EXCHANGE_PAUSE: Duration = Duration::from_secs(1);

/// A page holds this much at the most, plus one record; of a copy, plus one slot. It is stored in one
/// commit, and writes wait behind it.
const PAGE_BYTES: usize = 256 * 1024;

/// The time for one page.
const PAGE_LIMIT: Duration = Duration::from_secs(2);

/// Pages that nobody fetches are dropped.
const TICKET_LIMIT: Duration = Duration::from_secs(30);

/// Why an exchange brought nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the giver declined")]
    Declined,
    #[error("what came could not be stored")]
    NotStored,
}

/// Records that fit into one frame.
type Page = Vec<Record>;

/// Answers to exchanges whose later pages have not been fetched.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, (Instant, Vec<Page>)>>,
}

impl Tickets {
    /// Keeps the later pages, and says by which ticket they are fetched.
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

pub(super) fn pages(records: Vec<Record>) -> Vec<Page> {
    let mut pages = vec![Vec::new()];
    let mut bytes = 0;
    for record in records {
        if bytes >= PAGE_BYTES {
            pages.push(Vec::new());
            bytes = 0;
        }
        bytes += record.as_block().len();
        pages.last_mut().expect("begins with one page").push(record);
    }
    pages
}

impl Node {
    /// Exchanges with one sibling for as long as the epoch lasts: every second, and whenever its bell
    /// rings because it answers again or because somebody misses what it has. With a past owner of our
    /// slots that is no sibling, until it has given what it kept of them.
    pub(super) async fn exchange_with(self: Arc<Self>, sibling: Member, is_sibling: bool) {
        let bell = self.me.bell(&sibling.node);
        loop {
            tokio::select! {
                biased;
                () = bell.notified() => {}
                () = sleep(EXCHANGE_PAUSE) => {}
            }
            let ask = self.me.facts().ask_steady();
            if let Err(reason) = self.exchange(&sibling, ask, None).await {
                tracing::debug!(sibling = %sibling.node, %reason, "exchange failed");
                sleep(super::ASK_LIMIT / 5).await;
            }
            if !is_sibling && !self.me.facts().has_not_heard(sibling.id()) {
                return;
            }
        }
    }

    /// One exchange: asks, fetches every page, and makes all of it valid in one commit.
    /// A hand-over counts only in the `round` in which it is asked for. All pages come from one process
    /// of the giver: after a restart it gives the same ticket to another exchange.
    pub(super) async fn exchange(
        &self,
        giver: &Member,
        ask: Ask,
        round: Option<Round>,
    ) -> Result<(), ExchangeError> {
        let question = Question::Exchange(ask.clone());
        let (answer, boot) = self.peers.call_process_of(giver, question, PAGE_LIMIT).await?;
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
        let (reply, done) = oneshot::channel();
        self.enqueue(Job::Take {
            ask,
            given,
            records,
            round,
            reply,
        })
        .await;
        match done.await {
            Ok(Ok(())) => {
                self.acks.acknowledged(epoch, member, &held, false);
                Ok(())
            }
            Ok(Err(NotStored::NoExchange(NoExchange::Stale))) | Ok(Err(_)) | Err(_) => {
                Err(ExchangeError::NotStored)
            }
        }
    }

    pub(super) async fn give(&self, ask: Ask) -> Answer {
        let (reply, given) = oneshot::channel();
        self.enqueue(Job::Give { ask, reply }).await;
        let Ok(Ok((given, records))) = given.await else {
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

    pub(super) fn page(&self, ticket: u64, page: u32) -> Answer {
        match self.tickets.page(ticket, page) {
            Some(records) => Answer::Records(records),
            None => Answer::Declined(Declined::Gone),
        }
    }

    /// A block of a copy: records of the slots that the asker gains, from `from_slot` on, and what was
    /// held before the first of them was read. Read beside the committer: whatever changes meanwhile is
    /// in the hand-over that ends the copy.
    pub(super) fn copy_page(&self, taker: &Member, target: Epoch, slots: &SlotSet, from_slot: u16) -> Answer {
        let activations = self.me.activations();
        let copied = self.me.facts().offer_copy(taker, target);
        if copied.is_empty() {
            return Answer::Declined(Declined::Gone);
        }
        let ours = copied
            .iter()
            .fold(SlotSet::default(), |all, one| all.union(&one.slots));
        #[cfg(test)]
        super::interleaved::happen_now();
        let (mut records, mut bytes, mut next_slot) = (Vec::new(), 0, None);
        let mut rest = slots.intersection(&ours);
        for slot in slots
            .intersection(&ours)
            .iter()
            .filter(|slot| slot.0 >= from_slot)
        {
            if bytes >= PAGE_BYTES {
                next_slot = Some(slot.0);
                break;
            }
            let before = records.len();
            records.extend(self.resident.records_in(slot));
            bytes += bytes_of(&records[before..]);
        }
        // Slots that were dropped meanwhile were not empty.
        if self.me.activations() != activations {
            return Answer::Declined(Declined::Gone);
        }
        rest = rest.from(next_slot.unwrap_or(SLOTS));
        let to_go: usize = rest.iter().map(|slot| self.resident.len_of(slot)).sum();
        Answer::Copied {
            records,
            copied,
            next_slot,
            keys_to_go: u64::try_from(to_go).unwrap_or(u64::MAX),
        }
    }

    /// Of which of these slots this node can do without the others, and how many keys they have.
    pub(super) fn holdings(&self, slots: &SlotSet) -> Answer {
        let facts = self.me.facts();
        let ready = facts.slots_held_alone().intersection(slots);
        let mut keys = 0;
        self.resident
            .for_each_in(ready.iter(), |record| keys += u64::from(!record.is_tombstone()));
        Answer::Holdings { ready, keys }
    }
}

fn bytes_of(records: &[Record]) -> usize {
    records.iter().map(|record| record.as_block().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::{Timestamp, VersionVector};
    use crate::names::{Dot, Epoch, Key, Log, MemberId};

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
}
