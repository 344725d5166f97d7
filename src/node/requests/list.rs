//! Lists keys in order over all partitions, a page at a time.
//!
//! All partitions are asked at once for the first keys of their slots. The page is what all of them listed
//! up to the least of their ends. An owner answers for a slot as it would answer a read in it: a former
//! owner declines, and the current one is asked. So a key that was there throughout is on some page,
//! whatever the view does. Each partition is read by itself, so a page is no snapshot: it may have an
//! effect without its cause on another partition. A later read that carries the page's payload sees both.

use std::borrow::Cow;
use std::ops::Bound;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::names::{Key, NodeId, PartitionId};
use crate::node::limits::{LIST_LIMIT, PATIENCE};
use crate::node::outcome::{Refusal, declined};
use crate::node::requests::Requests;
use crate::node::requests::room::Room;
use crate::protocol::causality::{Payload, Record};
use crate::protocol::placement::SlotSet;
use crate::protocol::replication::{NotHere, answer, may_list};
use crate::wire::peer::{Answer, Declined, Item, Listing, Question};

/// The most keys on a page.
pub const PAGE_KEYS_MAX: u32 = 1000;

/// The most bytes of values on a page; the last value may exceed it. The partitions share it equally.
const PAGE_BYTES: usize = 1024 * 1024;

/// The least bytes of values that a partition may show, however many there are.
const PART_BYTES_MIN: usize = 16 * 1024;

/// How many records an owner looks at for a page. It passes over records that it keeps for others, deleted
/// keys, and keys of slots that others are asked for. No write is taken while it looks.
const LOOKS_MAX: usize = 4 * PAGE_KEYS_MAX as usize;

/// Pages that a node collects at once; others wait. Each costs every owner memory and a share of a stream
/// that other requests use. A page is collected within a few milliseconds.
const COLLECTED_MAX: usize = 16;

/// The pages that are being collected.
#[derive(Debug)]
pub(crate) struct Collecting(Semaphore);

impl Default for Collecting {
    fn default() -> Self {
        Self(Semaphore::new(COLLECTED_MAX))
    }
}

/// A page of keys.
#[derive(Debug)]
pub struct Listed {
    pub items: Vec<Item>,
    /// Go on after this key; none at the end.
    pub next: Option<String>,
    /// What the reader depends on from now on.
    pub payload: Payload,
    /// The room that the items take.
    pub room: Room,
}

/// The question to one owner.
#[derive(Clone, Copy)]
struct PartAsked<'a> {
    slots: &'a SlotSet,
    listing: &'a Listing,
    payload: &'a Payload,
    value_bytes: u32,
}

/// One owner's answer for some slots.
struct Part {
    items: Vec<Item>,
    upto: Option<String>,
    payload: Payload,
}

impl Part {
    fn about_bytes(&self) -> usize {
        self.items.iter().map(Item::about_bytes).sum()
    }
}

