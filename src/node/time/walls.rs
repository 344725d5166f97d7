//! Judges wall clocks: this node's own against its monotonic clock, and against those of the other members.
//!
//! A wall clock is compared with wall clocks only. The hybrid clock may run ahead of all of them for any length of
//! time, after a clock was set back.
//!
//! The own wall clock is *doubted* when it jumps against the monotonic clock and no majority confirms the new
//! time, or when a majority of the members agree on another time. Without such a majority no node can tell which clock
//! is wrong, and all go on. While the wall clock is doubted, it is not mixed into timestamps, and nothing is forgotten
//! by it. A time that a wall clock showed before it was set may still be the true one: it counts for the judgement of
//! ages until everything from before is old by the monotonic clock.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::millis;
use crate::names::NodeId;

#[cfg(test)]
mod tests;

/// A node that no member contradicts or confirms trusts a wall clock that jumped after this time. The time that the
/// clock showed before still counts for the judgement of ages.
const TRUSTED_ANEW_MS: u64 = 15_000;

/// The most peers that are remembered by name; a view may not bound their number yet.
const REMEMBERED_MAX: usize = 1024;

/// The most offsets that are remembered. Of more, only the least and the greatest are kept: only they count.
const EARLIER_MAX: usize = 32;

/// A wall clock less this node's monotonic clock, in milliseconds: it stays the same until a clock is set.
type Offset = i64;

/// Both clocks of this node, read together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub wall_ms: u64,
    /// Milliseconds since the process started.
    pub monotonic_ms: u64,
}

impl Reading {
    fn offset(self) -> Offset {
        signed(self.wall_ms) - signed(self.monotonic_ms)
    }

    /// What a wall clock with this offset shows at the moment of the reading.
    fn at(self, offset: Offset) -> u64 {
        u64::try_from(offset + signed(self.monotonic_ms)).unwrap_or(0)
    }
}

/// Why the own wall clock is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It jumped by this much, and no majority confirms the new time.
    Jumped { by_ms: i64 },
    /// A majority of the members agree on another time. The own clock is this far ahead of theirs.
    Outvoted { ahead_ms: i64 },
}

/// The bounds of the true time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time {
    /// It is not before this. Only what is old by this time is forgotten.
    pub low_ms: u64,
    /// It is not after this.
    pub high_ms: u64,
    /// The best guess: the wall clock, or what a majority shows, or what the clock showed before it jumped.
    pub likely_ms: u64,
    /// While this is true, nothing is forgotten and nothing is refused as late.
    pub is_doubted: bool,
}

impl Time {
    /// A time without doubt.
    pub(crate) fn certain(wall_ms: u64) -> Self {
        Self {
            low_ms: wall_ms,
            high_ms: wall_ms,
            likely_ms: wall_ms,
            is_doubted: false,
        }
    }
}

/// The wall clocks that this node knows. Pure: the caller reads the clocks.
#[derive(Debug)]
pub(crate) struct Walls {
    limit_ms: i64,
    /// How long an earlier time of the clock counts.
    forget_ms: u64,
    own: Offset,
    /// Since when the own clock has not jumped.
    steady_since_ms: u64,
    /// The own offset when the clock was last trusted.
    trusted: Offset,
    heard: BTreeMap<NodeId, Offset>,
    /// Members whose clocks differ from the own one by more than the limit.
    apart: BTreeMap<NodeId, Offset>,
    is_backed: bool,
    doubt: Option<Doubt>,
    /// Other offsets that may be the true one, and until when.
    earlier: Vec<(Offset, u64)>,
}

impl Walls {
    pub(crate) fn new(limit: Duration, forget: Duration, reading: Reading) -> Self {
        let own = reading.offset();
        Self {
            limit_ms: signed(millis(limit)),
            forget_ms: millis(forget),
            own,
            steady_since_ms: reading.monotonic_ms,
            trusted: own,
            heard: BTreeMap::new(),
            apart: BTreeMap::new(),
            is_backed: false,
            doubt: None,
            earlier: Vec::new(),
        }
    }

    /// Notes a time that is stored on disk: the wall clock may have been set back while the node was down.
    pub(crate) fn recall(&mut self, reading: Reading, seen_ms: u64) {
        let seen = Reading {
            wall_ms: seen_ms,
            ..reading
        };
        if seen.offset() > self.own + self.limit_ms {
            self.remember(reading, seen.offset());
        }
    }

    /// Notes a peer's wall clock. True if it is new.
    pub(crate) fn hear(&mut self, reading: Reading, peer: &NodeId, wall_ms: u64) -> bool {
        let theirs = Reading { wall_ms, ..reading }.offset();
        if self.heard.len() >= REMEMBERED_MAX {
            // These may be names of strangers; members are heard again within a second.
            self.heard.clear();
        }
        let before = self.heard.insert(peer.clone(), theirs);
        before.is_none_or(|before| !self.are_near(before, theirs))
    }

