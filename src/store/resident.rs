//! Every record of this node in memory: the map that connections read themselves.
//!
//! One table for each slot, each behind its own lock: keys move by whole slots, so a copy or a
//! hand-over touches the tables that it is about and no other, and connections hardly ever meet at a
//! lock. Which of two records wins is decided by the caller; this is only the place.
//!
//! Beside the tables stands an index in the order of the keys, for listings. A node that starts fills it
//! slot by slot while it serves already ([`Resident::index`]); from then on it changes with the tables.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_64;

use super::index::Index;
use crate::names::{SLOTS, Slot};
use crate::protocol::causality::Record;

/// The records of all slots, by key. At most one a key.
pub struct Resident {
    slots: Box<[RwLock<Table>]>,
    index: Index,
    records: AtomicUsize,
    tombstones: AtomicUsize,
}

/// The records of one slot.
#[derive(Default)]
struct Table {
    records: HashTable<Record>,
    /// They are in the index too, and every change goes there.
    is_indexed: bool,
}

/// Where a key lies: its slot, and its hash inside the slot's table.
struct Place {
    slot: Slot,
    hash: u64,
}

impl Place {
    fn of(key: &[u8]) -> Self {
        let hash = xxh3_64(key);
        Self {
            slot: slot_of(hash),
            hash: table_hash(hash),
        }
    }
}

// As `Slot::of`, from a hash that is there already.
fn slot_of(hash: u64) -> Slot {
    Slot(u16::try_from(hash % u64::from(SLOTS)).expect("a remainder of SLOTS fits"))
}

// All keys of a slot share the low bits of their hash, by which a table picks its bucket, so the halves
// change places; the tag that the table takes from the top is then of bits that differ, too.
fn table_hash(hash: u64) -> u64 {
    hash.rotate_left(32)
}

fn rehash(record: &Record) -> u64 {
    table_hash(xxh3_64(record.key_bytes()))
}

impl Default for Resident {
    fn default() -> Self {
        Self::new()
    }
}

