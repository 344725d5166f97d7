//! The names of things: keys, nodes, partitions, epochs, logs and dots.
//!
//! They have a low floor because almost every other floor uses them. Nothing here knows what the named
//! things do.

mod node_id;

use std::fmt;

pub use node_id::{NodeId, NodeIdError};
use xxhash_rust::xxh3::xxh3_64;

/// How many slots there are. Keys move between partitions by whole slots.
pub const SLOTS: u16 = 16_384;

/// The longest key, in characters after decoding.
pub const KEY_CHARS_MAX: usize = 200;

/// The name of a value: 1 to 200 characters of UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<str>);

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key is empty; put it behind /kv-store/")]
    Empty,
    #[error("the key is longer than {KEY_CHARS_MAX} characters")]
    TooLong,
}

impl Key {
    /// A key from its decoded text.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > KEY_CHARS_MAX && text.chars().count() > KEY_CHARS_MAX {
            return Err(KeyError::TooLong);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slot that this key belongs to, the same on every node and in every version.
    pub fn slot(&self) -> Slot {
        Slot::of(self.as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the [`SLOTS`] shares of the key space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl Slot {
    /// The slot of a key: xxh3 of its bytes, modulo the number of slots.
    pub fn of(key: impl AsRef<[u8]>) -> Self {
        let slot = xxh3_64(key.as_ref()) % u64::from(SLOTS);
        Self(u16::try_from(slot).expect("a remainder of SLOTS fits"))
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Every slot, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS).map(Self)
    }
}

/// One life of a node's data: drawn when a node starts with an empty store, and kept on disk with the
/// data. A node that lost its disk is a new incarnation of the same node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// Wall clock at the first start, in milliseconds since 1970.
    pub started_ms: u64,
    pub random: u64,
}

/// A node in one of its lives, as a view lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    pub node: NodeId,
    pub incarnation: Incarnation,
}

impl Member {
    /// The short name of this member in logs.
    pub fn id(&self) -> MemberId {
        let mut bytes = self.node.as_str().as_bytes().to_vec();
        bytes.extend_from_slice(&self.incarnation.started_ms.to_le_bytes());
        bytes.extend_from_slice(&self.incarnation.random.to_le_bytes());
        MemberId(xxh3_64(&bytes))
    }
}

/// A member's short name: a hash of node and incarnation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{:08x}", self.0 >> 32)
    }
}

/// The number of a partition: 0 … P-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a view: the line of views that it belongs to, and its number on that line.
///
/// The first view that serves is epoch 1; 0 is "no view yet". Views of one line follow each other. A
/// decision that passes over a quorum forks: it begins a line of a higher generation, and the numbers go
/// on. Lines are ordered by generation, then by a random number drawn when they began, so every node
/// ranks two lines the same. An epoch is one number, ordered by line, then by number on the line:
///
/// ```text
/// generation 12 bits | line 20 bits | number 32 bits
/// ```
///
/// The line that a cluster begins with is 0, so an epoch on it equals its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// A line of views that follow each other: its generation, and the number drawn when it began. Higher lines
/// outrank lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Line(u32);

impl Line {
    const DRAWN_BITS: u32 = 20;

    /// How often a quorum was passed over on the way to this line.
    pub const fn generation(self) -> u32 {
        self.0 >> Self::DRAWN_BITS
    }
}

impl Epoch {
    pub const NONE: Self = Self(0);
    pub const FIRST: Self = Self(1);

    const NUMBER_BITS: u32 = 32;

    /// Its place among all views of its history, from 1.
    pub const fn number(self) -> u64 {
        self.0 & ((1 << Self::NUMBER_BITS) - 1)
    }

    pub const fn line(self) -> Line {
        Line((self.0 >> Self::NUMBER_BITS) as u32)
    }

    /// The epoch of this number on a line.
    pub const fn on(line: Line, number: u64) -> Self {
        Self((line.0 as u64) << Self::NUMBER_BITS | number)
    }

    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The epoch of the same number on a line of the next generation; `drawn` is random.
    pub const fn forked(self, drawn: u64) -> Self {
        let drawn = drawn as u32 & ((1 << Line::DRAWN_BITS) - 1);
        let line = Line((self.line().generation() + 1) << Line::DRAWN_BITS | drawn);
        Self::on(line, self.number())
    }
}

/// The number; on a forked line, also the line.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line(line) = self.line();
        match line {
            0 => self.number().fmt(f),
            _ => write!(f, "{} of line {line:08x}", self.number()),
        }
    }
}

/// The identity of a cluster; drawn with its first view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

/// The writes that one member took as coordinator in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Log {
    pub epoch: Epoch,
    pub member: MemberId,
}

/// The name of one write: its place in its log, from 1 without gaps. Never used twice (I1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    pub log: Log,
    pub number: u64,
}

impl Dot {
    /// The entry for everything that was written up to an epoch of a line that was given up. No member
    /// has the id 0, so it names no write.
    pub const fn everything_of(epoch: Epoch) -> Self {
        let log = Log {
            epoch,
            member: MemberId(0),
        };
        Self { log, number: 1 }
    }

    pub const fn is_everything(self) -> bool {
        self.log.member.0 == 0 && self.number == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_to_two_hundred_characters() {
        assert_eq!(Key::new(""), Err(KeyError::Empty));
        assert!(Key::new(&"é".repeat(KEY_CHARS_MAX)).is_ok());
        assert_eq!(Key::new(&"é".repeat(KEY_CHARS_MAX + 1)), Err(KeyError::TooLong));
    }

    #[test]
    fn slots_never_change_between_versions() {
        // Pinned: a key that changes its slot is lost to every cluster that stored it.
        assert_eq!([Slot::of("a").0, Slot::of("key").0, Slot::of("é").0], PINNED);
    }

    const PINNED: [u16; 3] = [3615, 9699, 3251];

    #[test]
    fn epochs_are_ordered_by_generation_then_line_then_number() {
        let early = Epoch(7).forked(5);
        let later = Epoch(7).next().forked(9);
        assert_eq!((early.number(), early.line().generation()), (7, 1));
        assert!(Epoch(900) < early && early < later && early.next() < later);
        assert!(later < Epoch(2).forked(0).forked(0));
        assert_eq!(Epoch::on(early.line(), 8), early.next());
        assert_eq!(Epoch(7).to_string(), "7");
        assert_eq!(early.next().to_string(), "8 of line 00100005");
    }

    #[test]
    fn a_new_incarnation_is_another_member() {
        let node: NodeId = "10.0.0.1:80".parse().expect("parses");
        let life = |random| Member {
            node: node.clone(),
            incarnation: Incarnation {
                started_ms: 1,
                random,
            },
        };
        assert_ne!(life(1).id(), life(2).id());
        assert_eq!(life(1).id(), life(1).id());
    }
}