    /// Judges the own clock. `others` are all other members of the view.
    pub(crate) fn judge(&mut self, reading: Reading, others: &[&NodeId]) {
        let own = reading.offset();
        if !self.are_near(own, self.own) {
            self.steady_since_ms = reading.monotonic_ms;
        }
        self.own = own;
        self.earlier.retain(|(_, until)| *until > reading.monotonic_ms);
        let heard = others
            .iter()
            .filter_map(|node| Some((*node, *self.heard.get(*node)?)));
        let (near, apart): (Vec<_>, Vec<_>) = heard.partition(|(_, theirs)| self.are_near(own, *theirs));
        let members = others.len() + 1;
        let majority = members / 2 + 1;
        let is_backed = near.len() + 1 >= majority;
        let apart: BTreeMap<NodeId, Offset> = apart
            .into_iter()
            .map(|(node, theirs)| (node.clone(), theirs))
            .collect();
        let outvoted_before = self.majority_offset();
        self.is_backed = is_backed;
        self.apart = apart;
        self.doubt = self.doubt_of(reading, majority, !others.is_empty());
        // The time that a majority shared still counts after this node or the majority changed its clocks.
        if let (Some(theirs), None) = (outvoted_before, self.majority_offset()) {
            self.remember(reading, theirs);
        }
        if self.doubt.is_none() {
            self.remember(reading, self.trusted);
            self.trusted = own;
        }
    }

    fn doubt_of(&self, reading: Reading, majority: usize, has_others: bool) -> Option<Doubt> {
        if let Some(theirs) = self.agreed_by(majority) {
            let ahead_ms = self.own - theirs;
            return Some(Doubt::Outvoted { ahead_ms });
        }
        let steady_ms = reading.monotonic_ms.saturating_sub(self.steady_since_ms);
        let is_uncontradicted = self.apart.is_empty() && steady_ms >= TRUSTED_ANEW_MS;
        let is_confirmed = self.is_backed && has_others;
        if self.are_near(self.own, self.trusted) || is_confirmed || is_uncontradicted {
            return None;
        }
        let by_ms = self.own - self.trusted;
        Some(Doubt::Jumped { by_ms })
    }

    /// The offset in the middle of those that a majority share, all far from the own one.
    fn agreed_by(&self, majority: usize) -> Option<Offset> {
        let mut offsets: Vec<Offset> = self.apart.values().copied().collect();
        offsets.sort_unstable();
        let agreeing = offsets
            .windows(majority)
            .find(|window| window[majority - 1] - window[0] <= 2 * self.limit_ms)?;
        Some(agreeing[majority / 2])
    }

    fn majority_offset(&self) -> Option<Offset> {
        match self.doubt {
            Some(Doubt::Outvoted { ahead_ms }) => Some(self.own - ahead_ms),
            _ => None,
        }
    }

    fn remember(&mut self, reading: Reading, offset: Offset) {
        if self.are_near(offset, self.own) {
            return;
        }
        let until_ms = reading.monotonic_ms.saturating_add(self.forget_ms);
        self.earlier.retain(|(known, _)| *known != offset);
        self.earlier.push((offset, until_ms));
        if self.earlier.len() > EARLIER_MAX {
            let offsets = || self.earlier.iter().map(|(offset, _)| *offset);
            let ends = offsets().min().into_iter().chain(offsets().max());
            self.earlier = ends.map(|end| (end, until_ms)).collect();
        }
    }

    pub(crate) fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// True if a majority shares the own time, this node included.
    pub(crate) fn is_backed(&self) -> bool {
        self.is_backed
    }

    /// Members whose clocks are further from the own one than the limit, and how far ahead they are.
    pub(crate) fn apart(&self) -> Vec<(NodeId, i64)> {
        let apart = self.apart.iter();
        apart
            .map(|(node, theirs)| (node.clone(), theirs - self.own))
            .collect()
    }

    /// The bounds of the true time at a reading that was judged.
    pub(crate) fn time(&self, reading: Reading) -> Time {
        let mut candidates = vec![reading.offset(), self.likely()];
        candidates.extend(self.earlier.iter().map(|(offset, _)| offset));
        if self.doubt.is_some() {
            candidates.push(self.trusted);
        }
        if !self.is_backed {
            candidates.extend(self.apart.values());
        }
        let (low, high) = (candidates.iter().min(), candidates.iter().max());
        Time {
            low_ms: low.map_or(0, |low| reading.at(*low)),
            high_ms: high.map_or(0, |high| reading.at(*high)),
            likely_ms: reading.at(self.likely()),
            is_doubted: self.doubt.is_some(),
        }
    }

    /// The wall clock as it was last judged: a jump since then is not trusted.
    fn likely(&self) -> Offset {
        match self.doubt {
            None => self.own,
            Some(Doubt::Jumped { .. }) => self.trusted,
            Some(Doubt::Outvoted { ahead_ms }) => self.own - ahead_ms,
        }
    }

    /// The latest time that an honest member may show, as far as this node can tell: a majority's, or else the latest
    /// of all.
    pub(crate) fn latest_honest_ms(&self, reading: Reading) -> u64 {
        let likely = self.likely();
        let is_settled = self.is_backed || matches!(self.doubt, Some(Doubt::Outvoted { .. }));
        let others = self.apart.values().filter(|_| !is_settled).copied();
        reading.at(others.fold(likely, Offset::max))
    }

    fn are_near(&self, one: Offset, other: Offset) -> bool {
        one.abs_diff(other) <= self.limit_ms.unsigned_abs()
    }
}

/// Far beyond any wall clock; half of the range leaves room for sums.
fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).min(i64::MAX / 4)
}
