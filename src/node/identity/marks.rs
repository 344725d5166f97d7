//! Remembers how far other members have come, and tells each of them when it greets: a member whose disk
//! went back in time learns of it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::names::{Member, MemberId, NodeId};
use crate::protocol::replication::{Mark, Marks};

/// How many lives of one node are remembered: the disk of an ended life can be put back.
const LIVES_MAX: usize = 4;

/// With this many marks remembered, no stranger is added.
const STRANGERS_MAX: usize = 1024;

/// How far other members have come.
#[derive(Debug, Default)]
pub(crate) struct PeerMarks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    marks: Marks,
    /// True if the marks differ from those on disk.
    changed: bool,
}

impl PeerMarks {
    /// Loads the stored marks.
    pub(crate) fn recall(&self, marks: Marks) {
        self.0.lock().marks = marks;
    }

    /// Takes note of a member's greeting. A mark of the remembered run counts at once. A later run does
    /// not replace that run yet: the answer to the greeting may be lost, and with it what the member
    /// should learn.
    pub(crate) fn greeted(&self, member: &Member, mark: Mark, is_listed: impl FnOnce() -> bool) {
        let known = self.0.lock().marks.get(member).copied();
        if known.is_none_or(|known| (known.run, known.id) == (mark.run, mark.id)) {
            self.note(member, mark, is_listed);
        }
    }

    /// Takes note of a member's frame: the member has read and accepted our greeting, so a later run may
    /// replace the remembered one.
    ///
    /// Streams outlive views, so members that no view lists yet are remembered, too, up to a limit.
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

    /// The marks of a node's lives.
    pub(crate) fn of_node(&self, node: &NodeId) -> Vec<(MemberId, Mark)> {
        let state = self.0.lock();
        lives_of(&state.marks, node)
            .map(|(life, mark)| (life.id(), *mark))
            .collect()
    }

    /// Takes note that the disk refused the marks, so that they are stored again.
    pub(crate) fn note_refused(&self) {
        self.0.lock().changed = true;
    }

    /// Takes the marks, if they differ from those on disk.
    pub(crate) fn take_changed(&self) -> Option<Marks> {
        let mut state = self.0.lock();
        std::mem::take(&mut state.changed).then(|| state.marks.clone())
    }
}

impl State {
    /// Adds a new life of a node, and keeps only the last few of that node.
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
