//! Sets of slots: what a node owns, gains, loses, or still lacks.
//!
//! One bit for each slot, because after many view changes a set is no longer a few runs, and two
//! kilobytes bound the worst case. On the wire a set is its ranges.

use std::fmt;
use std::ops::Range;

use crate::names::{SLOTS, Slot};

const WORDS: usize = SLOTS as usize / 64;

/// A set of slots.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet(Box<[u64; WORDS]>);

impl SlotSet {
    /// The set of every slot.
    pub fn all() -> Self {
        Self(Box::new([u64::MAX; WORDS]))
    }

    /// The slots of ranges from a peer or the disk; none if a range ends before it begins or goes beyond
    /// the last slot.
    pub fn from_ranges(ranges: impl IntoIterator<Item = Range<u16>>) -> Option<Self> {
        let mut set = Self::default();
        for range in ranges {
            if range.start > range.end || range.end > SLOTS {
                return None;
            }
            set.fill(&range);
        }
        Some(set)
    }

    /// The set as ranges: in order, disjoint, none empty, none touching the next.
    pub fn ranges(&self) -> Vec<Range<u16>> {
        let mut ranges = Vec::new();
        let mut end = 0;
        while end < SLOTS {
            let start = self.run_end(end, false);
            end = self.run_end(start, true);
            if start < end {
                ranges.push(start..end);
            }
        }
        ranges
    }

    /// The end of the run from `start` of slots that are all in the set (`set`), or all not in it.
    fn run_end(&self, start: u16, set: bool) -> u16 {
        let mut at = start;
        while at < SLOTS {
            let word = self.0[usize::from(at) / 64];
            let ahead = if set { word } else { !word } >> (at % 64);
            let same = ahead.trailing_ones() as u16;
            at += same;
            if !at.is_multiple_of(64) || same == 0 {
                break;
            }
        }
        at
    }

    /// Word by word: most sets are a few long runs, and every exchange carries some.
    fn fill(&mut self, range: &Range<u16>) {
        for (at, bits) in words_of(range) {
            self.0[at] |= bits;
        }
    }

    pub fn insert(&mut self, slot: Slot) {
        self.0[slot.index() / 64] |= 1 << (slot.index() % 64);
    }

    pub fn contains(&self, slot: Slot) -> bool {
        self.0[slot.index() / 64] & (1 << (slot.index() % 64)) != 0
    }

    /// True if any slot of the range is in the set.
    pub fn has_any_of(&self, range: &Range<u16>) -> bool {
        words_of(range).any(|(at, bits)| self.0[at] & bits != 0)
    }

    /// The slots of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a | b)
    }

    /// The slots of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & b)
    }

    /// The slots of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & !b)
    }

    fn combine(&self, other: &Self, of_words: impl Fn(u64, u64) -> u64) -> Self {
        let mut combined = self.clone();
        for (word, other) in combined.0.iter_mut().zip(other.0.iter()) {
            *word = of_words(*word, *other);
        }
        combined
    }

    /// The slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        (0u16..).zip(self.0.iter()).flat_map(|(at, word)| {
            // Clearing the lowest bit each time visits only the slots of the set.
            let clear_lowest = |rest: &u64| Some(rest & rest.wrapping_sub(1));
            std::iter::successors(Some(*word), clear_lowest)
                .take_while(|rest| *rest != 0)
                .map(move |rest| Slot(at * 64 + rest.trailing_zeros() as u16))
        })
    }

    /// The slots from `start` on.
    #[must_use]
    pub fn from(&self, start: u16) -> Self {
        let mut rest = Self::default();
        rest.fill(&(start.min(SLOTS)..SLOTS));
        self.intersection(&rest)
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

/// The words that a range of slots covers, each with the range's bits in it.
fn words_of(range: &Range<u16>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let (start, end) = (range.start, range.end);
    let last = if start < end { end.div_ceil(64) } else { 0 };
    let words = start / 64..last;
    words.map(move |word| {
        let (first, after) = (start.max(word * 64), end.min((word + 1) * 64));
        let bits = (u64::MAX >> (64 - (after - first))) << (first % 64);
        (usize::from(word), bits)
    })
}

impl Default for SlotSet {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl Extend<Slot> for SlotSet {
    fn extend<I: IntoIterator<Item = Slot>>(&mut self, slots: I) {
        for slot in slots {
            self.insert(slot);
        }
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::default();
        set.extend(slots);
        set
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ranges()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn models() -> impl Strategy<Value = BTreeSet<Slot>> {
        // Neighbours, word ends and the last slot are where a bitmap goes wrong; a few places far
        // apart keep overlaps between two sets likely.
        let places = prop_oneof![0u16..4, 62u16..67, 127u16..130, SLOTS - 3..SLOTS, 0..SLOTS];
        proptest::collection::btree_set(places.prop_map(Slot), 0..24)
    }

    fn set_of(model: &BTreeSet<Slot>) -> SlotSet {
        model.iter().copied().collect()
    }

    fn model_of(set: &SlotSet) -> Vec<Slot> {
        set.iter().collect()
    }

    proptest! {
        #[test]
        fn a_slot_set_answers_as_a_tree_set_does(a in models(), b in models(), slot in 0..SLOTS) {
            let (x, y) = (set_of(&a), set_of(&b));
            prop_assert_eq!(model_of(&x), a.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(model_of(&x.union(&y)), a.union(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(model_of(&x.intersection(&y)), a.intersection(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(model_of(&x.difference(&y)), a.difference(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!((x.len(), x.is_empty()), (a.len(), a.is_empty()));
            prop_assert_eq!(x.contains(Slot(slot)), a.contains(&Slot(slot)));
            prop_assert_eq!(x == y, a == b);
            let range = slot..slot.saturating_add(70).min(SLOTS);
            prop_assert_eq!(x.has_any_of(&range), a.range(Slot(range.start)..Slot(range.end)).next().is_some());
        }

        #[test]
        fn a_slot_set_survives_its_ranges(model in models()) {
            let set = set_of(&model);
            let ranges = set.ranges();
            prop_assert!(ranges.iter().all(|range| range.start < range.end));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(SlotSet::from_ranges(ranges), Some(set));
        }

        #[test]
        fn any_ranges_are_read_without_a_panic(ranges in proptest::collection::vec(any::<(u16, u16)>(), 0..4)) {
            let fits = ranges.iter().all(|(start, end)| start <= end && *end <= SLOTS);
            let set = SlotSet::from_ranges(ranges.into_iter().map(|(start, end)| start..end));
            prop_assert_eq!(set.is_some(), fits);
        }
    }

    #[test]
    fn an_empty_range_has_no_slots() {
        for at in [0, 5, 64, SLOTS] {
            let empty = at..at;
            assert_eq!(SlotSet::from_ranges([empty.clone()]), Some(SlotSet::default()));
            assert!(!SlotSet::all().has_any_of(&empty));
        }
    }

    #[test]
    fn all_slots_are_one_range() {
        assert_eq!(SlotSet::all(), Slot::all().collect());
        assert_eq!(format!("{:?}", SlotSet::all()), "{0..16384}");
    }
}
