//! Maps each slot to the partition that owns it, and keeps the shares even with the fewest moves.
//!
//! It knows partitions by number only; the view knows their nodes.

use std::collections::BTreeSet;
use std::fmt;
use std::iter::repeat_n;
use std::ops::Range;

use super::SlotSet;
use crate::names::{PartitionId, SLOTS, Slot};

/// Marks a slot without an owner while the table changes; a view has fewer partitions than this.
const FREE: u16 = u16::MAX;

/// The owner of each slot. Shares differ by one slot at most.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SlotTable {
    /// By slot: every request looks here.
    owners: Vec<u16>,
    /// The same as runs of slots with one owner, for questions about many slots.
    runs: Vec<(Range<u16>, PartitionId)>,
}

impl SlotTable {
    /// Builds the table from runs, given by length. They must cover every slot.
    fn new(runs: impl Iterator<Item = (u16, u16)>) -> Self {
        let mut table = Self {
            owners: Vec::with_capacity(usize::from(SLOTS)),
            runs: Vec::new(),
        };
        let mut start = 0;
        for (len, owner) in runs.filter(|(len, _)| *len > 0) {
            let (end, partition) = (start + len, PartitionId(u32::from(owner)));
            table.owners.resize(usize::from(end), owner);
            match table.runs.last_mut() {
                Some((last, of)) if *of == partition => last.end = end,
                _ => table.runs.push((start..end, partition)),
            }
            start = end;
        }
        table
    }

    /// Equal contiguous runs.
    pub(super) fn even(partitions: usize) -> Self {
        let end = |partition: usize| partition * usize::from(SLOTS) / partitions;
        let runs = (0..partitions).map(|partition| (end(partition + 1) - end(partition), partition));
        Self::new(runs.map(|(len, partition)| (length(len), entry(partition))))
    }

    pub(super) fn partition_of(&self, slot: Slot) -> PartitionId {
        PartitionId(u32::from(self.owners[slot.index()]))
    }

    pub(super) fn slots_of(&self, partition: PartitionId) -> SlotSet {
        let of_partition = self.runs.iter().filter(|(_, owner)| *owner == partition);
        SlotSet::from_ranges(of_partition.map(|(run, _)| run.clone())).expect("runs of the table")
    }

    /// The partitions that own any of these slots.
    pub(super) fn partitions_of(&self, slots: &SlotSet) -> BTreeSet<PartitionId> {
        let mut partitions = BTreeSet::new();
        for (run, owner) in &self.runs {
            if !partitions.contains(owner) && slots.has_any_of(run) {
                partitions.insert(*owner);
            }
        }
        partitions
    }

    /// Adds a partition, which takes an equal share from each of the existing `partitions`.
    pub(super) fn add_partition(&mut self, partitions: usize) {
        *self = Self::leveled(self.owners.clone(), partitions + 1);
    }

    /// Removes a partition: its slots are dealt to the others, and the last partition takes its number.
    pub(super) fn dissolve(&mut self, gone: PartitionId, partitions: usize) {
        let gone = entry(gone.0 as usize);
        let last = entry(partitions - 1);
        let mut owners = self.owners.clone();
        for owner in &mut owners {
            if *owner == gone {
                *owner = FREE;
            } else if *owner == last {
                *owner = gone;
            }
        }
        *self = Self::leveled(owners, partitions - 1);
    }

    /// Deals free slots, and the surplus of partitions above their target, to partitions below theirs.
    fn leveled(mut owners: Vec<u16>, partitions: usize) -> Self {
        let mut shares = vec![0; partitions];
        for owner in owners.iter().filter(|owner| **owner != FREE) {
            shares[usize::from(*owner)] += 1;
        }
        let targets = targets(&shares);
        // The highest slots go first, so that a partition keeps its slots in few runs.
        for owner in owners.iter_mut().rev().filter(|owner| **owner != FREE) {
            let at = usize::from(*owner);
            if shares[at] > targets[at] {
                shares[at] -= 1;
                *owner = FREE;
            }
        }
        let mut takers = (0..partitions).flat_map(|at| repeat_n(entry(at), targets[at] - shares[at]));
        for owner in owners.iter_mut().filter(|owner| **owner == FREE) {
            *owner = takers.next().expect("the targets add up to all slots");
        }
        let runs = owners.chunk_by(|a, b| a == b);
        Self::new(runs.map(|run| (length(run.len()), run[0])))
    }

    pub(super) fn is_even(&self, partitions: usize) -> bool {
        let mut shares = vec![0; partitions];
        for (run, owner) in &self.runs {
            shares[owner.0 as usize] += run.len();
        }
        let most = shares.iter().max();
        let least = shares.iter().min();
        most.zip(least).is_some_and(|(most, least)| most - least <= 1)
    }

    /// The table as runs: how many slots, of which partition.
    pub(super) fn to_runs(&self) -> Vec<(u16, u32)> {
        let runs = self.runs.iter();
        runs.map(|(run, owner)| (run.end - run.start, owner.0)).collect()
    }

