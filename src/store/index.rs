//! Keeps all records in key order, so that a listing reads only the records that it shows.
//!
//! It shares the tables' record blocks and adds some 26 bytes per key.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::names::SLOTS;
use crate::protocol::causality::Record;

/// The records of all slots that were entered, by key.
#[derive(Default)]
pub struct Index {
    records: RwLock<BTreeSet<ByKey>>,
    slots: AtomicUsize,
}

/// A record that is compared by its key only.
struct ByKey(Record);

impl Index {
    /// Shows records in key order, starting at the bound `from`, until `visit` returns false. They are a
    /// snapshot: nothing is written while they are shown.
    pub fn visit_from(&self, from: Bound<&str>, mut visit: impl FnMut(&Record) -> bool) {
        let records = self.records.read();
        for ByKey(record) in records.range::<[u8], _>((from.map(str::as_bytes), Bound::Unbounded)) {
            if !visit(record) {
                return;
            }
        }
    }

    pub(super) fn enter(&self, slot: &HashTable<Record>) {
        self.records.write().extend(slot.iter().cloned().map(ByKey));
        self.slots.fetch_add(1, Ordering::Release);
    }

    pub(super) fn put(&self, record: Record) {
        self.records.write().replace(ByKey(record));
    }

    pub(super) fn remove(&self, record: &Record) {
        self.records.write().remove(record.key_bytes());
    }

    pub(super) fn is_complete(&self) -> bool {
        self.slots.load(Ordering::Acquire) == usize::from(SLOTS)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

impl Borrow<[u8]> for ByKey {
    fn borrow(&self) -> &[u8] {
        self.0.key_bytes()
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key_bytes() == other.0.key_bytes()
    }
}

impl Eq for ByKey {}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.key_bytes().cmp(other.0.key_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use crate::names::Slot;
    use crate::store::Resident;
    use crate::store::conformance::record;
    use std::ops::Bound;

    fn keys_from(resident: &Resident, from: Bound<&str>, count: usize) -> Option<Vec<String>> {
        let mut keys = Vec::new();
        resident.index_if_complete()?.visit_from(from, |record| {
            keys.push(record.key().to_owned());
            keys.len() < count
        });
        Some(keys)
    }

    #[test]
    fn nothing_is_listed_before_every_slot_is_in() {
        let resident = Resident::new();
        resident.put(record("b", Some(b"1"), 1));
        Slot::all().skip(1).for_each(|slot| resident.index(slot));
        assert_eq!(keys_from(&resident, Bound::Unbounded, 9), None);
        resident.index(Slot(0));
        resident.index(Slot(0));
        assert_eq!(keys_from(&resident, Bound::Unbounded, 9), Some(vec!["b".into()]));
    }

    proptest! {
        #[test]
        fn it_holds_what_the_tables_hold_in_order(
            steps in proptest::collection::vec((0u8..4, 0u8..40, any::<bool>()), 0..200),
            indexed_at in 0usize..200,
            from in 0u8..40,
        ) {
            let (resident, mut model) = (Resident::new(), BTreeMap::new());
            for (number, (step, key, live)) in steps.into_iter().enumerate() {
                if number == indexed_at {
                    Slot::all().for_each(|slot| resident.index(slot));
                }
                let key = format!("k{key:02}");
                if step == 0 {
                    resident.remove(&key);
                    model.remove(&key);
                } else {
                    let record = record(&key, live.then_some(b"v"), number as u64 + 1);
                    resident.put(record.clone());
                    model.insert(key, record);
                }
            }
            Slot::all().for_each(|slot| resident.index(slot));
            let from = format!("k{from:02}");
            let mut shown = Vec::new();
            let index = resident.index_if_complete().expect("every slot is in");
            index.visit_from(Bound::Excluded(&from), |record| {
                shown.push(record.clone());
                true
            });
            let expected = model.range::<String, _>((Bound::Excluded(from), Bound::Unbounded));
            prop_assert_eq!(shown, expected.map(|(_, record)| record.clone()).collect::<Vec<_>>());
            resident.clear();
            prop_assert_eq!(keys_from(&resident, Bound::Unbounded, 9), Some(vec![]));
        }
    }
}
