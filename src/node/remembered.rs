//! Forwarded writes that were taken here lately, by the id of the request: one that comes again is
//! answered and not done again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::wire::peer::Answer;

/// A forwarder repeats a request within a second; a minute is ample.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// At the most this many, so that a minute of heavy load does not fill the memory.
const REMEMBERED_MAX: usize = 65_536;

#[derive(Debug)]
enum Request {
    UnderWay(Vec<oneshot::Sender<Option<Answer>>>),
    Done(Option<Answer>),
}

/// What a request with an id turns out to be.
#[derive(Debug)]
pub(super) enum Known {
    /// To be done now.
    New,
    /// Done before: this was the answer; none where nobody knows what became of it.
    Done(Option<Answer>),
    /// Being done: the answer comes here too.
    UnderWay(oneshot::Receiver<Option<Answer>>),
}

/// The requests remembered.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: BTreeMap<u128, Request>,
    ages: VecDeque<(Instant, u128)>,
}

impl Remembered {
    /// Looks a request up, and takes note of it if it is new.
    pub(super) fn begin(&self, id: u128) -> Known {
        let mut inner = self.0.lock();
        inner.forget_old();
        match inner.requests.get_mut(&id) {
            Some(Request::Done(answer)) => Known::Done(answer.clone()),
            Some(Request::UnderWay(waiting)) => {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                Known::UnderWay(receiver)
            }
            None => {
                inner.requests.insert(id, Request::UnderWay(Vec::new()));
                inner.ages.push_back((Instant::now(), id));
                Known::New
            }
        }
    }

    /// The request was done.
    pub(super) fn finish(&self, id: u128, answer: &Option<Answer>) {
        let before = self.0.lock().requests.insert(id, Request::Done(answer.clone()));
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_done_once_and_everybody_who_asks_gets_its_answer() {
        let remembered = Remembered::default();
        assert!(matches!(remembered.begin(7), Known::New));
        let Known::UnderWay(waiting) = remembered.begin(7) else {
            panic!("it is under way");
        };
        remembered.finish(7, &Some(Answer::Pong));
        assert!(matches!(waiting.await, Ok(Some(Answer::Pong))));
        assert!(matches!(remembered.begin(7), Known::Done(Some(Answer::Pong))));
        assert!(matches!(remembered.begin(8), Known::New));
    }
}
