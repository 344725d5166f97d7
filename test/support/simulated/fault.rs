//! What can go wrong in a run, and what each thing is called where it is counted.
//!
//! A stream between two nodes is an ordered connection, as TCP gives it: it never delivers a frame twice,
//! never loses one from its middle, and never lets one overtake another. So loss shows as frames that
//! come late, all behind them too ([`Fault::Lose`]), or as a stream that breaks with what was under way
//! ([`Fault::Break`]). Duplication shows as a request that is sent again: where the way back is cut or
//! breaks alone, a peer has acted on a question whose answer never comes, and is asked again on a new
//! stream.
//!
//! A disk stores a batch whole or not at all. A kill in the middle of a sync decides by the dice which; a
//! torn last record is such a batch, absent after recovery. How the bytes of a torn journal are mended is
//! shown where there are bytes: `src/store/durable/tests/torn_journal.rs` cuts the real engine's journal
//! at every byte of its last batch.

/// One thing that goes wrong, or is mended. Nodes by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Cut(usize, usize),
    CutOneWay(usize, usize),
    /// Cut and whole in turn, for so many milliseconds each.
    Flap(usize, usize, u64),
    /// Frames are late by up to this many milliseconds.
    Slow(usize, usize, u64),
    /// So many of a hundred frames are lost and sent again by the transport, and again.
    Lose(usize, usize, u64),
    /// Every stream between two nodes ends; of what is under way each way, all arrives or nothing.
    Break(usize, usize),
    HealLink(usize, usize),
    /// The address of the first leads to the second.
    Mislead(usize, usize),
    /// The address leads to its own node again.
    Lead(usize),
    /// A node that has never run is started with another one's name.
    StartAs(usize, usize),
    /// Cuts a node off from every other; its clients still reach it.
    Isolate(usize),
    Rejoin(usize),
    Kill(usize),
    Start(usize),
    /// Kills a node and destroys its disk.
    Wipe(usize),
    /// No task of a node runs, and its connections stay: what SIGSTOP does.
    Freeze(usize),
    Thaw(usize),
    /// Sets a clock this many milliseconds off.
    Clock(usize, i64),
    /// Sets the clocks of all nodes this many milliseconds off.
    Clocks(i64),
    /// Lets a clock run so many millionths too fast, or too slowly.
    Drift(usize, i64),
    DiskFull(usize, bool),
    /// Each sync takes up to this many milliseconds.
    SlowDisk(usize, u64),
    /// While true, the disk stores a batch or not and does not know which.
    DiskInDoubt(usize, bool),
    /// An operator asks one node to add another, or to remove one: nodes by their places among those of
    /// which it makes sense.
    Add {
        node: usize,
        via: usize,
    },
    Remove {
        node: usize,
        via: usize,
    },
    /// The same for just this node, asked of just that one: on one side of a cut, with or without force.
    RemoveHere {
        node: usize,
        via: usize,
        force: bool,
    },
    /// Copies a disk, to be put back later.
    Copy(usize),
    /// Kills a node, puts the copy of its disk back, and starts it where it reaches all others.
    GoBack(usize),
}

/// A fault and when it strikes, in milliseconds from the beginning of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub at_ms: u64,
    pub fault: Fault,
}

impl Fault {
    /// What it counts as; nothing for a mending, a start and an operator's wish.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Cut(..) => "link cut",
            Self::CutOneWay(..) => "link cut one way",
            Self::Flap(..) => "link flapping",
            Self::Slow(..) => "link slow",
            Self::Lose(..) => "link losing frames",
            Self::Break(..) => "streams broken",
            Self::Mislead(..) => "address of another node",
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
            | Self::Lead(_)
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

/// Clocks that are further off than the default `CLOCK_LIMIT` count apart.
pub const FAR_OFF_MS: u64 = 3_600_000;

/// Syncs of more than this excuse slow answers.
pub const QUICK_SYNC_MS: u64 = 25;
