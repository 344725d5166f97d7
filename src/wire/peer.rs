//! The messages between nodes: a greeting, then frames that ask and answer.
//!
//! Messages are Postcard behind a version byte. Every frame carries the sender's hybrid clock, which
//! raises the receiver's, and its active epoch, so that a node that is behind notices at the next frame.
//! Wall clocks travel in greetings and gossip only, so the many pushes stay small.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::SharedView;
use crate::names::{ClusterId, Dot, Epoch, Key, Log, Member, MemberId, NodeId};
use crate::protocol::causality::{Payload, Record, Timestamp, VersionVector};
use crate::protocol::placement::{LeftBehind, SlotSet};
use crate::protocol::replication::{
    Closed, Confirm, Copied, Effect, ExchangeRequest, ExchangeResponse, Kept, Mark, Operation, Outcome, Push,
};
use crate::protocol::view_change::{Ballot, Order, Report, Vote};

/// The longest message, and the limit for all unfinished messages of one stream together, so that a peer
/// that sends nonsense cannot claim memory.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that are not a message of this version.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Garbled {
    #[error("the peer speaks version {0}, this node {VERSION}")]
    OtherVersion(u8),
    #[error("a frame does not parse")]
    Unreadable,
    #[error("the messages that the peer began are longer than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
}

/// The version of everything in this file. Nodes of different versions do not talk.
pub const VERSION: u8 = 5;

/// The first frame of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    pub member: Member,
    /// Drawn at each start of the process: another value means that what it kept in memory only is lost.
    pub boot: u64,
    /// None until the sender knows a view.
    pub cluster: Option<ClusterId>,
    /// The sender's hybrid clock: its wall clock, if trusted, or the highest time that it has drawn or
    /// seen.
    pub clock: Timestamp,
    pub time: Shown,
    /// How far the sender itself has come.
    pub mark: Mark,
    /// How far the sender has seen the receiver's node come, for each life that it remembers.
    pub remembers: Vec<(MemberId, Mark)>,
    /// The last write of the receiver that the sender holds, in its active epoch.
    pub holds: Option<Dot>,
}

/// The sender's times, by which the receiver judges clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The wall clock alone, to be compared with the receiver's.
    pub wall_ms: u64,
    /// The latest wall time that the sender ever believed of a member. Timestamps up to it are honest,
    /// even if the clocks were set back since.
    pub believed_ms: u64,
}

/// Every frame after the greeting.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Frame {
    /// Pairs an answer with its question; chosen by the side that asks.
    pub id: u64,
    pub clock: Timestamp,
    pub epoch: Epoch,
    /// How far the sender has come ([`Mark::position`]).
    pub position: u64,
    pub body: Body,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Body {
    Ask(Question),
    Answer(Answer),
}

