//! One version of one key, and which of two versions wins.
//!
//! A record is one block of bytes with the same layout in memory, on the wire and on disk, so that
//! copies and recovery move blocks and parse only lengths. The block begins with a version byte:
//!
//! ```text
//! version 1 | flags 1 (tombstone, vouched) | key length 2 | entries 2 | epoch 8 | member 8 | number 8 | timestamp 8
//! | key | entries of the dependencies, 24 each: epoch, member, number | value
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::{Timestamp, VersionVector};
use crate::names::{Dot, Epoch, Key, Log, MemberId, Slot};

const VERSION: u8 = 1;
const TOMBSTONE: u8 = 1;
const VOUCHED: u8 = 2;
const FLAGS_AT: usize = 1;
const ENTRIES_AT: usize = 4;
const HEADER_BYTES: usize = 38;
const ENTRY_BYTES: usize = 24;
const DOT_AT: usize = 6;

/// How many dependencies a record has room for.
pub const DEPENDENCIES_MAX: usize = u16::MAX as usize;

/// A version of a key: value or tombstone, dot, timestamp, dependencies. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Record(Arc<[u8]>);

/// A block that is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record is damaged")]
pub struct RecordError;

/// The effect of a new record on the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supersedes {
    Yes,
    No,
    /// Both are the same write.
    Same,
}

impl Record {
    /// A version of `key`; no value makes it a tombstone.
    ///
    /// # Panics
    /// If there are more than [`DEPENDENCIES_MAX`] dependencies; no client's or peer's payload has more.
    pub fn new(
        key: &Key,
        value: Option<&[u8]>,
        dot: Dot,
        timestamp: Timestamp,
        dependencies: &VersionVector,
    ) -> Self {
        let key = key.as_str().as_bytes();
        let size = HEADER_BYTES + key.len() + dependencies.len() * ENTRY_BYTES + value.map_or(0, <[u8]>::len);
        let mut block = Vec::with_capacity(size);
        block.push(VERSION);
        block.push(if value.is_none() { TOMBSTONE } else { 0 });
        let key_len = u16::try_from(key.len()).expect("a key has at most 800 bytes");
        block.extend_from_slice(&key_len.to_le_bytes());
        let entries = u16::try_from(dependencies.len()).expect("checked where payloads come in");
        block.extend_from_slice(&entries.to_le_bytes());
        put_dot(&mut block, dot);
        block.extend_from_slice(&timestamp.0.to_le_bytes());
        block.extend_from_slice(key);
        for entry in dependencies.iter() {
            put_dot(&mut block, entry);
        }
        block.extend_from_slice(value.unwrap_or_default());
        Self(block.into())
    }

    /// A record from its block, as a peer or the disk gave it.
    pub fn from_block(block: &[u8]) -> Result<Self, RecordError> {
        let lengths = block.get(..HEADER_BYTES).ok_or(RecordError)?;
        let record = Self(block.into());
        let tombstone_is_bare = !record.is_tombstone() || block.len() == record.value_start();
        if lengths[0] != VERSION || record.value_start() > block.len() || !tombstone_is_bare {
            return Err(RecordError);
        }
        let key = std::str::from_utf8(record.key_bytes()).map_err(|_| RecordError)?;
        Key::new(key).map_err(|_| RecordError)?;
        Ok(record)
    }

    pub fn as_block(&self) -> &[u8] {
        &self.0
    }

    /// The key as text, checked again on each call; to compare keys, use their bytes.
    pub fn key(&self) -> &str {
        std::str::from_utf8(self.key_bytes()).expect("checked when the record was made")
    }

    pub fn slot(&self) -> Slot {
        Slot::of(self.key_bytes())
    }

