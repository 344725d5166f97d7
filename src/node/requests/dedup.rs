//! Remembers forwarded writes by the id of the request, so that a repeated request is answered and not
//! carried out again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::protocol::replication::Outcome;
use crate::wire::peer::Answer;

/// A forwarder repeats a request within a second; a minute is ample.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// The most requests remembered, so that a minute of heavy load does not fill the memory.
const REMEMBERED_MAX: usize = 65_536;

/// Bytes of all remembered answers. Beyond that the node forgets the oldest answers but not their requests: a
/// repeated request is not carried out again, and its outcome is unknown.
const ANSWERS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A longer answer is remembered without the values that it showed: its reader asks for them again.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
enum Request {
    UnderWay(Vec<oneshot::Sender<Option<Answer>>>),
    Done(Option<Answer>),
}

/// The state of a request with an id.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Not seen before: to be done by the caller.
    New,
    /// Done before: its answer; none if the outcome is unknown.
    Done(Option<Answer>),
    /// Being done: the answer comes here too.
    UnderWay(oneshot::Receiver<Option<Answer>>),
}

/// The requests remembered.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: BTreeMap<u128, Request>,
    ages: VecDeque<(Instant, u128)>,
    /// The requests with answers, the oldest answer first, and how long each answer is.
    answers: VecDeque<(u128, usize)>,
    answers_bytes: usize,
}

impl Remembered {
    /// Looks a request up, and takes note of it if it is new.
    pub(crate) fn begin(&self, id: u128) -> Seen {
        let mut inner = self.0.lock();
        inner.forget_old();
        match inner.requests.get_mut(&id) {
            Some(Request::Done(answer)) => Seen::Done(answer.clone()),
            Some(Request::UnderWay(waiting)) => {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                Seen::UnderWay(receiver)
            }
            None => {
                inner.requests.insert(id, Request::UnderWay(Vec::new()));
                inner.ages.push_back((Instant::now(), id));
                Seen::New
            }
        }
    }

    /// Remembers the outcome of a request, and sends it to the repeats that wait for it.
    pub(crate) fn finish(&self, id: u128, answer: &Option<Answer>) {
        let kept = answer.clone().map(without_long_values);
        let bytes = kept.as_ref().map_or(0, Answer::about_bytes);
        let before = {
            let mut inner = self.0.lock();
            inner.answers.push_back((id, bytes));
            inner.answers_bytes += bytes;
            let before = inner.requests.insert(id, Request::Done(kept));
            inner.forget_answers();
            before
        };
        if let Some(Request::UnderWay(waiting)) = before {
            for sender in waiting {
                let _ = sender.send(answer.clone());
            }
        }
    }
}

impl Inner {
    fn forget_old(&mut self) {
        while let Some((since, id)) = self.ages.front() {
            if since.elapsed() < REMEMBERED_FOR && self.ages.len() < REMEMBERED_MAX {
                return;
            }
            self.requests.remove(id);
            self.ages.pop_front();
        }
    }

    fn forget_answers(&mut self) {
        while self.answers_bytes > ANSWERS_BYTES_MAX || self.answers.len() > REMEMBERED_MAX {
            let Some((id, bytes)) = self.answers.pop_front() else {
                return;
            };
            self.answers_bytes -= bytes;
            if let Some(Request::Done(answer)) = self.requests.get_mut(&id) {
                *answer = None;
            }
        }
    }
}

/// Drops long values. Results of writes are kept whatever their size: only this node can tell them.
fn without_long_values(answer: Answer) -> Answer {
    if answer.about_bytes() <= ANSWER_BYTES_MAX {
        return answer;
    }
    match answer {
        Answer::Done(mut outcomes) => {
            for outcome in &mut outcomes {
                if matches!(outcome, Outcome::Found { .. }) {
                    *outcome = Outcome::NoRoom;
                }
            }
            Answer::Done(outcomes)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Dot, Epoch, Key, Log, MemberId};
    use crate::protocol::causality::{Payload, Record, Timestamp, VersionVector};
    use crate::protocol::replication::Effect;

    #[tokio::test]
    async fn a_request_is_done_once_and_every_repeat_gets_its_answer() {
        let remembered = Remembered::default();
        assert!(matches!(remembered.begin(7), Seen::New));
        let Seen::UnderWay(waiting) = remembered.begin(7) else {
            panic!("it is under way");
        };
        remembered.finish(7, &Some(Answer::Pong));
        assert!(matches!(waiting.await, Ok(Some(Answer::Pong))));
        assert!(matches!(remembered.begin(7), Seen::Done(Some(Answer::Pong))));
        assert!(matches!(remembered.begin(8), Seen::New));
    }

    fn dot(number: u64) -> Dot {
        let (epoch, member) = (Epoch(1), MemberId(1));
        let log = Log { epoch, member };
        Dot { log, number }
    }

    fn found(bytes: usize) -> Outcome {
        let key = Key::new("k").expect("is a key");
        let value = vec![0; bytes];
        let record = Record::new(
            &key,
            Some(&value),
            dot(1),
            Timestamp(1),
            &VersionVector::default(),
        );
        let payload = Payload::default();
        Outcome::Found { record, payload }
    }

    fn written(entries: u64) -> Outcome {
        let mut payload = Payload::default();
        for number in 0..entries {
            let (epoch, member) = (Epoch(1), MemberId(number));
            let log = Log { epoch, member };
            payload.entries.raise(Dot { log, number: 1 });
        }
        Outcome::Written(Effect {
            created: true,
            payload,
            timestamp: Timestamp(1),
            replicas: 2,
        })
    }

    fn remembered(of: &Remembered, id: u128) -> Option<Vec<Outcome>> {
        match of.begin(id) {
            Seen::Done(Some(Answer::Done(outcomes))) => Some(outcomes),
            Seen::Done(None) => None,
            other => panic!("{id} is remembered: {other:?}"),
        }
    }

    #[test]
    fn a_long_answer_is_remembered_with_what_its_writes_did_and_without_values() {
        let of = Remembered::default();
        for (id, bytes) in [(1, 100), (2, ANSWER_BYTES_MAX)] {
            assert!(matches!(of.begin(id), Seen::New));
            of.finish(id, &Some(Answer::Done(vec![found(bytes), written(1)])));
        }
        let kinds = |id| {
            let outcomes = remembered(&of, id).expect("has its answer");
            let [read, write] = &outcomes[..] else {
                panic!("two of two");
            };
            assert!(matches!(write, Outcome::Written(_)));
            matches!(read, Outcome::Found { .. })
        };
        assert_eq!((kinds(1), kinds(2)), (true, false));
    }

    #[test]
    fn answers_are_bounded_in_bytes_and_no_request_is_done_again() {
        let of = Remembered::default();
        for id in 0..100 {
            assert!(matches!(of.begin(id), Seen::New));
            // A megabyte each.
            of.finish(id, &Some(Answer::Done(vec![written(44_000)])));
            assert!(of.0.lock().answers_bytes <= ANSWERS_BYTES_MAX);
        }
        assert!(remembered(&of, 0).is_none());
        assert!(remembered(&of, 99).is_some());
    }
}
