//! How much of the disk the store uses, and how much it leaves free.
//!
//! A database that runs into the end of its disk stops, and what it then needs to get going again is
//! room. So batches are refused while there is still enough left to write out what is in memory and
//! to merge tables: the disk is seldom full in the middle of anything, and a store that refused can
//! always shrink.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;

const MIB: u64 = 1024 * 1024;

/// The database changes journals at 64 MB and never earlier, so there is no use in a limit above.
const JOURNAL_BYTES_MAX: u64 = 65 * MIB;

/// Merging may need the room of what it merges a second time. Above this, merges are of parts.
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

/// What the store allows itself on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// So many bytes of batches are kept in the journal before they are written out to tables.
    pub(super) journal_bytes: u64,
    /// Whether batches are refused before the disk is full. Off only to test what happens then.
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

    /// The database cannot be told to change journals before 64 MB, so on a small disk it is closed,
    /// its journal emptied and opened again: milliseconds, since little is in it.
    pub(super) fn is_small(&self) -> bool {
        self.journal_bytes < JOURNAL_BYTES_MAX
    }

    /// Why a batch of so many bytes must not be begun now, if so.
    pub(super) fn refusal(&self, disk: Disk, batch_bytes: u64, table_bytes: u64) -> Option<String> {
        let wanted = batch_bytes + self.reserve(table_bytes);
        (self.keeps_reserve && disk.available < wanted).then(|| {
            format!(
                "the disk is full: {} bytes are available and {wanted} are wanted; free some room",
                disk.available
            )
        })
    }

    /// Whether everything can be written out and merged. An attempt that fails stops the database.
    pub(super) fn has_room_to_shrink(disk: Disk, journal_bytes: u64, table_bytes: u64) -> bool {
        disk.available > 2 * journal_bytes + table_bytes
    }

    // A journal's worth of tables to write out, as much again to go on in the meantime, and a merge.
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