/// How a node was started: nodes of one first view must agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub replicas: Option<u32>,
    pub view: Option<Vec<NodeId>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Question {
    /// Are you there?
    Ping,
    /// Who are you, how were you started, which views do you know?
    Meet,
    Gossip(Box<Gossip>),
    Push(Push),
    Exchange(ExchangeRequest),
    /// The next records of an exchange that did not fit into its answer.
    Page {
        ticket: u64,
        page: u32,
    },
    /// Records of these slots, from `from` on. The asker gains them in the view of epoch `target`.
    Copy {
        target: Epoch,
        slots: SlotSet,
        from: CopyPlace,
    },
    /// Do the owners have everything that the asker keeps of slots that moved away?
    Confirm(Confirm),
    /// Records of an asker that is not a member any more, to be taken as new writes. The last page also
    /// says what the asker keeps of these slots.
    Return {
        /// Set if an earlier life of the asker's node left them behind.
        left: Option<LeftBehind>,
        records: Vec<Record>,
        slots: SlotSet,
        /// With the last page, what the sender kept of the slots.
        kept: Vec<Kept>,
        /// Up to where records at the sender claimed to depend on logs.
        claimed: VersionVector,
    },
    /// For which of these slots does the receiver need no other node, and how many keys are in them?
    Holdings(SlotSet),
    Get {
        key: Key,
        payload: Payload,
        patience_ms: u32,
    },
    Write {
        id: u128,
        key: Key,
        value: Option<Vec<u8>>,
        payload: Payload,
    },
    Promise {
        epoch: Epoch,
        ballot: Ballot,
        start: Option<Start>,
    },
    Accept {
        epoch: Epoch,
        ballot: Ballot,
        view: SharedView,
        start: Option<Start>,
    },
    /// List the asker if it is a node of your view in a new incarnation, and note what its earlier lives
    /// left behind.
    Admit {
        left: Vec<LeftBehind>,
    },
    Order {
        order: Order,
        /// Sent until the receiver knows the view.
        known: Option<Known>,
    },
    /// Operations on keys of one partition, to be carried out in order and stored at once.
    Batch {
        id: u128,
        operations: Vec<Operation>,
        payload: Payload,
        /// How many bytes of values that are read the answer may hold, not counting the last one.
        room: u32,
    },
    /// The keys of these slots, in order.
    List {
        slots: SlotSet,
        listing: Listing,
        payload: Payload,
        /// How many bytes of values the answer may hold, not counting the last one.
        value_bytes: u32,
    },
    /// What does the receiver know of epochs and writes that clients claim to depend on?
    Vouch {
        epochs: Vec<Epoch>,
        logs: Vec<Log>,
    },
}

/// The keys to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Keys that begin with this.
    pub prefix: String,
    /// Keys beyond this one; it need not exist.
    pub after: Option<String>,
    /// At most this many keys; at least one.
    pub limit: u32,
    pub keys_only: bool,
}

/// Where a page of a copy begins: at the start of a slot, or within it, after a key. A slot that is
/// longer than a page is copied in the order of its keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CopyPlace {
    pub slot: u16,
    pub after: Option<String>,
}

/// A listed key, with its value unless only keys were requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub key: Key,
    pub value: Option<Vec<u8>>,
    pub timestamp: Timestamp,
}

impl Item {
    /// The approximate length in bytes.
    pub fn about_bytes(&self) -> usize {
        self.key.as_str().len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    Pong,
    Met {
        by: Member,
        start: Start,
        known: Known,
        /// The leftovers of the sender's earlier lives.
        left: Vec<LeftBehind>,
    },
    Gossip(Box<Gossip>),
    /// What the receiver of a push holds now.
    Held {
        epoch: Epoch,
        held: VersionVector,
    },
    /// The push was not taken: an earlier number is missing, or the epoch is another.
    NotTaken,
    Exchanged {
        given: ExchangeResponse,
        records: Vec<Record>,
        ticket: u64,
        pages: u32,
    },
    Records(Vec<Record>),
    Copied {
        records: Vec<Record>,
        /// What the giver holds of the requested slots that it owns.
        copied: Vec<Copied>,
        /// None after the last page.
        next: Option<CopyPlace>,
        /// Keys that are still to follow.
        keys_to_go: u64,
    },
    Confirmed(SlotSet),
    Returned(Returned),
    Holdings {
        ready: SlotSet,
        keys: u64,
    },
    Found {
        record: Record,
        payload: Payload,
    },
    Written(Effect),
    Declined(Declined),
    Voted {
        by: Member,
        vote: Vote,
    },
    Noted,
    Report(Report),
    Done(Vec<Outcome>),
    Listed {
        items: Vec<Item>,
        /// All keys up to this one are listed; none if all keys are.
        upto: Option<String>,
        payload: Payload,
    },
    Vouched(Vouched),
}

impl Answer {
    /// The approximate length in bytes, as far as records, values and payloads make it long.
    pub fn about_bytes(&self) -> usize {
        match self {
            Self::Exchanged { records, .. } | Self::Records(records) | Self::Copied { records, .. } => {
                records.iter().map(|record| record.as_block().len()).sum()
            }
            Self::Found { record, payload } => record.as_block().len() + payload.about_bytes(),
            Self::Written(effect) => effect.payload.about_bytes(),
            Self::Done(outcomes) => outcomes.iter().map(Outcome::about_bytes).sum(),
            Self::Listed { items, .. } => items.iter().map(Item::about_bytes).sum(),
            _ => 0,
        }
    }
}

/// A member's knowledge about clients' claims. It cannot judge claims that it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Vouched {
    /// Writes up to these numbers exist.
    pub exist: VersionVector,
    /// Where the member's own logs end now; 0 for a log without writes.
    pub ends: Vec<Dot>,
    /// Up to where stored records claim to depend on these logs: their readers may carry such entries.
    pub claimed: VersionVector,
    /// The member knows no view of these epochs, and has voted for none.
    pub unknown: Vec<Epoch>,
    /// Up to where these logs are stable, says a member that is active in `epoch`.
    pub stable: VersionVector,
    pub epoch: Epoch,
}

