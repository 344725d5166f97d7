//! The faults of a run, and the names under which they are counted.
//!
//! A stream between two nodes is an ordered connection, as with TCP: it never delivers a frame twice,
//! never loses one from its middle, and never lets one overtake another. So loss shows as frames that
//! come late, with all behind them ([`Fault::Lose`]), or as a stream that breaks with the frames in
//! flight ([`Fault::Break`]). Duplication shows as a repeated request: if only the way back is cut or
//! breaks, a peer has acted on a request whose answer never arrives, and gets it again on a new stream.
//!
//! A disk stores a batch whole or not at all. If a kill interrupts a sync, the dice decide which; a torn
//! last record is such a batch, absent after recovery. `src/store/durable/tests/torn_journal.rs` tests
//! the repair of torn journals on real bytes: it cuts the real engine's journal at every byte of its
//! last batch.

/// A fault or its repair. Nodes by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Cut(usize, usize),
    CutOneWay(usize, usize),
    /// Cut and whole in turn, each for this many milliseconds.
    Flap(usize, usize, u64),
    /// Frames are late by up to this many milliseconds.
    Slow(usize, usize, u64),
    /// This many of a hundred frames are lost and resent by the transport, perhaps repeatedly.
    Lose(usize, usize, u64),
    /// Every stream between two nodes ends; of the frames in flight each way, all arrive or none.
    Break(usize, usize),
    HealLink(usize, usize),
    /// The address of the first leads to the second.
    Redirect(usize, usize),
    /// The address leads to its own node again.
    EndRedirect(usize),
    /// A node that has never run is started under another node's name.
    StartAs(usize, usize),
    /// Cuts a node off from every other; its clients still reach it.
    Isolate(usize),
    Rejoin(usize),
    Kill(usize),
    Start(usize),
    /// Kills a node and destroys its disk.
    Wipe(usize),
    /// Stops all tasks of a node and keeps its connections, as SIGSTOP does.
    Freeze(usize),
    Thaw(usize),
    /// Sets a clock this many milliseconds off.
    Clock(usize, i64),
    /// Sets the clocks of all nodes this many milliseconds off.
    Clocks(i64),
    /// Lets a clock run this many millionths too fast, or too slow if negative.
    Drift(usize, i64),
    DiskFull(usize, bool),
    /// Each sync takes up to this many milliseconds.
    SlowDisk(usize, u64),
    /// While true, the disk stores a batch or not and does not know which.
    DiskInDoubt(usize, bool),
    /// An operator asks one node to add another, or to remove one: nodes by their places among those
    /// that can take part.
    Add {
        node: usize,
        via: usize,
    },
    Remove {
        node: usize,
        via: usize,
    },
    /// The same for exactly this node, asked of exactly that one: on one side of a cut, forced or not.
    RemoveHere {
        node: usize,
        via: usize,
        force: bool,
    },
    /// Copies a disk, to be restored later.
    Copy(usize),
    /// Kills a node, restores the copy of its disk, and starts it where it reaches all others.
    GoBack(usize),
}

/// A fault and when it strikes, in milliseconds from the beginning of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub at_ms: u64,
    pub fault: Fault,
}

impl Fault {
    /// The name it is counted under; none for a repair, a start and an operator's request.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Cut(..) => "link cut",
            Self::CutOneWay(..) => "link cut one way",
            Self::Flap(..) => "link flapping",
            Self::Slow(..) => "link slow",
            Self::Lose(..) => "link losing frames",
            Self::Break(..) => "streams broken",
            Self::Redirect(..) => "address of another node",
            Self::StartAs(..) => "started with another's name",
            Self::Isolate(_) => "node cut off",
            Self::Kill(_) => "node killed",
            Self::Wipe(_) => "disk destroyed",
            Self::GoBack(_) => "disk put back",
            Self::RemoveHere { force: true, .. } => "view forced",
            Self::Freeze(_) => "node frozen",
            Self::Clock(_, off_ms) if off_ms.unsigned_abs() > FAR_OFF_MS => "clock far off",
            Self::Clock(..) => "clock jumped",
            Self::Clocks(off_ms) if off_ms.unsigned_abs() > FAR_OFF_MS => "all clocks far off",
            Self::Clocks(..) => "all clocks jumped",
            Self::Drift(..) => "clock drifting",
            Self::DiskFull(_, true) => "disk full",
            Self::SlowDisk(_, sync_ms) if sync_ms > QUICK_SYNC_MS => "disk slow",
            Self::DiskInDoubt(_, true) => "disk in doubt",
            Self::HealLink(..)
            | Self::EndRedirect(_)
            | Self::Rejoin(_)
            | Self::Start(_)
            | Self::Thaw(_)
            | Self::DiskFull(_, false)
            | Self::SlowDisk(..)
            | Self::DiskInDoubt(_, false)
            | Self::Add { .. }
            | Self::Remove { .. }
            | Self::RemoveHere { .. }
            | Self::Copy(_) => return None,
        })
    }
}

/// Clocks that are further off than the default `CLOCK_LIMIT` are counted separately.
pub const FAR_OFF_MS: u64 = 3_600_000;

/// Syncs that take longer than this excuse slow answers.
pub const QUICK_SYNC_MS: u64 = 25;
