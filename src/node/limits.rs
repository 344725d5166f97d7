//! The time limits of a node that depend on each other, in one table, so that none is changed alone.
//!
//! ```text
//! a client is answered within about a second, whatever holds the node up:
//!   write      WRITE_LIMIT 900 ms, of which the last ANSWER_TIME 150 ms are for the way back
//!   held write HELD_LIMIT 700 ms for the next view, then LATE_PUSH_LIMIT 100 ms for the siblings
//!   read       CAUSAL_WAIT (a setting, 800 ms) in rounds of PATIENCE 60 ms here and ASK_LIMIT 250 ms elsewhere
//!   list       LIST_LIMIT 250 ms an owner
//! a frozen node costs a client little, and a slow one is heard out:
//!   ASK_LIMIT = CONNECT_LIMIT; PUSH_LIMIT 300 ms is a little more, because the sibling syncs its disk first
//!   PARKED_LIMIT 250 ms is less than PUSH_LIMIT: a push that waits for the one before it is answered in time
//!   VOUCH_LIMIT 100 ms and SHORTEN_LIMIT 20 ms come on top of a request that need not be vouched or shortened
//! ```
//!
//! Limits that stand alone are where they are used.

use std::time::Duration;

/// A peer that answered within this time is alive enough to be given a write without asking first.
pub(crate) const FRESH: Duration = Duration::from_millis(20);

/// How long one replica waits for what it lacks before another is asked as well.
pub(crate) const PATIENCE: Duration = Duration::from_millis(60);

/// How long to wait for news before all are asked again.
pub(crate) const NEWS_PAUSE: Duration = Duration::from_millis(10);

/// How long a peer may take for a question that needs no waiting at its side. After this the next owner
/// is asked: a frozen node and a dead one must cost a client little.
pub(crate) const ASK_LIMIT: Duration = Duration::from_millis(250);

/// How long a write may take in all before its outcome is called unknown.
pub(crate) const WRITE_LIMIT: Duration = Duration::from_millis(900);

/// What a client's write keeps of that for the way back, when no owner was found.
pub(crate) const ANSWER_TIME: Duration = Duration::from_millis(150);

/// How long a client waits for this node's own disk, which may hang or be in doubt; the write may be stored
/// later.
pub(crate) const STORE_LIMIT: Duration = Duration::from_secs(2);

/// How long a writer waits for a sibling's acknowledgement.
pub(crate) const PUSH_LIMIT: Duration = Duration::from_millis(300);

/// The same for a writer whose patience is spent: it was held for a view, or waited for the disk. A
/// sibling that answers at all answers within this, or is served by exchanges until it does.
pub(crate) const LATE_PUSH_LIMIT: Duration = Duration::from_millis(100);

/// How long a push waits here for the number before it.
pub(crate) const PARKED_LIMIT: Duration = Duration::from_millis(250);

/// How long a write waits here for the next view: a client is told within a second, whatever holds the
/// change up.
pub(crate) const HELD_LIMIT: Duration = Duration::from_millis(700);

/// How long a request waits for members to vouch for its payload.
pub(crate) const VOUCH_LIMIT: Duration = Duration::from_millis(100);

/// How long an owner may take for its part of a page.
pub(crate) const LIST_LIMIT: Duration = Duration::from_millis(250);

/// The client waits this long for a shorter payload; what it has is right as well.
pub(crate) const SHORTEN_LIMIT: Duration = Duration::from_millis(20);

/// A peer that does not take a connection in this time counts as unreachable.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_millis(250);

/// How long a peer may take to answer gossip, or to say in which life it is.
pub(crate) const GOSSIP_LIMIT: Duration = Duration::from_millis(400);
