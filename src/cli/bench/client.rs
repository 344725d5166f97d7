//! One client of a bench: a session that stays with one node and carries its causal payload from request
//! to request. Each value begins with its key, so that a wrong answer is counted and not overlooked.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::history::{History, Noted, Outcome, is_unknown};
use super::measure::Measure;
use crate::cli::arguments::Bench;
use crate::client::{Client, ClientError, Session};
use crate::names::Key;

/// Longer than any node lets a request wait.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The measurements of all clients.
pub(super) type Shared = Rc<RefCell<Measure>>;

/// The history of all clients, if one is written.
pub(super) type Notes = Option<Rc<RefCell<History>>>;

pub(super) struct BenchClient {
    client: Client,
    /// The place of its node in `--node`.
    node: usize,
    number: u64,
    session: Session,
    session_number: u32,
    /// The operation whose payload the session carries.
    after: Option<u32>,
    dice: SmallRng,
    value_bytes: usize,
    writes: u64,
    /// True if a key may never have been written.
    may_miss: bool,
    began: Instant,
    measure: Shared,
    notes: Notes,
}

impl BenchClient {
    /// Client `number` of all.
    pub(super) fn new(arguments: &Bench, number: usize, measure: &Shared, notes: &Notes) -> Self {
        let nodes = &arguments.asking.node.0;
        let node = number % nodes.len();
        let number = u64::try_from(number).expect("few clients");
        let mut client = Self {
            client: Client::new(vec![nodes[node].clone()]).with_timeout(ANSWER_LIMIT),
            node,
            number,
            session: Session::default(),
            session_number: 0,
            after: None,
            dice: SmallRng::seed_from_u64(arguments.seed.wrapping_add(number)),
            value_bytes: arguments.value_bytes,
            writes: 0,
            may_miss: !arguments.fill && !arguments.filled,
            began: Instant::now(),
            measure: Rc::clone(measure),
            notes: notes.clone(),
        };
        client.begin_session();
        client
    }

    fn begin_session(&mut self) {
        self.session = Session::default();
        self.after = None;
        let notes = self.notes.as_ref();
        self.session_number = notes.map_or(0, |notes| notes.borrow_mut().new_session());
    }

    /// Reads or writes one of the keys.
    pub(super) async fn ask(&mut self, keys: u64, writes_percent: u8) {
        let number = self.dice.random_range(0..keys);
        if self.dice.random_range(0..100) < writes_percent {
            self.put(number).await;
        } else {
            self.get(number).await;
        }
    }

    pub(super) async fn put(&mut self, number: u64) {
        let (key, value) = (key(number), self.value(number));
        let (asked, payload) = (Instant::now(), self.session.payload().to_owned());
        let bytes = Bytes::from(value.clone());
        let outcome = self.client.put(&key, bytes, &mut self.session).await;
        let noted = match &outcome {
            Ok(written) => Outcome::Written(written),
            Err(error) => Outcome::Failed(error),
        };
        self.write_down(asked, &key, Some(&value), &payload, &noted);
        if outcome.as_ref().is_err_and(is_unknown) {
            self.begin_session();
        }
        let failure = outcome.err().map(|error| format!("PUT {key}: {error}"));
        self.measure(asked, failure);
    }

    async fn get(&mut self, number: u64) {
        let key = key(number);
        let (asked, payload) = (Instant::now(), self.session.payload().to_owned());
        let outcome = self.client.get(&key, &mut self.session).await;
        let noted = match &outcome {
            Ok(found) => Outcome::Found(found),
            Err(error) => Outcome::Failed(error),
        };
        self.write_down(asked, &key, None, &payload, &noted);
        let failure = match outcome {
            Ok(found) if found.value.starts_with(key.as_str().as_bytes()) => None,
            Ok(_) => Some(format!("GET {key}: the value of another key")),
            Err(ClientError::NoSuchKey(_)) if self.may_miss => None,
            Err(error) => Some(format!("GET {key}: {error}")),
        };
        self.measure(asked, failure);
    }

    fn measure(&mut self, asked: Instant, failure: Option<String>) {
        let mut measure = self.measure.borrow_mut();
        measure.note(asked - self.began, asked.elapsed(), failure);
    }

    fn write_down(
        &mut self,
        asked: Instant,
        key: &Key,
        write: Option<&str>,
        payload: &str,
        outcome: &Outcome<'_>,
    ) {
        let Some(notes) = &self.notes else { return };
        let noted = Noted {
            node: self.node,
            session: self.session_number,
            sent: asked,
            key: key.as_str(),
            write,
            after: self.after,
            payload,
        };
        let number = notes.borrow_mut().note(&noted, outcome);
        if self.session.payload() != payload {
            self.after = Some(number);
        }
    }

    /// The key, two numbers that make the value unique, and then random letters, which compress no better
    /// than real values do.
    fn value(&mut self, number: u64) -> String {
        self.writes += 1;
        let mut value = format!("{}.{}.{}.", key(number), self.number, self.writes);
        while value.len() < self.value_bytes {
            value.push(char::from(self.dice.random_range(b'a'..=b'z')));
        }
        value
    }
}

/// 12 characters up to ten million keys.
fn key(number: u64) -> Key {
    Key::new(&format!("bench{number:07}")).expect("is short")
}
