//! Bounds the bytes of answers: of one answer, and of all answers that are being built or sent.
//!
//! A read takes no room in advance, because the length of its value is unknown. It takes room when its
//! value is there, and is refused if there is none. It never waits, so answers cannot wait for each other.
//!
//! An answer takes at most half of the room that the others leave (the dynamic threshold of Choudhury and
//! Hahne for shared buffers). So a client that asks for many long answers leaves room for a shorter answer to
//! another client, however many it asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::node::outcome::Refusal;

/// The most bytes of what was read in one answer. The last value may exceed it, so an answer to a single
/// read is never too large.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The bytes of all long answers that this node is building or sending.
const ALL_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The room that all answers of a node take.
#[derive(Debug, Clone)]
pub(crate) struct Rooms(Arc<All>);

#[derive(Debug)]
struct All {
    taken: AtomicUsize,
    bytes_max: usize,
    /// How many answers with values this node awaits from other nodes.
    awaited: AtomicUsize,
}

impl Default for Rooms {
    fn default() -> Self {
        Self::of(ALL_BYTES_MAX)
    }
}

impl Rooms {
    fn of(bytes_max: usize) -> Self {
        Self(Arc::new(All {
            taken: AtomicUsize::new(0),
            bytes_max,
            awaited: AtomicUsize::new(0),
        }))
    }

    /// Counts an answer that another node is about to be asked for.
    pub(crate) fn await_one(&self) -> Awaited {
        let all = Arc::clone(&self.0);
        let others = all.awaited.fetch_add(1, Ordering::Relaxed);
        Awaited { all, others }
    }

    /// Room for one more answer, which takes nothing yet.
    pub(crate) fn open(&self) -> Room {
        let all = Arc::clone(&self.0);
        Room { all, bytes: 0 }
    }
}

/// The room that one answer takes, until it is dropped.
#[derive(Debug)]
pub struct Room {
    all: Arc<All>,
    bytes: usize,
}

#[cfg(test)]
impl Default for Room {
    fn default() -> Self {
        Rooms::default().open()
    }
}

impl Room {
    /// Takes `bytes` in all. False if that is more than this answer's share; then nothing changes.
    pub fn resize(&mut self, bytes: usize) -> bool {
        let added = bytes.saturating_sub(self.bytes);
        let before = self.all.taken.fetch_add(added, Ordering::Relaxed);
        let others = before.saturating_sub(self.bytes);
        if added > 0 && bytes > self.all.bytes_max.saturating_sub(others) / 2 {
            self.all.taken.fetch_sub(added, Ordering::Relaxed);
            return false;
        }
        let removed = self.bytes.saturating_sub(bytes);
        self.all.taken.fetch_sub(removed, Ordering::Relaxed);
        self.bytes = bytes;
        true
    }

