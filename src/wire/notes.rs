//! How a node's own facts lie on disk: a few notes by name, each behind a version byte.
//!
//! The vector has a note of its own because it changes with every write; the rest changes with the view.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SharedView;
use crate::names::{Epoch, Member, MemberId};
use crate::protocol::causality::Record;
use crate::protocol::placement::SlotSet;
use crate::protocol::replication::{Closed, Ending, Facts, Incoming, Kept, Leftover, Lost, Mark, Region};
use crate::protocol::view_change::Acceptor;

const VERSION: u8 = 3;
const MEMBER: &str = "member";
const STANDING: &str = "standing";
const VECTOR: &str = "vector";
const ACCEPTORS: &str = "acceptors";
const TOO_LATE: &str = "too late";
const CLAIMS: &str = "claims";
const RUNS: &str = "runs";
/// Apart from the standing, whose form disks have that were written before it was kept.
const CLOSED_IN: &str = "closed in";
/// As above.
const RUN_ENDS: &str = "run ends";
const MARKS: &str = "marks";
const PAGE: &str = "left behind ";

/// How far members have been seen to come, by life.
pub type Marks = BTreeMap<Member, Mark>;

/// What a node has promised and accepted, by epoch.
pub type Acceptors = BTreeMap<Epoch, Acceptor>;

/// A note that this version cannot read.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the note {0:?} in the store does not parse; it was written by another version, or the disk is damaged"
)]
pub struct UnreadableNote(String);

#[derive(Serialize, Deserialize)]
struct Standing {
    views: Vec<SharedView>,
    active: Epoch,
    sealed: Epoch,
    regions: Vec<Region>,
    kept: Vec<Kept>,
    incoming: Option<Incoming>,
    closed: (Epoch, Epoch),
    gone: SlotSet,
    lost: Vec<Lost>,
    ended: Option<Ending>,
    laid_aside: Range<u64>,
    leftovers: Vec<Leftover>,
    has_left: bool,
    expired: BTreeSet<MemberId>,
    settled: BTreeSet<MemberId>,
}

/// A named note, as the store keeps it.
pub type Note = (String, Option<Vec<u8>>);

pub fn member_note(member: &Member) -> Note {
    note(MEMBER, member)
}

/// The position and the vector, which change with every commit.
pub fn vector_note(facts: &Facts) -> Note {
    note(VECTOR, &(facts.position, &facts.vector))
}

/// The starts of this life, and where they ended; changes with each.
pub fn runs_notes(facts: &Facts) -> [Note; 2] {
    [note(RUNS, &facts.runs), note(RUN_ENDS, &*facts.run_ends)]
}

/// How far other members have been seen to come.
pub fn marks_note(marks: &Marks) -> Note {
    note(MARKS, marks)
}

/// How far a node had seen others come when it stopped.
pub fn read_marks(notes: &[(String, Vec<u8>)]) -> Result<Marks, UnreadableNote> {
    Ok(find(notes, MARKS)?.unwrap_or_default())
}

/// A page of records that a life left behind.
pub fn page_note(number: u64, records: &[Record]) -> Note {
    note(&format!("{PAGE}{number}"), &records)
}

/// The same, handed over and not needed any more.
pub fn no_page_note(number: u64) -> Note {
    (format!("{PAGE}{number}"), None)
}

/// The pages that lives left behind, by number.
pub fn read_pages(notes: &[(String, Vec<u8>)]) -> Result<BTreeMap<u64, Vec<Record>>, UnreadableNote> {
    let numbered = notes.iter().filter_map(|(name, _)| name.strip_prefix(PAGE));
    let mut pages = BTreeMap::new();
    for number in numbered {
        let name = format!("{PAGE}{number}");
        let number = number.parse().map_err(|_| UnreadableNote(name.clone()))?;
        pages.insert(number, find(notes, &name)?.unwrap_or_default());
    }
    Ok(pages)
}

pub fn acceptors_note(acceptors: &Acceptors) -> Note {
    note(ACCEPTORS, acceptors)
}

/// The claims of stored records; apart from the rest, because they change with writes.
pub fn claims_note(facts: &Facts) -> Note {
    note(CLAIMS, &facts.claimed)
}

/// Whose returns are not taken any more.
pub fn too_late_note(facts: &Facts) -> Note {
    note(TOO_LATE, &*facts.too_late)
}

/// Everything of the facts but who we are, the vector, and what has a note of its own.
pub fn standing_notes(facts: &Facts) -> [Note; 2] {
    let standing = Standing {
        views: facts
            .views
            .values()
            .map(|view| SharedView(Arc::clone(view)))
            .collect(),
        active: facts.active,
        sealed: facts.sealed,
        regions: facts.regions.to_vec(),
        kept: facts.kept.to_vec(),
        incoming: facts.incoming.clone(),
        closed: (facts.closed.below, facts.closed.at),
        gone: facts.gone.clone(),
        lost: facts.lost.values().cloned().collect(),
        ended: facts.ended,
        laid_aside: facts.laid_aside.clone(),
        leftovers: facts.leftovers.clone(),
        has_left: facts.has_left,
        expired: facts.expired.clone(),
        settled: facts.settled.clone(),
    };
    [note(STANDING, &standing), note(CLOSED_IN, &*facts.closed.runs)]
}

