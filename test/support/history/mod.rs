//! Records what clients asked and what the nodes answered, without judging it. `text` writes one line
//! for each operation, so that a history can be stored with a failure.
//!
//! Causality is recorded, never inferred: `after` names the operations whose payloads the session sent,
//! including its own previous one. A session that sends no payload depends on nothing.

pub mod text;

use std::fmt;

/// An operation's number, unique in its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u32);

/// A client that sends one request at a time. It ends with its first write of unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// The `timestamp` of a reply, in nanoseconds: the text sorts as the numbers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Get,
    /// No two puts of a history may write the same value.
    Put(String),
    Delete,
}

/// What a client asks for, at whichever node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub key: String,
    pub action: Action,
}

/// The content of a definite success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Found {
        value: String,
        stamp: Option<Stamp>,
    },
    /// The key is not there: the answer to a get or to a delete.
    NotFound,
    Written {
        created: bool,
        replicas: u32,
        stamp: Option<Stamp>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Ok(Answer),
    /// A definite error: nothing was done, and nothing will be.
    Refused(String),
    /// The outcome is unknown: a write may still take effect at any later time.
    Unknown(String),
}

/// The reply to a client. The payload is empty unless the outcome is `Ok`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub outcome: Outcome,
    pub payload: String,
}

/// The run itself, or the final reads, when the cluster is whole and quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Run,
    Final,
}

/// One operation with its outcome. Times are microseconds of the run's own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: OpId,
    pub session: SessionId,
    pub phase: Phase,
    pub node: usize,
    pub start_us: u64,
    pub end_us: u64,
    pub operation: Operation,
    /// The operations whose payloads the session sent.
    pub after: Vec<OpId>,
    pub payload_in: String,
    pub outcome: Outcome,
    pub payload_out: String,
}

/// All operations of a run, in any order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    pub events: Vec<Event>,
}

impl Event {
    pub fn is_write(&self) -> bool {
        self.operation.action != Action::Get
    }

    /// True for a put or delete that was answered with success.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Ok(Answer::Written { .. }))
    }

    /// True for a put or delete that took effect, or that may have done so or may still do so.
    pub fn may_take_effect(&self) -> bool {
        self.is_acknowledged() || (self.is_write() && matches!(self.outcome, Outcome::Unknown(_)))
    }

    /// True for a get, or a delete, that found no value: the answer says that the key was absent.
    pub fn found_nothing(&self) -> bool {
        self.outcome == Outcome::Ok(Answer::NotFound)
    }

    /// The value that a get returned.
    pub fn found(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Ok(Answer::Found { value, .. }) => Some(value),
            _ => None,
        }
    }

    /// The timestamp in the reply: of the write acknowledged, or of the value found.
    pub fn stamp(&self) -> Option<Stamp> {
        match &self.outcome {
            Outcome::Ok(Answer::Found { stamp, .. } | Answer::Written { stamp, .. }) => *stamp,
            _ => None,
        }
    }

    /// True if both operations came in one request.
    pub fn is_of_the_request_of(&self, other: &Self) -> bool {
        let request = |event: &Self| (event.session, event.node, event.start_us, event.end_us);
        request(self) == request(other)
    }

    pub fn took_us(&self) -> u64 {
        self.end_us.saturating_sub(self.start_us)
    }
}

impl Reply {
    pub fn refused(reason: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Refused(reason.into()),
            payload: String::new(),
        }
    }

    pub fn unknown(reason: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Unknown(reason.into()),
            payload: String::new(),
        }
    }
}

impl Stamp {
    const DIGITS: usize = 9;

    /// Decimal seconds with any fraction, as replies carry them; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        // Digits beyond the ninth are cut: stamps that differ there only count as equal.
        let nanos: String = fraction
            .chars()
            .chain("000000000".chars())
            .take(Self::DIGITS)
            .collect();
        let seconds: u64 = seconds.parse().ok()?;
        let nanos: u64 = nanos.parse().ok()?;
        Some(Self(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
