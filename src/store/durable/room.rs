//! Decides how much of the disk the store uses, and how much it leaves free.
//!
//! A database stops when its disk is full, and then needs free room to continue. So batches are refused
//! while there is still enough room to write out memory and to merge tables. The disk then seldom fills up
//! in the middle of an operation, and a store that refused can always shrink.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;

const MIB: u64 = 1024 * 1024;

/// The database changes journals at 64 MB and never earlier, so a higher limit is of no use.
const JOURNAL_BYTES_MAX: u64 = 65 * MIB;

/// Memory is written out to tables in parts of this size, and tables are merged into parts of this size. Each part is
/// synced as a whole, several times while the database lets no batch in; so large parts would make batches wait.
pub(super) const PART_BYTES: u64 = 16 * MIB;

/// Merging may need as much room again as the tables that it merges. Above this size only parts are merged.
const MERGE_BYTES_MAX: u64 = 512 * MIB;

/// Bytes of the file system that holds the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) total: u64,
    pub(super) available: u64,
}

impl Disk {
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let stat = statvfs(dir)?;
        Ok(Self {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            available: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
}

/// How much of a disk the store may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// How many bytes of batches the journal keeps.
    pub(super) journal_bytes: u64,
    /// True if batches are refused before the disk is full. False only in tests of a full disk.
    pub(super) keeps_reserve: bool,
}

impl Limits {
    /// An eighth of a small disk for the journal: it must fit several times, see `reserve`.
    pub(super) fn for_disk(total: u64) -> Self {
        Self {
            journal_bytes: (total / 8).clamp(MIB, JOURNAL_BYTES_MAX),
            keeps_reserve: true,
        }
    }

    /// How many bytes of batches stay in memory before they are written out to tables.
    pub(super) fn write_out_bytes(&self) -> u64 {
        if self.is_small() {
            self.journal_bytes
        } else {
            PART_BYTES
        }
    }

    /// True on a small disk. The database cannot change journals before 64 MB, so here it is closed, its
    /// journal is emptied, and it is opened again: milliseconds, since little is in it.
    pub(super) fn is_small(&self) -> bool {
        self.journal_bytes < JOURNAL_BYTES_MAX
    }

    /// The reason why a batch of `batch_bytes` must not be begun now, if there is one.
    pub(super) fn refusal(&self, disk: Disk, batch_bytes: u64, table_bytes: u64) -> Option<String> {
        let wanted = batch_bytes + self.reserve(table_bytes);
        (self.keeps_reserve && disk.available < wanted).then(|| {
            format!(
                "the disk is full: {} bytes are available, and this write needs {wanted}: {batch_bytes} for itself, \
                 the rest to write out and merge what is stored; free some room",
                disk.available
            )
        })
    }

    /// True if there is room to write out and merge everything. A failed attempt stops the database.
    pub(super) fn has_room_to_shrink(disk: Disk, journal_bytes: u64, table_bytes: u64) -> bool {
        disk.available > 2 * journal_bytes + table_bytes
    }

    // Room to write out one journal, as much again for batches in the meantime, and room for a merge.
    fn reserve(&self, table_bytes: u64) -> u64 {
        2 * self.journal_bytes + table_bytes.min(MERGE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_leaves_most_of_a_disk_to_the_store() {
        for total in [64 * MIB, 1024 * MIB, 1024 * 1024 * MIB] {
            let limits = Limits::for_disk(total);
            assert!(limits.reserve(0) <= total / 4, "{total}");
            assert!(limits.journal_bytes <= total / 8, "{total}");
        }
        assert!(Limits::for_disk(64 * MIB).is_small());
        assert!(!Limits::for_disk(1024 * MIB).is_small());
    }

    #[test]
    fn a_batch_that_would_use_the_reserve_is_refused() {
        let limits = Limits::for_disk(64 * MIB);
        let disk = |available| Disk {
            total: 64 * MIB,
            available,
        };
        let wanted = 100 + limits.reserve(MIB);
        assert_eq!(limits.refusal(disk(wanted), 100, MIB), None);
        assert!(limits.refusal(disk(wanted - 1), 100, MIB).is_some());
    }
}
