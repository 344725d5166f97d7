//! Decides whether the store may leave a history. A pure function of the history.
//!
//! # What is decided
//!
//! The causal order `→` is the smallest transitive relation with `a → b` where b handed in a's payload
//! (`after`), and `w → r` where r returned what w wrote. The store orders concurrent writes by timestamp
//! and shows the timestamps. So the order that Bouajjani et al. (On Verifying Causal Consistency, POPL
//! 2017) have to search for is given, and their bad patterns become tests:
//!
//! | pattern | here |
//! | --- | --- |
//! | CyclicCO | `Cycle`: an operation comes causally before itself |
//! | `ThinAirRead` | `ThinAir`, `WrongKey`, `RefusedWrite` (nothing was to be done), `FromTheFuture` |
//! | `WriteCORead` | `Stale`: r returns w, and w → w' → r for a w' of the same key; `DeletedKeyBack` if w' deletes |
//! | `WriteCOInitRead` | `Missing`: r finds nothing, a put is in its past, and no deletion can explain it |
//! | CyclicCF, CyclicCM | `LoserRead`: r returns w, and a w' with a later timestamp is in its past; `TimestampFell`: a write is stamped not later than something in its past |
//!
//! With timestamps that rise along `→` (else `TimestampFell`), timestamp order is a linear extension of
//! `→`, so causality and arbitration have no cycle; and each read returns the arbitration's maximum of
//! its past. That is exactly causal convergence, except for reads that find nothing (below).
//!
//! At the end, when every session has read every key at every node: `Disagreement` between replicas,
//! a `LostWrite`, and `NoAnswerAtEnd`.
//!
//! # Why an alarm is never false
//!
//! - A session that handed in no payload has no past, whatever it did before. Only `after` and the
//!   values are used as evidence against the store.
//! - **Unknown writes** may take effect at any later time, or never. No payload came back, so one is in
//!   a past only if a client read its value, which makes it certain. Only then is its timestamp known.
//! - **Reads that find nothing** name no deletion. With a put p in the past, one is legal if some
//!   deletion that was not refused had begun by the end of the read, is not causally before p, and has
//!   no known timestamp below p's; a deletion with an unknown outcome thus excuses all later ones. If it
//!   is legal, the deletion that it saw has won against everything of that key in the read's past. So no
//!   client that depends on the read may read any of that again: the read counts as a deletion.
//! - **Lost writes.** Let M be the acknowledged write of a key with the highest timestamp. Replicas keep
//!   the winner, so in the end they hold M or something that wins against it: a value with a timestamp
//!   not below M's, a value of unknown timestamp that is not causally before M (an unknown write), or
//!   nothing because of a deletion that may win against M. Any other answer means that M is lost.
//!   Acknowledged writes below M, concurrent or not, need not be there: M won. If replies carry no
//!   timestamps, the same applies to each acknowledged write that no acknowledged one follows causally,
//!   and only causally older answers count against it. Equal timestamps decide nothing: the log breaks
//!   the tie, and clients do not see it.
//! - **Lost disks.** [`Rules::lasting_replicas`]: a write that fewer replicas had may vanish, even for
//!   sessions that depend on it, so it obliges no read. It may return, even to a session that found
//!   nothing, but not below a write that lasts.
//! - **Late writes.** An unknown write that may arrive among the final reads ([`Rules::late_writes`])
//!   may make them differ for a short time: then only answers that it cannot have made are compared.
//!
//! # What is not judged
//!
//! Which deletion a read saw, so nothing that follows from it except the above. Whether `created` is
//! right (the contract says: as far as the replica knows). Freshness and availability: see `timing`.
//! Without final reads, nothing about the end.

mod causal;
mod chains;
mod end;
mod ledger;
mod order;
mod past;
pub mod register;

use std::collections::BTreeSet;
use std::fmt;

use super::history::{History, OpId, Phase};
use ledger::Ledger;

/// What is known about a run apart from its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// An acknowledged write lasts if this many replicas had it: 1, or 2 in runs that destroy disks.
    pub lasting_replicas: u32,
    /// Writes that may vanish though many had them: taken by nodes that were removed while cut off, or
    /// given up by force.
    pub excused: BTreeSet<OpId>,
    /// True if unknown writes may still be in flight during the final reads; false if the run was quiet for
    /// longer than any request can live.
    pub late_writes: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lasting_replicas: 1,
            excused: BTreeSet::new(),
            late_writes: false,
        }
    }
}

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Not a possible history: a fault of the harness.
    Malformed,
    Cycle,
    ThinAir,
    WrongKey,
    RefusedWrite,
    FromTheFuture,
    Stale,
    DeletedKeyBack,
    Missing,
    LoserRead,
    TimestampFell,
    TimestampChanged,
    LostWrite,
    Disagreement,
    NoAnswerAtEnd,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub kind: Kind,
    /// The operations involved; the one that went wrong first.
    pub ops: Vec<OpId>,
    pub sentence: String,
}

/// How much was judged: a clean verdict on an empty run says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub operations: usize,
    pub found: usize,
    pub missing: usize,
    pub acknowledged: usize,
    pub refused: usize,
    pub unknown: usize,
    /// Reads that depended on a write of their key, so that staleness would have shown.
    pub bound: usize,
    pub final_reads: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    pub counts: Counts,
}

/// Judges a whole run, with events in any order. Linear except for the number of concurrent writes.
pub fn judge(history: &History, rules: &Rules) -> Verdict {
    let mut violations = Vec::new();
    let mut ledger = Ledger::open(history, rules, &mut violations);
    let order = order::causal_order(&mut ledger, &mut violations);
    let (ends, bound) = causal::judge_reads(&ledger, &order, &mut violations);
    end::judge_end(&ledger, &ends, &mut violations);
    let counts = Counts {
        bound,
        ..Counts::of(history)
    };
    Verdict { violations, counts }
}

impl Counts {
    fn of(history: &History) -> Self {
        use super::history::{Answer, Outcome};
        let mut counts = Self::default();
        for event in &history.events {
            let count = match &event.outcome {
                Outcome::Ok(Answer::Found { .. }) => &mut counts.found,
                Outcome::Ok(Answer::NotFound) => &mut counts.missing,
                Outcome::Ok(Answer::Written { .. }) => &mut counts.acknowledged,
                Outcome::Refused(_) => &mut counts.refused,
                Outcome::Unknown(_) => &mut counts.unknown,
            };
            *count += 1;
            counts.final_reads += usize::from(event.phase == Phase::Final);
        }
        counts.operations = history.events.len();
        counts
    }
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    pub fn has(&self, kind: Kind) -> bool {
        self.violations.iter().any(|violation| violation.kind == kind)
    }

    /// The verdict with the lines of the operations behind its first violations.
    pub fn explain(&self, history: &History) -> String {
        const SHOWN: usize = 10;
        let mut text = format!("{self}\n");
        for violation in self.violations.iter().take(SHOWN) {
            text += &format!("\n{violation}\n");
            let involved = |id: &OpId| history.events.iter().find(|event| event.id == *id);
            for event in violation.ops.iter().filter_map(involved) {
                text += &format!("  {event}\n");
            }
        }
        text
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            operations,
            found,
            missing,
            acknowledged,
            refused,
            unknown,
            bound,
            final_reads,
        } = self.counts;
        write!(
            f,
            "{} violations in {operations} operations: {found} found, {missing} missing, \
             {acknowledged} acknowledged, {refused} refused, {unknown} unknown; \
             {bound} reads bound by their past, {final_reads} final reads",
            self.violations.len()
        )
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.sentence)
    }
}
