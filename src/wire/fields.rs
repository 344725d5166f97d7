//! Encodes the values of the lower floors: field by field, in the order written here.
//!
//! The derives of `serde` stay on this floor. A new field of a core type does not compile here until its
//! place on the wire and on the disk is decided.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::names::{ClusterId, Dot, Epoch, Incarnation, Key, Log, Member, MemberId, NodeId, PartitionId};
use crate::protocol::causality::{DEPENDENCIES_MAX, Payload, Record, Timestamp, VersionVector};
use crate::protocol::placement::{LeftBehind, Removal, SlotSet, View, ViewParts};
use crate::protocol::replication::{
    Closed, Confirm, Copied, Effect, Ending, ExchangeRequest, ExchangeResponse, Incoming, Kept, Leftover,
    Lost, Mark, Offered, Operation, Outcome, Push, Region, Run, Runs, Wanted,
};
use crate::protocol::view_change::{Acceptor, Ballot, Order, Phase, Report, Vote};

/// Encodes a struct as the tuple of its fields.
macro_rules! by_fields {
    ($($type:ty { $($field:ident),* $(,)? })*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let Self { $($field),* } = self;
                ($($field,)*).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let ($($field,)*) = Deserialize::deserialize(deserializer)?;
                Ok(Self { $($field),* })
            }
        }
    )*};
}

/// Encodes an enum whose values are too large to be copied into a form: `$form` mirrors its variants.
macro_rules! by_mirror {
    ($($type:ident as $form:ident;)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $form::serialize(self, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $form::deserialize(deserializer)
            }
        }
    )*};
}

/// Encodes a name around one number as the number.
macro_rules! by_number {
    ($($type:ident)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok($type(Deserialize::deserialize(deserializer)?))
            }
        }
    )*};
}

/// Encodes a type as another type that it is made from, with a check on the way in.
macro_rules! by_form {
    ($($type:ty as $form:ty: $out:expr, $in:expr;)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let out: fn(&$type) -> $form = $out;
                out(self).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let form: $form = Deserialize::deserialize(deserializer)?;
                let make: fn($form) -> Result<$type, &'static str> = $in;
                make(form).map_err(D::Error::custom)
            }
        }
    )*};
}

pub(crate) use {by_fields, by_form};

by_number! { ClusterId Epoch MemberId PartitionId Timestamp }

by_fields! {
    Incarnation { started_ms, random }
    Member { node, incarnation }
    Log { epoch, member }
    Dot { log, number }
    Removal { node, at_ms, given_up, left_by, logs }
    LeftBehind { name, by, epoch, since_ms }
    ViewParts { epoch, forks, raised_ms, removed, cluster, replicas, nodes, partitions, slots }
    Region { slots, lacks, coverage, sources, heard }
    Kept { slots, last_owned, lacks, coverage, sources }
    Incoming { target, regions }
    Leftover { left, kept, pages }
    Run { number, id, began_at }
    Mark { run, id, position }
    ExchangeRequest { taker, active, target, wanted }
    Wanted { slots, lacks, holds, closed_below }
    Confirm { keeper, epoch, closed_below, kept }
    Copied { slots, holds, closed_below }
    ExchangeResponse { giver, active, vector, offered, too_late, claimed }
    Offered { slots, lacks, last_owned, coverage, sources }
    Effect { created, payload, timestamp, replicas }
    Push { epoch, first, after, records, stable }
    Ballot { round, proposer, attempt }
    Order { target, phase, givers }
    Report { by, active, sealed, knows, copied, keys_moved, keys_to_go, through_with }
}

