//! The time limits of a node that depend on each other, in one table, so that none is changed alone.
//!
//! ```text
//! a client is answered within about a second, whatever delays the node:
//!   write      WRITE_LIMIT 900 ms; the last ANSWER_TIME 150 ms of it are for the way back
//!   held write HELD_LIMIT 700 ms for the next view, then LATE_PUSH_LIMIT 100 ms for the siblings
//!   read       CAUSAL_WAIT (a setting, 800 ms) in rounds: PATIENCE 60 ms here, ASK_LIMIT 250 ms elsewhere
//!   list       LIST_LIMIT 250 ms an owner
//! a frozen node costs a client little, and a slow one has time to answer:
//!   ASK_LIMIT = CONNECT_LIMIT; PUSH_LIMIT 300 ms is a little more, because the sibling syncs its disk first
//!   PARKED_LIMIT 250 ms is less than PUSH_LIMIT: a push that waits for the one before it is answered in time
//!   VOUCH_LIMIT 100 ms and SHORTEN_LIMIT 20 ms come on top, if a payload must be vouched for or shortened
//! ```
//!
//! Limits that depend on no others are where they are used.

use std::time::Duration;

/// A peer that answered within this time is given a write without asking first.
pub(crate) const FRESH: Duration = Duration::from_millis(20);

/// How long one replica waits for what it lacks before another is asked as well.
pub(crate) const PATIENCE: Duration = Duration::from_millis(60);

/// How long to wait for news before all replicas are asked again.
pub(crate) const NEWS_PAUSE: Duration = Duration::from_millis(10);

/// How long a peer may take for a question that it can answer without waiting. After this the next owner
/// is asked: a frozen node and a dead one must cost a client little.
pub(crate) const ASK_LIMIT: Duration = Duration::from_millis(250);

/// How long a write may take in all before its outcome is called unknown.
pub(crate) const WRITE_LIMIT: Duration = Duration::from_millis(900);

/// The part of it that a client's write keeps for the way back, when no owner was found.
pub(crate) const ANSWER_TIME: Duration = Duration::from_millis(150);

/// How long a client waits for this node's own disk, which may hang or be in doubt; the write may be stored
/// later.
pub(crate) const STORE_LIMIT: Duration = Duration::from_secs(2);

/// How long a writer waits for a sibling's acknowledgement.
pub(crate) const PUSH_LIMIT: Duration = Duration::from_millis(300);

/// The same for a writer that has waited for a view or for the disk. A sibling that answers at all answers
/// within this; until it does, exchanges serve it.
pub(crate) const LATE_PUSH_LIMIT: Duration = Duration::from_millis(100);

/// How long a push waits here for the push before it.
pub(crate) const PARKED_LIMIT: Duration = Duration::from_millis(250);

/// How long a write waits here for the next view: a client is answered within a second, whatever delays
/// the change.
pub(crate) const HELD_LIMIT: Duration = Duration::from_millis(700);

/// How long a request waits for members to vouch for its payload.
pub(crate) const VOUCH_LIMIT: Duration = Duration::from_millis(100);

/// How long an owner may take for its part of a page.
pub(crate) const LIST_LIMIT: Duration = Duration::from_millis(250);

/// How long a client waits for a shorter payload; the longer one is correct as well.
pub(crate) const SHORTEN_LIMIT: Duration = Duration::from_millis(20);

/// A peer that does not accept a connection in this time counts as unreachable.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_millis(250);

/// How long a peer may take to answer gossip, or to say in which life it is.
pub(crate) const GOSSIP_LIMIT: Duration = Duration::from_millis(400);