    /// The same for an answer that must be given: it counts, even beyond the bound.
    fn force(&mut self, bytes: usize) {
        self.all.taken.fetch_add(bytes, Ordering::Relaxed);
        self.all.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// The finished answer, which keeps its room until its last byte is dropped.
    pub fn hold(mut self, answer: Bytes) -> Bytes {
        self.force(answer.len());
        Bytes::from_owner(Held { answer, _room: self })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// An answer that another node was asked for.
#[derive(Debug)]
pub(crate) struct Awaited {
    all: Arc<All>,
    others: usize,
}

impl Awaited {
    /// How much of this room the other node may fill. Answers to reads among writes must all arrive while
    /// their clients wait, or the outcome of the writes is unknown. So the more answers are awaited, the
    /// less of what is read each of them brings. A client reads the rest afterwards.
    pub(crate) fn share_of(&self, bytes: usize) -> u32 {
        let share = (bytes / (1 + self.others)).max(bytes.min(1));
        u32::try_from(share).unwrap_or(u32::MAX)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.all.awaited.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Held {
    answer: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

/// The room that one answer to several reads has left.
#[derive(Debug)]
pub(crate) struct Budget {
    room: Room,
    left: usize,
}

impl Budget {
    pub(crate) fn new(room: Room) -> Self {
        // Each answer leaves most of the free room to others, so that under load all show something.
        let free = room
            .all
            .bytes_max
            .saturating_sub(room.all.taken.load(Ordering::Relaxed));
        let left = ANSWER_BYTES_MAX.min(free / 4).max(1);
        Self { room, left }
    }

    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Takes room for something that was read. The last value may exceed the bound, so a reader gets on
    /// however large its values are.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        if self.left > 0 && !self.room.resize(self.room.bytes + bytes) {
            self.left = 0;
        }
        if self.left == 0 {
            return Err(self.refusal());
        }
        self.left = self.left.saturating_sub(bytes);
        Ok(())
    }

    /// Why a value is not shown. A reader that got other values asks for the rest at once; a reader that got
    /// nothing, because the node is out of room, waits first.
    pub(crate) fn refusal(&self) -> Refusal {
        if self.left == 0 && self.room.bytes == 0 {
            Refusal::Overloaded
        } else {
            Refusal::AnswerTooLarge
        }
    }

    pub(crate) fn into_room(self) -> Room {
        self.room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rooms: &Rooms) -> usize {
        rooms.0.taken.load(Ordering::Relaxed)
    }

    #[test]
    fn an_answer_keeps_its_room_until_its_last_byte_is_dropped() {
        let rooms = Rooms::of(20);
        let mut room = rooms.open();
        assert!(room.resize(7) && !room.resize(11));
        assert!(!rooms.open().resize(7));
        assert!(room.resize(5) && rooms.open().resize(7));
        let mut answer = room.hold(Bytes::from_static(b"too long for it"));
        assert_eq!((taken(&rooms), &answer[..]), (15, &b"too long for it"[..]));
        let end = answer.split_off(12);
        drop(answer);
        assert_eq!(taken(&rooms), 15);
        drop(end);
        assert_eq!(taken(&rooms), 0);
    }

    /// One client asks for long answers, as many as it gets, and takes nothing of them.
    #[test]
    fn many_long_answers_leave_room_for_a_shorter_one() {
        let rooms = Rooms::of(1000);
        for (long, shorter) in [(100, 50), (50, 25), (1, 0)] {
            let one_more = || {
                let mut room = rooms.open();
                room.resize(long).then_some(room)
            };
            let held: Vec<Room> = std::iter::from_fn(one_more).collect();
            assert!(!held.is_empty() && !rooms.open().resize(long));
            assert!(rooms.open().resize(shorter), "{shorter} beside many of {long}");
        }
    }

    #[test]
    fn one_answer_is_bounded_except_for_its_last_value() {
        let rooms = Rooms::default();
        let mut budget = Budget::new(rooms.open());
        assert_eq!(budget.take(ANSWER_BYTES_MAX - 1), Ok(()));
        assert_eq!((budget.take(100), budget.left()), (Ok(()), 0));
        assert_eq!(budget.take(1), Err(Refusal::AnswerTooLarge));
        assert_eq!(taken(&rooms), ANSWER_BYTES_MAX + 99);
    }

    /// Every answer shows something, unless its room is used up.
    #[test]
    fn answers_that_are_awaited_together_share_the_room() {
        let rooms = Rooms::default();
        let first = rooms.await_one();
        let second = rooms.await_one();
        assert_eq!((first.share_of(100), second.share_of(100)), (100, 50));
        assert_eq!((second.share_of(1), second.share_of(0)), (1, 0));
        drop((first, second));
        assert_eq!(rooms.await_one().share_of(100), 100);
    }

    /// A reader that got something asks for the rest at once; for one that got nothing, that is useless.
    #[test]
    fn a_node_without_room_says_whether_the_reader_got_anything() {
        let rooms = Rooms::of(20);
        let mut first = Budget::new(rooms.open());
        assert_eq!(
            (first.take(8), first.take(8)),
            (Ok(()), Err(Refusal::AnswerTooLarge))
        );
        assert_eq!(first.left(), 0);
        let mut second = Budget::new(rooms.open());
        assert_eq!(second.take(8), Err(Refusal::Overloaded));
        drop(first);
        assert_eq!(Budget::new(rooms.open()).take(8), Ok(()));
    }
}
