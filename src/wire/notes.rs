//! Encodes a node's own state for the disk: a few notes by name, each behind a version byte.
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
use crate::protocol::replication::{
    Closed, Ending, Incoming, Kept, Leftover, Lost, Marks, Region, ReplicaState,
};
use crate::protocol::view_change::Acceptors;

const VERSION: u8 = 3;
const MEMBER: &str = "member";
const STANDING: &str = "standing";
const VECTOR: &str = "vector";
const ACCEPTORS: &str = "acceptors";
const TOO_LATE: &str = "too late";
const CLAIMS: &str = "claims";
const RUNS: &str = "runs";
/// Separate from the standing: disks written before this note existed have the standing's form.
const CLOSED_IN: &str = "closed in";
/// As above.
const RUN_ENDS: &str = "run ends";
const MARKS: &str = "marks";
const PAGE: &str = "left behind ";

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
pub fn vector_note(state: &ReplicaState) -> Note {
    note(VECTOR, &(state.position, &state.vector))
}

/// The runs of this life, and where they ended; both change with each run.
pub fn runs_notes(state: &ReplicaState) -> [Note; 2] {
    [note(RUNS, &state.runs), note(RUN_ENDS, &*state.run_ends)]
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

/// Deletes the note of a page that was handed over.
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

/// The claims of stored records; separate, because they change with writes.
pub fn claims_note(state: &ReplicaState) -> Note {
    note(CLAIMS, &state.claimed)
}

/// The members whose returns are not taken any more.
pub fn too_late_note(state: &ReplicaState) -> Note {
    note(TOO_LATE, &*state.too_late)
}

/// The whole state, except the member, the vector, and everything else that has a note of its own.
pub fn standing_notes(state: &ReplicaState) -> [Note; 2] {
    let standing = Standing {
        views: state
            .views
            .values()
            .map(|view| SharedView(Arc::clone(view)))
            .collect(),
        active: state.active,
        sealed: state.sealed,
        regions: state.regions.to_vec(),
        kept: state.kept.to_vec(),
        incoming: state.incoming.clone(),
        closed: (state.closed.below, state.closed.at),
        gone: state.gone.clone(),
        lost: state.lost.values().cloned().collect(),
        ended: state.ended,
        laid_aside: state.laid_aside.clone(),
        leftovers: state.leftovers.clone(),
        has_left: state.has_left,
        expired: state.expired.clone(),
        settled: state.settled.clone(),
    };
    [note(STANDING, &standing), note(CLOSED_IN, &*state.closed.runs)]
}

/// The state and acceptors that a store kept; `None` from an empty store.
pub fn read(notes: &[(String, Vec<u8>)]) -> Result<Option<(ReplicaState, Acceptors)>, UnreadableNote> {
    let Some(member) = find::<Member>(notes, MEMBER)? else {
        return Ok(None);
    };
    let mut state = ReplicaState::new(member);
    if let Some(standing) = find::<Standing>(notes, STANDING)? {
        state.views = standing
            .views
            .into_iter()
            .map(|view| (view.0.epoch, view.0))
            .collect();
        state.active = standing.active;
        state.sealed = standing.sealed;
        state.regions = Arc::new(standing.regions);
        state.kept = Arc::new(standing.kept);
        state.incoming = standing.incoming;
        let (below, at) = standing.closed;
        let runs = Arc::new(find(notes, CLOSED_IN)?.unwrap_or_default());
        state.closed = Closed { below, at, runs };
        state.gone = standing.gone;
        state.lost = standing
            .lost
            .into_iter()
            .map(|lost| (lost.view.epoch, lost))
            .collect();
        state.ended = standing.ended;
        state.laid_aside = standing.laid_aside;
        state.leftovers = standing.leftovers;
        state.has_left = standing.has_left;
        state.expired = standing.expired;
        state.settled = standing.settled;
    }
    (state.position, state.vector) = find(notes, VECTOR)?.unwrap_or_default();
    state.runs = find(notes, RUNS)?.unwrap_or_default();
    state.run_ends = Arc::new(find(notes, RUN_ENDS)?.unwrap_or_default());
    state.too_late = Arc::new(find(notes, TOO_LATE)?.unwrap_or_default());
    state.claimed = find(notes, CLAIMS)?.unwrap_or_default();
    let acceptors = find::<Acceptors>(notes, ACCEPTORS)?.unwrap_or_default();
    Ok(Some((state, acceptors)))
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
    use crate::wire::samples::{acceptors, damages, state};

    /// A store that holds all notes.
    fn notes(state: &ReplicaState, acceptors: &Acceptors) -> Vec<(String, Vec<u8>)> {
        let notes = [
            member_note(&state.me),
            vector_note(state),
            acceptors_note(acceptors),
            too_late_note(state),
            claims_note(state),
        ];
        notes
            .into_iter()
            .chain(standing_notes(state))
            .chain(runs_notes(state))
            .map(|(name, bytes)| (name, bytes.expect("is written")))
            .collect()
    }

    proptest! {
        #[test]
        fn state_and_promises_survive_their_notes(state in state(), acceptors in acceptors()) {
            let (again, promises) = read(&notes(&state, &acceptors)).expect("parses").expect("is there");
            prop_assert_eq!(format!("{again:?}"), format!("{state:?}"));
            prop_assert_eq!(promises, acceptors);
        }

        #[test]
        fn a_damaged_note_is_named_or_other_notes_but_never_a_panic(
            (state, acceptors) in (state(), acceptors()),
            at in 0usize..9,
            damage in damages(),
        ) {
            let mut notes = notes(&state, &acceptors);
            notes[at].1 = damage.done_to(&notes[at].1, 0);
            if let Err(UnreadableNote(name)) = read(&notes) {
                prop_assert_eq!(&name, &notes[at].0);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(at in 0usize..9, bytes in any::<Vec<u8>>(), state in state()) {
            let mut notes = notes(&state, &Acceptors::new());
            notes[at].1 = [&[VERSION], &bytes[..]].concat();
            let _ = read(&notes);
        }
    }

    #[test]
    fn a_note_of_another_version_is_named_and_no_notes_are_no_state() {
        assert!(matches!(read(&[]), Ok(None)));
        let error = read(&[(MEMBER.to_owned(), vec![VERSION + 1, 0])]).expect_err("is unknown");
        assert!(error.to_string().contains("\"member\""), "{error}");
    }
}