    /// The value; none for a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        (!self.is_tombstone()).then(|| &self.0[self.value_start()..])
    }

    pub fn is_tombstone(&self) -> bool {
        self.0[FLAGS_AT] & TOMBSTONE != 0
    }

    pub fn dot(&self) -> Dot {
        dot_at(&self.0, DOT_AT)
    }

    pub fn timestamp(&self) -> Timestamp {
        Timestamp(u64_at(&self.0, 30))
    }

    /// The writes that the writer depended on and that were not stable then.
    pub fn dependencies(&self) -> impl Iterator<Item = Dot> + '_ {
        let start = HEADER_BYTES + self.key_len();
        (0..self.entries_len()).map(move |entry| dot_at(&self.0, start + entry * ENTRY_BYTES))
    }

    pub fn has_dependencies(&self) -> bool {
        self.entries_len() > 0
    }

    /// True if each dependency is known to be a write that some member took. Any other dependency is
    /// only a client's claim.
    pub fn is_vouched(&self) -> bool {
        self.0[FLAGS_AT] & VOUCHED != 0 || self.entries_len() == 0
    }

    /// The same record, marked as having only dependencies that are known to exist.
    pub fn vouched(mut self) -> Self {
        Arc::make_mut(&mut self.0)[FLAGS_AT] |= VOUCHED;
        self
    }

    /// The same write, keeping of each dependency only what `part` leaves of it.
    pub fn with_dependencies(&self, part: impl FnMut(Dot) -> Option<Dot>) -> Self {
        let start = HEADER_BYTES + self.key_len();
        let mut block = self.0[..start].to_vec();
        let kept: Vec<Dot> = self.dependencies().filter_map(part).collect();
        let entries = u16::try_from(kept.len()).expect("no more than there were");
        block[ENTRIES_AT..ENTRIES_AT + 2].copy_from_slice(&entries.to_le_bytes());
        kept.into_iter().for_each(|dot| put_dot(&mut block, dot));
        block.extend_from_slice(&self.0[self.value_start()..]);
        Self(block.into())
    }

    /// The same write with only the dependencies that `keep` accepts, and `dot` if there is room for it.
    pub fn depending_on(&self, dot: Dot, mut keep: impl FnMut(Dot) -> bool) -> Self {
        let kept = self.with_dependencies(|dot| keep(dot).then_some(dot));
        if kept.entries_len() == DEPENDENCIES_MAX {
            return kept;
        }
        let mut block = kept.0.to_vec();
        let mut entry = Vec::with_capacity(ENTRY_BYTES);
        put_dot(&mut entry, dot);
        let entries = u16::try_from(kept.entries_len() + 1).expect("there is room for one more");
        block[ENTRIES_AT..ENTRIES_AT + 2].copy_from_slice(&entries.to_le_bytes());
        let at = HEADER_BYTES + kept.key_len();
        block.splice(at..at, entry);
        if kept.is_vouched() {
            block[FLAGS_AT] |= VOUCHED;
        }
        Self(block.into())
    }

    /// The same value, timestamp and dependencies under another dot.
    pub fn renumbered(&self, dot: Dot) -> Self {
        let mut block = self.0.to_vec();
        let mut name = Vec::with_capacity(ENTRY_BYTES);
        put_dot(&mut name, dot);
        block[DOT_AT..DOT_AT + ENTRY_BYTES].copy_from_slice(&name);
        Self(block.into())
    }

    /// Tells whether this record replaces `other`, a record of the same key (I2): the later timestamp
    /// wins, then the higher log, then the higher number. Every replica decides the same, in whatever
    /// order records arrive.
    pub fn supersedes(&self, other: &Self) -> Supersedes {
        let rank = |record: &Self| (record.timestamp(), record.dot());
        match rank(self).cmp(&rank(other)) {
            Ordering::Greater => Supersedes::Yes,
            Ordering::Less => Supersedes::No,
            Ordering::Equal => Supersedes::Same,
        }
    }

    fn key_len(&self) -> usize {
        usize::from(u16_at(&self.0, 2))
    }

    fn entries_len(&self) -> usize {
        usize::from(u16_at(&self.0, ENTRIES_AT))
    }

    fn value_start(&self) -> usize {
        HEADER_BYTES + self.key_len() + self.entries_len() * ENTRY_BYTES
    }

    pub fn key_bytes(&self) -> &[u8] {
        &self.0[HEADER_BYTES..HEADER_BYTES + self.key_len()]
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("key", &self.key())
            .field("dot", &self.dot())
            .field("timestamp", &self.timestamp())
            .field("value_bytes", &self.value().map(<[u8]>::len))
            .finish()
    }
}

