//! What an operation depends on, in a form that grows with the sessions and keys but not with the
//! history.
//!
//! A vector clock counts, for each chain, the writes in the past; it tells whether one write is in
//! another's past. For each key the past keeps its *floor*: the writes that no other write of that key
//! in the past follows, and the one with the latest timestamp. Pasts share what they have in common.

use std::rc::Rc;

use super::chains::{Place, includes};
use crate::support::history::Stamp;

/// A write that obliges readers, or a read that found nothing, in place of the deletion that it saw.
#[derive(Debug)]
pub(super) struct Mark {
    pub event: usize,
    pub place: Place,
    pub deletes: bool,
    pub clock: Rc<[u32]>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Floor {
    /// None of them is in the past of another.
    pub latest: Vec<Rc<Mark>>,
    /// The write with the latest timestamp.
    pub top: Option<(Stamp, usize)>,
}

#[derive(Debug, Clone)]
pub(super) struct Past {
    pub clock: Rc<[u32]>,
    /// For each key.
    pub floors: Vec<Rc<Floor>>,
    /// The write of any key with the latest timestamp, whether it obliges readers or not.
    pub newest: Option<(Stamp, usize)>,
}

impl Past {
    pub fn empty(keys: usize) -> Self {
        Self {
            clock: Rc::from([]),
            floors: vec![Rc::default(); keys],
            newest: None,
        }
    }

    /// The union of this past and that one.
    pub fn join(&self, other: &Self) -> Self {
        let floors = self.floors.iter().zip(&other.floors);
        Self {
            clock: join_clocks(&self.clock, &other.clock),
            floors: floors.map(|(mine, theirs)| join_floors(mine, theirs)).collect(),
            newest: self.newest.max(other.newest),
        }
    }

    /// This past with one more write at `place` in it.
    pub fn with(&self, place: Place) -> Self {
        let mut clock = self.clock.to_vec();
        clock.resize(clock.len().max(place.chain + 1), 0);
        clock[place.chain] = place.number;
        Self {
            clock: clock.into(),
            ..self.clone()
        }
    }
}

fn join_clocks(mine: &Rc<[u32]>, theirs: &Rc<[u32]>) -> Rc<[u32]> {
    if Rc::ptr_eq(mine, theirs) {
        return Rc::clone(mine);
    }
    let (long, short) = if mine.len() < theirs.len() {
        (theirs, mine)
    } else {
        (mine, theirs)
    };
    let mut joined = long.to_vec();
    for (number, other) in joined.iter_mut().zip(short.iter()) {
        *number = (*number).max(*other);
    }
    joined.into()
}

fn join_floors(mine: &Rc<Floor>, theirs: &Rc<Floor>) -> Rc<Floor> {
    if Rc::ptr_eq(mine, theirs) || theirs.is_empty() {
        return Rc::clone(mine);
    }
    if mine.is_empty() {
        return Rc::clone(theirs);
    }
    let kept = mine.latest.iter().filter(|mark| !theirs.follows(mark.place));
    let mut latest: Vec<_> = kept.cloned().collect();
    let lost_none = latest.len() == mine.latest.len();
    // A mark that both have was kept above.
    let added = theirs
        .latest
        .iter()
        .filter(|mark| !mine.has_or_follows(mark.place));
    latest.extend(added.cloned());
    let top = mine.top.max(theirs.top);
    if lost_none && latest.len() == mine.latest.len() && top == mine.top {
        return Rc::clone(mine);
    }
    Rc::new(Floor { latest, top })
}

impl Floor {
    fn is_empty(&self) -> bool {
        self.latest.is_empty() && self.top.is_none()
    }

    /// The mark, if any, that has the write at `place` in its past.
    pub fn overwriter(&self, place: Place) -> Option<&Rc<Mark>> {
        let mut later = self.latest.iter().filter(|mark| mark.place != place);
        later.find(|mark| includes(&mark.clock, place))
    }

    fn follows(&self, place: Place) -> bool {
        self.overwriter(place).is_some()
    }

    fn has_or_follows(&self, place: Place) -> bool {
        self.latest.iter().any(|mark| includes(&mark.clock, place))
    }
}