/// The facts and acceptors that a store kept; `None` from an empty store.
pub fn read(notes: &[(String, Vec<u8>)]) -> Result<Option<(Facts, Acceptors)>, UnreadableNote> {
    let Some(member) = find::<Member>(notes, MEMBER)? else {
        return Ok(None);
    };
    let mut facts = Facts::new(member);
    if let Some(standing) = find::<Standing>(notes, STANDING)? {
        facts.views = standing
            .views
            .into_iter()
            .map(|view| (view.0.epoch, view.0))
            .collect();
        facts.active = standing.active;
        facts.sealed = standing.sealed;
        facts.regions = Arc::new(standing.regions);
        facts.kept = Arc::new(standing.kept);
        facts.incoming = standing.incoming;
        let (below, at) = standing.closed;
        let runs = Arc::new(find(notes, CLOSED_IN)?.unwrap_or_default());
        facts.closed = Closed { below, at, runs };
        facts.gone = standing.gone;
        facts.lost = standing
            .lost
            .into_iter()
            .map(|lost| (lost.view.epoch, lost))
            .collect();
        facts.ended = standing.ended;
        facts.laid_aside = standing.laid_aside;
        facts.leftovers = standing.leftovers;
        facts.has_left = standing.has_left;
        facts.expired = standing.expired;
        facts.settled = standing.settled;
    }
    (facts.position, facts.vector) = find(notes, VECTOR)?.unwrap_or_default();
    facts.runs = find(notes, RUNS)?.unwrap_or_default();
    facts.run_ends = Arc::new(find(notes, RUN_ENDS)?.unwrap_or_default());
    facts.too_late = Arc::new(find(notes, TOO_LATE)?.unwrap_or_default());
    facts.claimed = find(notes, CLAIMS)?.unwrap_or_default();
    let acceptors = find::<Acceptors>(notes, ACCEPTORS)?.unwrap_or_default();
    Ok(Some((facts, acceptors)))
}

fn note<T: Serialize>(name: &str, value: &T) -> Note {
    let bytes = postcard::to_extend(value, vec![VERSION]).expect("a note of plain values always encodes");
    (name.to_owned(), Some(bytes))
}

fn find<T: for<'de> Deserialize<'de>>(
    notes: &[(String, Vec<u8>)],
    name: &str,
) -> Result<Option<T>, UnreadableNote> {
    let Some((_, bytes)) = notes.iter().find(|(known, _)| known == name) else {
        return Ok(None);
    };
    match bytes.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body)
            .map(Some)
            .map_err(|_| UnreadableNote(name.to_owned())),
        _ => Err(UnreadableNote(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::samples::{acceptors, damages, facts};

    /// A store that holds all of them.
    fn notes(facts: &Facts, acceptors: &Acceptors) -> Vec<(String, Vec<u8>)> {
        let notes = [
            member_note(&facts.me),
            vector_note(facts),
            acceptors_note(acceptors),
            too_late_note(facts),
            claims_note(facts),
        ];
        notes
            .into_iter()
            .chain(standing_notes(facts))
            .chain(runs_notes(facts))
            .map(|(name, bytes)| (name, bytes.expect("is written")))
            .collect()
    }

    proptest! {
        #[test]
        fn facts_and_promises_survive_their_notes(facts in facts(), acceptors in acceptors()) {
            let (again, promises) = read(&notes(&facts, &acceptors)).expect("parses").expect("is there");
            prop_assert_eq!(format!("{again:?}"), format!("{facts:?}"));
            prop_assert_eq!(promises, acceptors);
        }

        #[test]
        fn a_damaged_note_is_named_or_other_facts_but_never_a_panic(
            (facts, acceptors) in (facts(), acceptors()),
            at in 0usize..9,
            damage in damages(),
        ) {
            let mut notes = notes(&facts, &acceptors);
            notes[at].1 = damage.done_to(&notes[at].1, 0);
            if let Err(UnreadableNote(name)) = read(&notes) {
                prop_assert_eq!(&name, &notes[at].0);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(at in 0usize..9, bytes in any::<Vec<u8>>(), facts in facts()) {
            let mut notes = notes(&facts, &Acceptors::new());
            notes[at].1 = [&[VERSION], &bytes[..]].concat();
            let _ = read(&notes);
        }
    }

    #[test]
    fn a_note_of_another_version_is_named_and_no_notes_are_no_facts() {
        assert!(matches!(read(&[]), Ok(None)));
        let error = read(&[(MEMBER.to_owned(), vec![VERSION + 1, 0])]).expect_err("is unknown");
        assert!(error.to_string().contains("\"member\""), "{error}");
    }
}
