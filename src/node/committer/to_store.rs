//! Turns the effects of a batch of commands into what is stored: the records that win, and a note for each part of
//! the state that changed.

use crate::names::Key;
use crate::protocol::replication::{Effects, ReplicaState};
use crate::protocol::view_change::Acceptors;
use crate::store::Batch;
use crate::wire::notes::{
    acceptors_note, claims_note, marks_note, member_note, no_page_note, page_note, runs_notes,
    standing_notes, too_late_note, vector_note,
};

/// The batch to store. Takes the winners out of the effects.
pub(super) fn to_store(state: &ReplicaState, acceptors: &Acceptors, effects: &mut Effects) -> Batch {
    let changed = effects.changed;
    let mut notes = Vec::new();
    notes.extend(
        effects
            .pages
            .iter()
            .map(|(number, page)| page_note(*number, page)),
    );
    notes.extend(effects.handed_over.clone().map(no_page_note));
    if changed.life {
        notes.push(member_note(&state.me));
        notes.extend(runs_notes(state));
    }
    if changed.standing {
        notes.extend(standing_notes(state));
    }
    if changed.acceptors {
        notes.push(acceptors_note(acceptors));
    }
    if changed.claims {
        notes.push(claims_note(state));
    }
    if changed.too_late {
        notes.push(too_late_note(state));
    }
    if changed.vector {
        notes.push(vector_note(state));
    }
    if changed.run {
        notes.extend(runs_notes(state));
    }
    notes.extend(effects.marks.as_ref().map(marks_note));
    Batch {
        records: std::mem::take(&mut effects.winners).into_values().collect(),
        forgotten: effects.forgotten.iter().map(|key| key_of(key)).collect(),
        notes,
    }
}

fn key_of(key: &str) -> Key {
    Key::new(key).expect("a record has a key")
}
