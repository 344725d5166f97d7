//! The stored records, as a replica reads them: a node keeps them in its store, a test in a map.

use crate::protocol::causality::Record;
use crate::protocol::placement::SlotSet;

/// The records that a replica has stored. A tombstone is a record too.
pub trait Records {
    fn get(&self, key: &str) -> Option<Record>;

    /// Shows every record of these slots, in no particular order.
    fn for_each_in(&self, slots: &SlotSet, visit: impl FnMut(&Record));

    fn is_empty(&self) -> bool;
}