impl Requests {
    /// The next page of keys for a client that depends on `payload`.
    pub async fn list(&self, listing: &Listing, payload: &Payload) -> Result<Listed, Refusal> {
        self.replication.proven().await;
        self.view_changes.route()?;
        let deadline = Instant::now() + self.shared.limits.causal_wait;
        let mut payload = Cow::Borrowed(payload);
        let (mut parts, mut room) = (Vec::new(), self.room());
        // Before any owner is asked: a page for which there is no room costs nothing.
        if !room.resize(PAGE_BYTES) {
            return Err(Refusal::Overloaded);
        }
        let mut open = SlotSet::all();
        loop {
            let published = self.shared.me.published.count();
            let asked = self.slots_by_partition(&open);
            let value_bytes = value_bytes_of_a_part(asked.len());
            let asking = asked.iter().map(|(_, owners, slots)| {
                let question = PartAsked {
                    slots,
                    listing,
                    payload: &payload,
                    value_bytes,
                };
                self.part(owners, question, deadline)
            });
            // No turn is held while this page waits for what its client depends on.
            let answers = match timeout_at(deadline, self.collecting.0.acquire()).await {
                Ok(Ok(_turn)) => join_all(asking).await,
                _ => return Err(Refusal::Overloaded),
            };
            let mut refused = None;
            for ((partition, _, slots), answered) in asked.iter().zip(answers) {
                match answered {
                    Ok(part) => {
                        parts.push(part);
                        open = open.difference(slots);
                    }
                    Err(declined) => refused = Some((*partition, declined)),
                }
            }
            if !room.resize(parts.iter().map(Part::about_bytes).sum()) {
                return Err(Refusal::Overloaded);
            }
            let Some((partition, declined)) = refused else {
                return Ok(joined(parts, listing, &payload, room));
            };
            if Instant::now() + PATIENCE >= deadline {
                return Err(if declined.contains(&Declined::Behind) {
                    Refusal::Behind { partition }
                } else {
                    Refusal::Unavailable { partition }
                });
            }
            if let Cow::Borrowed(asked) = payload {
                payload = Cow::Owned(self.claims.vetted(asked).await?.payload);
            }
            let news = self.shared.me.published.beyond(published);
            let _ = timeout_at(Instant::now() + PATIENCE, news).await;
        }
    }

    /// The owners to ask for these slots, by partition: this node first, then those that answer.
    fn slots_by_partition(&self, open: &SlotSet) -> Vec<(PartitionId, Vec<NodeId>, SlotSet)> {
        let state = self.shared.me.state();
        let Some(view) = state.routing() else {
            return Vec::new();
        };
        let partitions = view.partitions().map(|(partition, nodes)| {
            let mut owners: Vec<NodeId> = nodes.to_vec();
            owners.sort_by_key(|node| (*node != self.shared.me.node, self.shared.peers.is_away(node)));
            let slots = view.slots_of_partition(partition).intersection(open);
            (partition, owners, slots)
        });
        partitions.filter(|(_, _, slots)| !slots.is_empty()).collect()
    }

    async fn part(
        &self,
        owners: &[NodeId],
        asked: PartAsked<'_>,
        deadline: Instant,
    ) -> Result<Part, Vec<Declined>> {
        let PartAsked {
            slots,
            listing,
            payload,
            value_bytes,
        } = asked;
        let mut reasons = Vec::new();
        for owner in owners {
            if *owner == self.shared.me.node {
                match self.list_here(slots, listing, payload, value_bytes) {
                    Ok(part) => return Ok(part),
                    Err(not_here) => {
                        self.fetch_what_is_missing(&not_here);
                        reasons.push(declined(&not_here));
                    }
                }
                continue;
            }
            let question = Question::List {
                slots: slots.clone(),
                listing: listing.clone(),
                payload: payload.clone(),
                value_bytes,
            };
            let rest = deadline.saturating_duration_since(Instant::now());
            match self
                .shared
                .peers
                .call(owner, question, LIST_LIMIT.min(rest))
                .await
            {
                Ok(Answer::Listed { items, upto, payload }) => return Ok(Part { items, upto, payload }),
                Ok(Answer::Declined(reason)) => reasons.push(reason),
                _ => {}
            }
        }
        Err(reasons)
    }

    pub(crate) fn answer_list(
        &self,
        slots: &SlotSet,
        listing: &Listing,
        payload: &Payload,
        value_bytes: u32,
    ) -> Answer {
        match self.list_here(slots, listing, payload, value_bytes) {
            Ok(Part { items, upto, payload }) => Answer::Listed { items, upto, payload },
            Err(not_here) => {
                self.fetch_what_is_missing(&not_here);
                Answer::Declined(declined(&not_here))
            }
        }
    }