impl Resident {
    pub fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| RwLock::default()).collect(),
            index: Index::default(),
            records: AtomicUsize::new(0),
            tombstones: AtomicUsize::new(0),
        }
    }

    /// The record of a key; a tombstone is a record too.
    pub fn get(&self, key: &str) -> Option<Record> {
        let place = Place::of(key.as_bytes());
        let table = self.slots[place.slot.index()].read();
        table
            .records
            .find(place.hash, |record| record.key_bytes() == key.as_bytes())
            .cloned()
    }

    /// Puts a record in the place of the one under its key, whichever of them would win, and returns
    /// the one that was there.
    pub fn put(&self, record: Record) -> Option<Record> {
        let place = Place::of(record.key_bytes());
        self.count_in(&record);
        let mut table = self.slots[place.slot.index()].write();
        if table.is_indexed {
            self.index.put(record.clone());
        }
        let records = &mut table.records;
        let replaced = match records.find_mut(place.hash, |other| other.key_bytes() == record.key_bytes()) {
            Some(other) => Some(std::mem::replace(other, record)),
            None => {
                records.insert_unique(place.hash, record, rehash);
                None
            }
        };
        drop(table);
        replaced.inspect(|record| self.count_out(record))
    }

    /// Drops the record of a key and returns it.
    pub fn remove(&self, key: &str) -> Option<Record> {
        let place = Place::of(key.as_bytes());
        let mut table = self.slots[place.slot.index()].write();
        let entry = table
            .records
            .find_entry(place.hash, |record| record.key_bytes() == key.as_bytes())
            .ok()?;
        let (removed, _) = entry.remove();
        if table.is_indexed {
            self.index.remove(&removed);
        }
        // A slot that moved away gives its room back.
        if table.records.is_empty() {
            table.records = HashTable::new();
        }
        drop(table);
        self.count_out(&removed);
        Some(removed)
    }

    /// All records of a slot as they are at one moment, in no particular order.
    pub fn records_in(&self, slot: Slot) -> Vec<Record> {
        self.slots[slot.index()].read().records.iter().cloned().collect()
    }

    /// How many records a slot has, tombstones included.
    pub fn len_of(&self, slot: Slot) -> usize {
        self.slots[slot.index()].read().records.len()
    }

    /// Shows every record of the given slots, in no particular order. Each slot is seen as it is at one
    /// moment, not all slots at the same one. A slot takes no writes while it is shown.
    pub fn for_each_in(&self, slots: impl IntoIterator<Item = Slot>, mut visit: impl FnMut(&Record)) {
        for slot in slots {
            let table = self.slots[slot.index()].read();
            table.records.iter().for_each(&mut visit);
        }
    }

    /// Records, tombstones included. Exact when nobody writes.
    pub fn len(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records that are not tombstones: the keys that a client can see. Exact when nobody writes.
    pub fn live_len(&self) -> usize {
        self.len().saturating_sub(self.tombstones.load(Ordering::Relaxed))
    }

    /// Drops everything.
    pub fn clear(&self) {
        for table in &self.slots {
            let mut table = table.write();
            let dropped = std::mem::take(&mut table.records);
            dropped.iter().for_each(|record| self.count_out(record));
            if table.is_indexed {
                dropped.iter().for_each(|record| self.index.remove(record));
            }
        }
    }

    /// Enters the records of a slot into the index. A node does so with every slot once.
    pub fn index(&self, slot: Slot) {
        let mut table = self.slots[slot.index()].write();
        if !std::mem::replace(&mut table.is_indexed, true) {
            self.index.enter(&table.records);
        }
    }

    /// The records in the order of their keys, tombstones included, once every slot is in the index.
    pub fn index_if_complete(&self) -> Option<&Index> {
        self.index.is_complete().then_some(&self.index)
    }

    fn count_in(&self, record: &Record) {
        self.records.fetch_add(1, Ordering::Relaxed);
        if record.is_tombstone() {
            self.tombstones.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count_out(&self, record: &Record) {
        self.records.fetch_sub(1, Ordering::Relaxed);
        if record.is_tombstone() {
            self.tombstones.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident")
            .field("len", &self.len())
            .field("live_len", &self.live_len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::store::conformance::record;

    fn keys_of(records: &[Record]) -> Vec<&str> {
        let mut keys: Vec<_> = records.iter().map(Record::key).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_key_lies_in_the_slot_that_the_names_give_it() {
        let resident = Resident::new();
        for number in 1..200 {
            let record = record(&format!("key-{number}"), Some(b"v"), number);
            let slot = record.slot();
            resident.put(record.clone());
            assert!(resident.records_in(slot).contains(&record), "{record:?}");
        }
    }

    #[test]
    fn hashes_inside_a_slot_differ_at_both_ends() {
        // A table takes the bucket from the low bits and a seven-bit tag from the top ones.
        let of_one_slot: Vec<u64> = (0u64..)
            .map(|number| xxh3_64(&number.to_le_bytes()))
            .filter(|hash| slot_of(*hash) == Slot(7))
            .take(64)
            .collect();
        let distinct = |part: fn(u64) -> u64| {
            let parts: std::collections::BTreeSet<_> =
                of_one_slot.iter().map(|hash| part(table_hash(*hash))).collect();
            parts.len()
        };
        assert!(distinct(|hash| hash >> 57) > 32);
        assert!(distinct(|hash| hash & 127) > 32);
    }

    #[test]
    fn counters_tell_tombstones_from_live_records() {
        let resident = Resident::new();
        resident.put(record("a", Some(b"1"), 1));
        resident.put(record("b", Some(b"1"), 2));
        resident.put(record("a", None, 3));
        assert_eq!((resident.len(), resident.live_len()), (2, 1));
        assert_eq!(resident.remove("a").map(|record| record.dot().number), Some(3));
        assert_eq!((resident.len(), resident.live_len()), (1, 1));
        resident.clear();
        assert_eq!(
            (resident.len(), resident.live_len(), resident.get("b")),
            (0, 0, None)
        );
    }

    #[test]
    fn a_scan_shows_the_asked_slots_only() {
        let resident = Resident::new();
        for (number, key) in ["a", "key", "é"].into_iter().enumerate() {
            resident.put(record(key, Some(b"v"), number as u64 + 1));
        }
        let mut seen = Vec::new();
        resident.for_each_in([Slot::of("a"), Slot::of("é"), Slot(0)], |record| {
            seen.push(record.clone());
        });
        assert_eq!(keys_of(&seen), ["a", "é"]);
        assert_eq!(keys_of(&resident.records_in(Slot::of("key"))), ["key"]);
    }

    proptest! {
        #[test]
        fn it_behaves_like_an_ordered_map(steps in proptest::collection::vec((0u8..3, 0u8..40, any::<bool>()), 0..200)) {
            let (resident, mut model) = (Resident::new(), BTreeMap::new());
            for (number, (step, key, live)) in (1u64..).zip(steps) {
                let key = format!("k{key}");
                if step == 0 {
                    prop_assert_eq!(resident.remove(&key), model.remove(&key));
                } else {
                    let record = record(&key, live.then_some(b"v"), number);
                    prop_assert_eq!(resident.put(record.clone()), model.insert(key.clone(), record));
                }
                prop_assert_eq!(resident.get(&key), model.get(&key).cloned());
            }
            let mut all = Vec::new();
            resident.for_each_in(Slot::all(), |record| all.push(record.clone()));
            prop_assert_eq!(all.len(), resident.len());
            prop_assert_eq!(resident.len(), model.len());
            prop_assert_eq!(resident.live_len(), model.values().filter(|record| !record.is_tombstone()).count());
        }
    }
}
