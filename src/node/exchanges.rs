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
use super::jobs::{Job, NotStored};
use super::link::CallError;
use crate::causality::{Record, VersionVector};
use crate::names::{Epoch, Member, NodeId, SLOTS, Slot};
use crate::replication::{Ask, NoExchange};
use crate::wire::peer::{Answer, Declined, Question};

/// How often siblings exchange when nothing hurries them.
pub(super) const EXCHANGE_PAUSE: Duration = Duration::from_secs(1);

/// A page holds this much at the most, plus one record.
const PAGE_BYTES: usize = 1024 * 1024;

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

fn pages(records: Vec<Record>) -> Vec<Page> {
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
    /// rings because it answers again or because somebody misses what it has.
    pub(super) async fn exchange_with(self: Arc<Self>, sibling: Member) {
        let bell = self.me.bell(&sibling.node);
        loop {
            tokio::select! {
                biased;
                () = bell.notified() => {}
                () = sleep(EXCHANGE_PAUSE) => {}
            }
            let ask = self.me.facts().ask_steady();
            if let Err(reason) = self.exchange(&sibling.node, ask).await {
                tracing::debug!(sibling = %sibling.node, %reason, "exchange failed");
                sleep(super::ASK_LIMIT / 5).await;
            }
        }
    }

    /// One exchange: asks, fetches every page, and makes all of it valid in one commit.
    pub(super) async fn exchange(&self, giver: &NodeId, ask: Ask) -> Result<(), ExchangeError> {
        let question = Question::Exchange(ask.clone());
        let answer = self.peers.call(giver, question, PAGE_LIMIT).await?;
        let Answer::Exchanged {
            given,
            mut records,
            ticket,
            pages,
        } = answer
        else {
            return Err(ExchangeError::Declined);
        };
        for page in 1..pages {
            match self
                .peers
                .call(giver, Question::Page { ticket, page }, PAGE_LIMIT)
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
    pub(super) fn copy_page(&self, taker: &Member, target: Epoch, from_slot: u16) -> Answer {
        let facts = self.me.facts();
        let view = facts.views.get(&target).filter(|view| view.is_member(taker));
        let Some(view) = view.filter(|_| facts.active < target) else {
            return Answer::Declined(Declined::Gone);
        };
        let coming = view.slots_of_node(&taker.node);
        let mut holds = VersionVector::default();
        for region in facts
            .regions
            .iter()
            .filter(|region| !region.slots.intersection(&coming).is_empty())
        {
            holds.merge(&facts.holds(region));
        }
        let mut records = Vec::new();
        let mut bytes = 0;
        for slot in (from_slot..SLOTS).map(Slot).filter(|slot| coming.contains(*slot)) {
            if bytes >= PAGE_BYTES {
                return Answer::Copied {
                    records,
                    holds,
                    next_slot: Some(slot.0),
                };
            }
            if facts.region_of(slot).is_some() {
                let before = records.len();
                records.extend(self.resident.records_in(slot));
                bytes += records[before..]
                    .iter()
                    .map(|record| record.as_block().len())
                    .sum::<usize>();
            }
        }
        Answer::Copied {
            records,
            holds,
            next_slot: None,
        }
    }
}
