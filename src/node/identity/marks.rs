//! How far other members were seen to have come: told to each when it greets, so that one whose disk went back in
//! time learns of it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::names::{Member, MemberId, NodeId};
use crate::protocol::replication::Mark;
use crate::wire::notes::Marks;

/// Earlier lives of one node that are remembered: the disk of an ended life can be put back.
const LIVES_MAX: usize = 4;

/// With so many remembered, no stranger is.
const STRANGERS_MAX: usize = 1024;

/// How far others have come.
#[derive(Debug, Default)]
pub(crate) struct PeerMarks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    marks: Marks,
    /// It differs from what is stored.
    changed: bool,
}

impl PeerMarks {
    /// Takes the marks that were stored.
    pub(crate) fn recall(&self, marks: Marks) {
        self.0.lock().marks = marks;
    }

    /// A member greeted. How far it is in the run that is remembered counts at once. A later run does not replace
    /// that one yet: the answer to the greeting may be lost, and what the member should have heard with it.
    pub(crate) fn greeted(&self, member: &Member, mark: Mark, is_listed: impl FnOnce() -> bool) {
        let known = self.0.lock().marks.get(member).copied();
        if known.is_none_or(|known| (known.run, known.id) == (mark.run, mark.id)) {
            self.note(member, mark, is_listed);
        }
    }

    /// A frame of a member arrived, so that it has read our greeting and took no offence: now a later run may replace
    /// the one that is remembered.
    ///
    /// Streams outlive views, so members that no view lists yet are remembered, too; but not any number of them.
    pub(crate) fn note(&self, member: &Member, mark: Mark, is_listed: impl FnOnce() -> bool) {
        let mut state = self.0.lock();
        let is_full = state.marks.len() >= STRANGERS_MAX;
        match state.marks.get_mut(member) {
            Some(known) if (known.run, known.position) >= (mark.run, mark.position) => return,
            Some(known) => *known = mark,
            None if is_full && !is_listed() => return,
            None => state.begin(member, mark),
        }
        state.changed = true;
    }

    /// How far the lives of a node have come.
    pub(crate) fn of_node(&self, node: &NodeId) -> Vec<(MemberId, Mark)> {
        let state = self.0.lock();
        lives_of(&state.marks, node)
            .map(|(life, mark)| (life.id(), *mark))
            .collect()
    }

    /// The disk refused them: they are to be stored again.
    pub(crate) fn note_refused(&self) {
        self.0.lock().changed = true;
    }

    /// The marks that differ from those on disk; each is given once.
    pub(crate) fn take_changed(&self) -> Option<Marks> {
        let mut state = self.0.lock();
        std::mem::take(&mut state.changed).then(|| state.marks.clone())
    }
}

impl State {
    /// A life that was not heard of before; of the node's earlier ones, the last few are remembered.
    fn begin(&mut self, life: &Member, mark: Mark) {
        self.marks.insert(life.clone(), mark);
        let lives: Vec<Member> = lives_of(&self.marks, &life.node)
            .map(|(life, _)| life.clone())
            .collect();
        for old in lives.iter().rev().skip(LIVES_MAX) {
            self.marks.remove(old);
        }
    }
}

/// The lives of a node, the oldest first.
fn lives_of<'a>(
    marks: &'a BTreeMap<Member, Mark>,
    node: &'a NodeId,
) -> impl Iterator<Item = (&'a Member, &'a Mark)> {
    marks.iter().filter(move |(life, _)| life.node == *node)
}