    fn list_here(
        &self,
        slots: &SlotSet,
        listing: &Listing,
        payload: &Payload,
        value_bytes: u32,
    ) -> Result<Part, NotHere> {
        let value_bytes = usize::try_from(value_bytes).unwrap_or(usize::MAX).min(PAGE_BYTES);
        let index = self
            .shared
            .resident
            .index_if_complete()
            .ok_or(NotHere::NotReady)?;
        loop {
            let activations = self.shared.me.activations();
            let (state, stable) = (self.shared.me.state(), self.shared.acks.stable());
            let trimmed = may_list(&state, &stable, slots, payload)?;
            #[cfg(test)]
            crate::node::tests::interleaved::happen_now();
            let mut look = Look::new(slots, listing, value_bytes);
            index.visit_from(look.begin(), |record| look.at(record));
            // Slots may have moved away, and been dropped, before their keys were looked at.
            if self.shared.me.activations() == activations {
                return Ok(Part {
                    payload: answer(&state, &stable, &trimmed, &look.seen),
                    items: look.items(),
                    upto: look.upto,
                });
            }
        }
    }
}

/// A walk along the index.
struct Look<'a> {
    slots: &'a SlotSet,
    listing: &'a Listing,
    looks: usize,
    bytes: usize,
    bytes_max: usize,
    /// The records seen, live or deleted: the reader depends on both.
    seen: Vec<Record>,
    shown: u32,
    upto: Option<String>,
}

impl<'a> Look<'a> {
    fn new(slots: &'a SlotSet, listing: &'a Listing, bytes_max: usize) -> Self {
        Self {
            slots,
            listing,
            looks: 0,
            bytes: 0,
            bytes_max,
            seen: Vec::new(),
            shown: 0,
            upto: None,
        }
    }

    fn begin(&self) -> Bound<&'a str> {
        match self.listing.after.as_deref() {
            Some(after) if after >= self.listing.prefix.as_str() => Bound::Excluded(after),
            _ => Bound::Included(&self.listing.prefix),
        }
    }

    /// True while the walk goes on.
    fn at(&mut self, record: &Record) -> bool {
        if !record.key().starts_with(&self.listing.prefix) {
            return false;
        }
        self.looks += 1;
        if self.slots.contains(record.slot()) {
            // The page is not the last one only if another key follows.
            if self.is_full() && !record.is_tombstone() {
                self.upto = self.seen.last().map(|last| last.key().to_owned());
                return false;
            }
            self.seen.push(record.clone());
            if let Some(value) = record.value() {
                self.shown += 1;
                self.bytes += if self.listing.keys_only { 0 } else { value.len() };
            }
        }
        if self.looks >= LOOKS_MAX {
            self.upto = Some(record.key().to_owned());
        }
        self.upto.is_none()
    }

    fn is_full(&self) -> bool {
        self.shown >= self.listing.limit.min(PAGE_KEYS_MAX) || self.bytes >= self.bytes_max
    }

    fn items(&self) -> Vec<Item> {
        let live = self.seen.iter().filter(|record| !record.is_tombstone());
        live.map(|record| Item {
            key: Key::new(record.key()).expect("a record has a key"),
            value: record
                .value()
                .filter(|_| !self.listing.keys_only)
                .map(<[u8]>::to_vec),
            timestamp: record.timestamp(),
        })
        .collect()
    }
}

/// Joins parts into a page: up to the least of their ends, and no more than was asked for.
fn joined(parts: Vec<Part>, listing: &Listing, payload: &Payload, room: Room) -> Listed {
    let mut payload = payload.clone();
    let mut next = parts.iter().filter_map(|part| part.upto.clone()).min();
    let mut items = Vec::new();
    for part in parts {
        payload.join(&part.payload);
        items.extend(part.items);
    }
    items.retain(|item| next.as_deref().is_none_or(|next| item.key.as_str() <= next));
    items.sort_by(|a, b| a.key.cmp(&b.key));
    let limit = usize::try_from(listing.limit.min(PAGE_KEYS_MAX)).expect("is small");
    let mut bytes = 0;
    let fits = items.iter().take(limit).take_while(|item| {
        let has_room = bytes < PAGE_BYTES;
        bytes += item.value.as_ref().map_or(0, Vec::len);
        has_room
    });
    let fits = fits.count();
    if items.len() > fits {
        items.truncate(fits);
        next = items.last().map(|item| item.key.as_str().to_owned());
    }
    Listed {
        items,
        next,
        payload,
        room,
    }
}