    /// A table from runs; none unless they cover every slot once, with one of `partitions` each.
    pub(super) fn from_runs(runs: &[(u16, u32)], partitions: usize) -> Option<Self> {
        let total: u64 = runs.iter().map(|(len, _)| u64::from(*len)).sum();
        let known = runs
            .iter()
            .all(|(_, partition)| (*partition as usize) < partitions);
        if total != u64::from(SLOTS) || !known {
            return None;
        }
        let runs = runs.iter().copied();
        Some(Self::new(
            runs.map(|(len, partition)| (len, entry(partition as usize))),
        ))
    }
}

impl fmt::Debug for SlotTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.to_runs()).finish()
    }
}

/// The even shares that need the fewest moves: the partitions that hold most keep the odd slots.
fn targets(shares: &[usize]) -> Vec<usize> {
    let (share, odd) = (
        usize::from(SLOTS) / shares.len(),
        usize::from(SLOTS) % shares.len(),
    );
    let mut by_share: Vec<usize> = (0..shares.len()).collect();
    by_share.sort_by_key(|at| std::cmp::Reverse(shares[*at]));
    let mut targets = vec![share; shares.len()];
    for at in &by_share[..odd] {
        targets[*at] += 1;
    }
    targets
}

fn length(run: usize) -> u16 {
    u16::try_from(run).expect("a run has at most SLOTS slots")
}

fn entry(partition: usize) -> u16 {
    u16::try_from(partition).expect("a view has at most NODES_MAX partitions")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(before: &SlotTable, after: &SlotTable) -> usize {
        before
            .owners
            .iter()
            .zip(&after.owners)
            .filter(|(a, b)| a != b)
            .count()
    }

    #[test]
    fn the_first_table_is_equal_runs() {
        assert_eq!(SlotTable::even(1).to_runs(), [(SLOTS, 0)]);
        assert_eq!(SlotTable::even(3).to_runs(), [(5461, 0), (5461, 1), (5462, 2)]);
    }

    #[test]
    fn a_new_partition_takes_its_share_and_nothing_else_moves() {
        for partitions in 1..200 {
            let before = SlotTable::even(partitions);
            let mut after = before.clone();
            after.add_partition(partitions);
            assert_eq!(moved(&before, &after), usize::from(SLOTS) / (partitions + 1));
            assert!(after.is_even(partitions + 1), "{partitions}");
        }
    }

    #[test]
    fn a_partition_gives_its_highest_slots_and_keeps_one_run() {
        let mut table = SlotTable::even(1);
        table.add_partition(1);
        assert_eq!(table.to_runs(), [(8192, 0), (8192, 1)]);
        table.add_partition(2);
        assert_eq!(table.to_runs(), [(5462, 0), (2730, 2), (5461, 1), (2731, 2)]);
    }

    #[test]
    fn a_new_partition_takes_as_much_from_each() {
        let before = SlotTable::even(3);
        let mut after = before.clone();
        after.add_partition(3);
        let taken = |from| {
            let gone = before
                .slots_of(PartitionId(from))
                .difference(&after.slots_of(PartitionId(from)));
            gone.len()
        };
        assert_eq!([taken(0), taken(1), taken(2)], [1365, 1365, 1366]);
    }

    #[test]
    fn a_dissolved_partition_is_dealt_out_and_the_last_takes_its_number() {
        for gone in 0..7 {
            let before = SlotTable::even(7);
            let mut after = before.clone();
            after.dissolve(PartitionId(gone), 7);
            assert!(after.is_even(6));
            for kept in (0..7).filter(|kept| *kept != gone) {
                let now = if kept == 6 { gone } else { kept };
                let lost = before
                    .slots_of(PartitionId(kept))
                    .difference(&after.slots_of(PartitionId(now)));
                assert!(lost.is_empty(), "{kept} lost {lost:?} when {gone} was dissolved");
            }
        }
    }

    #[test]
    fn runs_that_miss_or_repeat_slots_are_refused() {
        let read = |runs: &[(u16, u32)]| SlotTable::from_runs(runs, 2).is_some();
        assert!(read(&[(SLOTS - 1, 0), (1, 1)]));
        assert!(!read(&[(SLOTS - 1, 0)]));
        assert!(!read(&[(SLOTS, 0), (1, 1)]));
        assert!(!read(&[(SLOTS - 1, 0), (1, 2)]));
        assert!(!read(&[(u16::MAX, 0); 4]));
    }

    #[test]
    fn ten_thousand_random_keys_are_spread_evenly() {
        for partitions in 2..=16 {
            let table = SlotTable::even(partitions);
            let mut keys = vec![0; partitions];
            for number in 0..10_000u64 {
                // An odd multiplier scatters the numbers: keys as clients draw them, the same each run.
                let key = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                keys[table.partition_of(Slot::of(&key)).0 as usize] += 1;
            }
            let most = keys.iter().max().expect("has partitions");
            // At most 1.10 of the mean, in whole numbers.
            assert!(most * partitions * 10 <= 10_000 * 11, "{keys:?}");
        }
    }
}