/// Why a question about a key was not answered here. Each reason is definite: nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Declined {
    KeyNotFound {
        payload: Payload,
    },
    Behind,
    NotReady,
    NotOwner,
    StorageFailed(String),
    /// No such page, no such exchange, no copy: ask again from the start.
    Gone,
    /// The payload claims something impossible; the text names it.
    BadPayload(String),
}

/// The result of returning records as a removed node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Returned {
    /// Stored, and held by all replicas.
    Settled,
    /// Not at all replicas yet: return them again.
    NotYet,
    /// Refused: deletions of that time may be forgotten.
    TooLate,
}

/// The views that a node knows of epochs that are not closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub views: Vec<SharedView>,
    /// Views of lines that were given up.
    pub lost: Vec<SharedView>,
    pub closed: Closed,
    pub active: Epoch,
}

/// What every node periodically tells every other node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gossip {
    pub epoch: Epoch,
    /// The frame has its hybrid clock, which may be ahead of every wall clock.
    pub time: Shown,
    /// What the sender holds of its partition's logs in the active epoch.
    pub held: VersionVector,
    /// The stable numbers that the sender knows of its own log and its siblings'.
    pub stable: VersionVector,
    /// The sender lacks nothing of epochs below this one.
    pub done_below: Epoch,
    /// The run in which the sender says so.
    pub run: u32,
    pub closed: Closed,
    /// Removed members that the sender does not wait for.
    pub does_not_await: BTreeSet<MemberId>,
    /// Every epoch of a lost line that the sender knows, and whether it waits for nothing of it.
    pub lost: BTreeMap<Epoch, bool>,
    pub counted: Counted,
}

/// For how many milliseconds a node has counted removals, and epochs of lost lines, by its monotonic clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub removals_ms: BTreeMap<MemberId, u64>,
    pub lost_ms: BTreeMap<Epoch, u64>,
}

/// A greeting in bytes.
pub fn encode_greeting(greeting: &Greeting) -> Bytes {
    encode(greeting)
}

pub fn decode_greeting(bytes: &[u8]) -> Result<Greeting, Garbled> {
    decode(bytes)
}

/// A frame in bytes.
pub fn encode_frame(frame: &Frame) -> Bytes {
    encode(frame)
}

pub fn decode_frame(bytes: &[u8]) -> Result<Frame, Garbled> {
    decode(bytes)
}

fn encode<T: Serialize>(message: &T) -> Bytes {
    let bytes =
        postcard::to_extend(message, vec![VERSION]).expect("a message of plain values always encodes");
    Bytes::from(bytes)
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Garbled> {
    match bytes.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).map_err(|_| Garbled::Unreadable),
        Some((version, _)) => Err(Garbled::OtherVersion(*version)),
        None => Err(Garbled::Unreadable),
    }
}

#[cfg(test)]
mod any_message;
#[cfg(test)]
mod tests;