fn put_dot(block: &mut Vec<u8>, dot: Dot) {
    block.extend_from_slice(&dot.log.epoch.0.to_le_bytes());
    block.extend_from_slice(&dot.log.member.0.to_le_bytes());
    block.extend_from_slice(&dot.number.to_le_bytes());
}

fn dot_at(block: &[u8], at: usize) -> Dot {
    Dot {
        log: Log {
            epoch: Epoch(u64_at(block, at)),
            member: MemberId(u64_at(block, at + 8)),
        },
        number: u64_at(block, at + 16),
    }
}

fn u64_at(block: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(block[at..at + 8].try_into().expect("eight bytes"))
}

fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(block[at..at + 2].try_into().expect("two bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dots() -> impl Strategy<Value = Dot> {
        (0u64..3, 0u64..3, 1u64..9).prop_map(|(epoch, member, number)| Dot {
            log: Log {
                epoch: Epoch(epoch),
                member: MemberId(member),
            },
            number,
        })
    }

    fn records() -> impl Strategy<Value = Record> {
        let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
        let dependencies = proptest::collection::vec(dots(), 0..3);
        (value, dots(), 0u64..4, dependencies).prop_map(|(value, dot, timestamp, dependencies)| {
            let key = Key::new("key").expect("is a key");
            let dependencies = dependencies.into_iter().collect();
            Record::new(&key, value.as_deref(), dot, Timestamp(timestamp), &dependencies)
        })
    }

    fn winner(a: &Record, b: &Record) -> Record {
        if a.supersedes(b) == Supersedes::Yes {
            a.clone()
        } else {
            b.clone()
        }
    }

    proptest! {
        #[test]
        fn the_winner_is_the_same_in_whatever_order_records_arrive(a in records(), b in records(), c in records()) {
            let name = |record: Record| (record.timestamp(), record.dot());
            prop_assert_eq!(name(winner(&a, &b)), name(winner(&b, &a)));
            prop_assert_eq!(name(winner(&winner(&a, &b), &c)), name(winner(&a, &winner(&b, &c))));
        }

        #[test]
        fn a_record_survives_its_block(record in records()) {
            let again = Record::from_block(record.as_block()).expect("is a record");
            prop_assert_eq!(again.value(), record.value());
            prop_assert_eq!(again, record);
        }

        #[test]
        fn a_block_that_is_cut_is_refused_or_another_value_but_never_a_panic(record in records(), keep in 0usize..120) {
            let block = record.as_block();
            let _ = Record::from_block(&block[..keep.min(block.len())]);
        }

        #[test]
        fn a_record_keeps_all_but_the_dependencies_that_are_taken_from_it(record in records()) {
            let kept: Vec<Dot> = record.dependencies().filter(|dot| dot.number > 4).collect();
            let vouched = record.clone().vouched();
            let less = vouched.with_dependencies(|dot| (dot.number > 4).then_some(dot));
            prop_assert_eq!(less.dependencies().collect::<Vec<_>>(), kept);
            prop_assert_eq!(less.value(), record.value());
            prop_assert_eq!((less.dot(), less.timestamp()), (record.dot(), record.timestamp()));
            prop_assert!(vouched.is_vouched() && less.is_vouched());
            prop_assert_eq!(record.is_vouched(), record.dependencies().next().is_none());
            prop_assert_eq!(Record::from_block(less.as_block()).expect("is a record"), less);
        }

        #[test]
        fn renumbering_changes_the_dot_only(record in records(), dot in dots()) {
            let again = record.renumbered(dot);
            prop_assert_eq!(again.dot(), dot);
            prop_assert_eq!(again.renumbered(record.dot()), record);
        }
    }

    #[test]
    fn an_empty_value_is_not_a_tombstone() {
        let dot = Dot {
            log: Log {
                epoch: Epoch(1),
                member: MemberId(1),
            },
            number: 1,
        };
        let key = Key::new("k").expect("is a key");
        let empty = Record::new(&key, Some(b""), dot, Timestamp(1), &VersionVector::default());
        let gone = Record::new(&key, None, dot, Timestamp(1), &VersionVector::default());
        assert_eq!((empty.value(), gone.value()), (Some(&b""[..]), None));
    }
}
