//! Holds every record of this node in memory. Connections read it directly.
//!
//! Each slot has a table behind its own lock. Keys move by whole slots, so a copy or a hand-over touches
//! only the tables of its slots, and connections rarely contend for a lock. The caller decides which of
//! two records wins; this module only stores them.
//!
//! An index in key order serves listings. A starting node fills it slot by slot while it already serves
//! ([`Resident::index`]); after that it changes with the tables.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_64;

use super::index::Index;
use crate::names::{SLOTS, Slot};
use crate::protocol::causality::Record;
use crate::protocol::placement::SlotSet;
use crate::protocol::replication::Records;

/// The records of all slots, by key. At most one per key.
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
    /// True if the records are in the index too; then every change goes there.
    is_indexed: bool,
}

/// Where a key is stored: its slot, and its hash inside the slot's table.
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

// The same as `Slot::of`, from a hash that is already computed.
fn slot_of(hash: u64) -> Slot {
    Slot(u16::try_from(hash % u64::from(SLOTS)).expect("a remainder of SLOTS fits"))
}

// All keys of a slot share the low bits of their hash, and a table picks its bucket by the low bits, so
// the halves are swapped. The tag that the table takes from the top bits then differs, too.
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

    /// Replaces the record under the key, whichever of the two would win, and returns the old one.
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

    /// Removes the record of a key and returns it.
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
        // Frees the memory of a slot that moved away.
        if table.records.is_empty() {
            table.records = HashTable::new();
        }
        drop(table);
        self.count_out(&removed);
        Some(removed)
    }

    /// All records of a slot at one point in time, in no particular order.
    pub fn records_in(&self, slot: Slot) -> Vec<Record> {
        self.slots[slot.index()].read().records.iter().cloned().collect()
    }

    /// How many records a slot has, tombstones included.
    pub fn len_of(&self, slot: Slot) -> usize {
        self.slots[slot.index()].read().records.len()
    }

    /// Shows every record of the given slots, in no particular order. A slot takes no writes while it is
    /// shown, so it is consistent in itself, but not with the others.
    pub fn for_each_in(&self, slots: impl IntoIterator<Item = Slot>, mut visit: impl FnMut(&Record)) {
        for slot in slots {
            let table = self.slots[slot.index()].read();
            table.records.iter().for_each(&mut visit);
        }
    }

    /// The number of records, tombstones included. Exact while no write is under way.
    pub fn len(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of records that are not tombstones: the keys that a client can see. Exact while no write
    /// is under way.
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

    /// Enters the records of a slot into the index. A node does so once for every slot.
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

impl Records for Resident {
    fn get(&self, key: &str) -> Option<Record> {
        Self::get(self, key)
    }

    fn for_each_in(&self, slots: &SlotSet, visit: impl FnMut(&Record)) {
        Self::for_each_in(self, slots.iter(), visit);
    }

    fn is_empty(&self) -> bool {
        Self::is_empty(self)
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