fn value_bytes_of_a_part(parts: usize) -> u32 {
    let bytes = (PAGE_BYTES / parts.max(1)).max(PART_BYTES_MIN);
    u32::try_from(bytes).expect("a small constant")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::requests::room::Rooms;
    use crate::node::tests::rig::{first_view, node_with};
    use crate::protocol::causality::Timestamp;

    fn item(key: &str) -> Item {
        Item {
            key: Key::new(key).expect("is a key"),
            value: None,
            timestamp: Timestamp::default(),
        }
    }

    fn part(keys: &[&str], upto: Option<&str>) -> Part {
        Part {
            items: keys.iter().map(|key| item(key)).collect(),
            upto: upto.map(str::to_owned),
            payload: Payload::default(),
        }
    }

    /// Further pages wait for a turn, and are refused within the time of a read if none comes.
    #[tokio::test(start_paused = true)]
    async fn so_many_pages_are_collected_at_once_and_no_more() {
        let (node, _) = node_with(first_view(1, 1)).await;
        let listing = Listing {
            prefix: String::new(),
            after: None,
            limit: 1,
            keys_only: false,
        };
        let turns = u32::try_from(COLLECTED_MAX).expect("is small");
        let all = node
            .requests
            .collecting
            .0
            .acquire_many(turns)
            .await
            .expect("is open");
        let began = Instant::now();
        let refused = node.requests.list(&listing, &Payload::default()).await;
        assert_eq!(refused.err(), Some(Refusal::Overloaded));
        assert!(began.elapsed() >= node.limits().causal_wait);
        drop(all);
        assert!(node.requests.list(&listing, &Payload::default()).await.is_ok());
    }

    fn page(parts: Vec<Part>, limit: u32) -> (Vec<String>, Option<String>) {
        let listing = Listing {
            prefix: String::new(),
            after: None,
            limit,
            keys_only: true,
        };
        let room = Rooms::default().open();
        let listed = joined(parts, &listing, &Payload::default(), room);
        let keys = listed.items.iter().map(|item| item.key.as_str().to_owned());
        (keys.collect(), listed.next)
    }

    #[test]
    fn a_page_ends_where_the_first_part_ends() {
        let parts = vec![
            part(&["a", "d"], Some("d")),
            part(&["b", "e"], Some("e")),
            part(&["c", "f"], None),
        ];
        assert_eq!(
            page(parts, 9),
            (
                vec!["a".into(), "b".into(), "c".into(), "d".into()],
                Some("d".into())
            )
        );
    }

    #[test]
    fn a_page_has_no_more_than_was_asked_for() {
        let parts = || vec![part(&["a", "c"], None), part(&["b"], None)];
        assert_eq!(page(parts(), 2), (vec!["a".into(), "b".into()], Some("b".into())));
        assert_eq!(page(parts(), 3), (vec!["a".into(), "b".into(), "c".into()], None));
    }

    /// Each part exceeds a page.
    #[test]
    fn a_page_ends_with_the_value_that_fills_it() {
        let large = |key: &str| Item {
            value: Some(vec![0; PAGE_BYTES / 2]),
            ..item(key)
        };
        let part_of = |keys: [&str; 3]| Part {
            items: keys.map(large).into(),
            ..part(&[], None)
        };
        let parts = vec![part_of(["a", "c", "e"]), part_of(["b", "d", "f"])];
        assert_eq!(page(parts, 9), (vec!["a".into(), "b".into()], Some("b".into())));
    }

    #[test]
    fn a_part_that_passed_over_much_moves_the_page_on() {
        let parts = vec![part(&[], Some("m")), part(&["a", "z"], None)];
        assert_eq!(page(parts, 9), (vec!["a".into()], Some("m".into())));
    }
}
