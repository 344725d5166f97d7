//! The commands of a replica that need more than a few arguments, and its answers.

use std::sync::Arc;

use bytes::Bytes;

use crate::names::{Dot, Epoch, Key, Member, MemberId};
use crate::protocol::causality::{Payload, Record, Timestamp, VersionVector};
use crate::protocol::placement::{LeftBehind, SlotSet};
use crate::protocol::replication::{Kept, NoExchange};

/// A write that this member takes as coordinator; no value makes it a deletion.
#[derive(Debug)]
pub struct Write {
    pub key: Key,
    pub value: Option<Bytes>,
    pub payload: Payload,
    /// Every entry of the payload is known to exist.
    pub vouched: bool,
}

/// A write that is stored here.
#[derive(Debug, Clone)]
pub struct Stored {
    pub dot: Dot,
    pub timestamp: Timestamp,
    pub created: bool,
    /// How many replicas hold it durably, this one included.
    pub replicas: u32,
}

/// Operations of one client on keys that this member owns, stored in one batch or not at all.
#[derive(Debug)]
pub struct Operations {
    pub operations: Vec<Operation>,
    pub payload: Payload,
    /// Every entry of the payload is known to exist.
    pub vouched: bool,
    /// How many bytes of values the answer may show; the last value may exceed it.
    pub room: usize,
    /// The numbers that were known stable when they came.
    pub known_stable: Arc<VersionVector>,
}

/// One of several operations by one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Get { key: Key },
    Put { key: Key, value: Vec<u8> },
    Delete { key: Key },
}

impl Operation {
    pub fn key(&self) -> &Key {
        match self {
            Self::Get { key } | Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    pub fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. })
    }
}

/// The result of one of several operations, and its client's dependencies after it.
#[derive(Debug, Clone)]
pub enum Outcome {
    Found {
        record: Record,
        payload: Payload,
    },
    Missing {
        payload: Payload,
    },
    Written(Effect),
    /// A read that the answer has no room for.
    NoRoom,
}

impl Outcome {
    /// The approximate length in bytes.
    pub fn about_bytes(&self) -> usize {
        let (value, payload) = match self {
            Self::Found { record, payload } => (record.as_block().len(), payload),
            Self::Missing { payload } => (0, payload),
            Self::Written(effect) => (0, &effect.payload),
            Self::NoRoom => return 1,
        };
        value + payload.about_bytes()
    }
}

/// The effect of a write.
#[derive(Debug, Clone)]
pub struct Effect {
    /// As far as this replica knew, the key did not exist before.
    pub created: bool,
    /// The writer's dependencies after the write.
    pub payload: Payload,
    pub timestamp: Timestamp,
    /// How many replicas have it on stable storage, the coordinator included.
    pub replicas: u32,
}

/// Records of the sender's own log, from number `first` on without gaps.
#[derive(Debug, Clone)]
pub struct Push {
    pub epoch: Epoch,
    pub first: u64,
    /// The number before the first: each start of the sender skips numbers.
    pub after: u64,
    pub records: Vec<Record>,
    /// The number up to which the sender's log is stable.
    pub stable: u64,
}

/// The outcome of a push.
#[derive(Debug)]
pub enum Pushed {
    /// Its records are in the batch; once that is stored, this replica holds this much of the epoch's logs.
    Taken {
        epoch: Epoch,
        held: VersionVector,
    },
    NotTaken,
    /// The number before it is missing.
    TooEarly,
}

/// One attempt to follow a view change. Work of an earlier attempt is not continued: its copies may have been
/// dropped since, and the present copies belong to this attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeAttempt {
    pub target: Epoch,
    /// Changes whenever the node follows another change, even one that it followed before.
    pub number: u64,
}

/// Why a replica does not do what its own node tells it to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDone {
    NoExchange(NoExchange),
    /// The replica follows another attempt, is in another view, or in another life than the command is about.
    MovedOn,
}

impl From<NoExchange> for NotDone {
    fn from(reason: NoExchange) -> Self {
        Self::NoExchange(reason)
    }
}

/// Records that a removed member returns, or that an earlier life of a node left behind.
#[derive(Debug, Clone)]
pub struct Return {
    pub from: Member,
    pub left: Option<LeftBehind>,
    pub records: Vec<Record>,
    pub slots: SlotSet,
    /// The slots that the sender kept, sent once it has returned all of them.
    pub kept: Vec<Kept>,
    /// How far in each log the records claimed dependencies, as their sender knows it.
    pub claimed: VersionVector,
}

impl Return {
    /// The name under which the view notes the expected return.
    pub fn name(&self) -> MemberId {
        self.left
            .as_ref()
            .map_or_else(|| self.from.id(), |left| left.name)
    }
}

/// The time by which a replica judges whether returned records come early enough.
#[derive(Debug, Clone, Copy)]
pub struct ReturnTime {
    /// For how long after its removal a member may return records.
    pub limit_ms: u64,
    /// For how long the sender's removal has been counted by a monotonic clock, if any member knows.
    pub counted_ms: Option<u64>,
    /// The earliest present time, by wall clocks.
    pub low_ms: u64,
    /// The most likely present time, by wall clocks.
    pub likely_ms: u64,
    /// True while wall clocks are doubted, or another member may still tell how long it has counted the removal.
    pub is_doubted: bool,
    /// The life that left the records behind may have missed deletions that are forgotten by now.
    pub missed_too_much: bool,
}

/// A stored record, and the same record without its false dependencies.
#[derive(Debug)]
pub struct Cleared {
    pub found: Record,
    pub cleared: Record,
}