by_form! {
    NodeId as String: |node| node.as_str().to_owned(), |text| {
        NodeId::as_stored(&text).map_err(|_| "no node address")
    };
    Key as String: |key| key.as_str().to_owned(), |text| Key::new(&text).map_err(|_| "no key");
    Payload as (Epoch, Timestamp, VersionVector): |payload| {
        let Payload { epoch, timestamp, entries } = payload.clone();
        (epoch, timestamp, entries)
    }, |(epoch, timestamp, entries)| match entries.len() {
        // A record must have room for them.
        0..=DEPENDENCIES_MAX => Ok(Payload { epoch, timestamp, entries }),
        _ => Err("more dependencies than a record can have"),
    };
    VersionVector as Vec<Dot>: |vector| vector.iter().collect(), |dots| Ok(dots.into_iter().collect());
    SlotSet as Vec<(u16, u16)>:
        |slots| slots.ranges().into_iter().map(|run| (run.start, run.end)).collect(),
        |runs| SlotSet::from_ranges(runs.into_iter().map(|(start, end)| Range { start, end })).ok_or("no set of slots");
    View as ViewParts: |view| view.to_parts(), |parts| View::from_parts(parts).map_err(|_| "an inconsistent view");
    Acceptor as (Option<Ballot>, Option<(Ballot, SharedView)>):
        |acceptor| (acceptor.promised.clone(), shared(acceptor.accepted.clone())),
        |(promised, accepted)| Ok(Acceptor { promised, accepted: unshared(accepted) });
    Closed as (Epoch, Epoch, BTreeMap<MemberId, u32>):
        |closed| (closed.below, closed.at, (*closed.runs).clone()),
        |(below, at, runs)| Ok(Closed { below, at, runs: Arc::new(runs) });
    Ending as bool: |ending| *ending == Ending::WentBack,
        |went_back| Ok(if went_back { Ending::WentBack } else { Ending::Outranked });
    Runs as Vec<Run>: |runs| runs.iter().copied().collect(), |runs| Runs::from_stored(runs).ok_or("a life that never began");
    Lost as (SharedView, u64, bool): |lost| (SharedView(Arc::clone(&lost.view)), lost.noted_ms, lost.is_over),
        |(view, noted_ms, is_over)| Ok(Lost { view: view.0, noted_ms, is_over });
    Phase as u8: |phase| *phase as u8, |number| match number {
        0 => Ok(Phase::Copy),
        1 => Ok(Phase::Seal),
        2 => Ok(Phase::HandOver),
        3 => Ok(Phase::Activate),
        4 => Ok(Phase::Done),
        _ => Err("no phase of a view change"),
    };
    Vote as VoteForm: |vote| match vote.clone() {
        Vote::Promised { accepted } => VoteForm::Promised(shared(accepted)),
        Vote::Accepted => VoteForm::Accepted,
        Vote::Outbid { promised } => VoteForm::Outbid(promised),
        Vote::NotVoting => VoteForm::NotVoting,
    }, |form| Ok(match form {
        VoteForm::Promised(accepted) => Vote::Promised { accepted: unshared(accepted) },
        VoteForm::Accepted => Vote::Accepted,
        VoteForm::Outbid(promised) => Vote::Outbid { promised },
        VoteForm::NotVoting => Vote::NotVoting,
    });
}

by_mirror! {
    Operation as OperationForm;
    Outcome as OutcomeForm;
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(remote = "Operation")]
enum OperationForm {
    Get { key: Key },
    Put { key: Key, value: Vec<u8> },
    Delete { key: Key },
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(remote = "Outcome")]
enum OutcomeForm {
    Found { record: Record, payload: Payload },
    Missing { payload: Payload },
    Written(Effect),
    NoRoom,
}

#[derive(serde::Serialize, serde::Deserialize)]
enum VoteForm {
    Promised(Option<(Ballot, SharedView)>),
    Accepted,
    Outbid(Ballot),
    NotVoting,
}

/// A view behind its shared pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedView(pub Arc<View>);

impl Serialize for SharedView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedView {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Arc::new(View::deserialize(deserializer)?)))
    }
}

fn shared(accepted: Option<(Ballot, Arc<View>)>) -> Option<(Ballot, SharedView)> {
    accepted.map(|(ballot, view)| (ballot, SharedView(view)))
}

fn unshared(accepted: Option<(Ballot, SharedView)>) -> Option<(Ballot, Arc<View>)> {
    accepted.map(|(ballot, view)| (ballot, view.0))
}

/// Records travel as their block.
impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_block())
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Block;
        impl serde::de::Visitor<'_> for Block {
            type Value = Record;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a record")
            }

            fn visit_bytes<E: serde::de::Error>(self, block: &[u8]) -> Result<Record, E> {
                Record::from_block(block).map_err(E::custom)
            }
        }
        deserializer.deserialize_bytes(Block)
    }
}
