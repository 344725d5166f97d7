//! One client of a bench: a session that stays with one node and carries its causal payload from request
//! to request. Each value begins with its key, so that a wrong answer is counted and not overlooked.

use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::measure::{Asked, Measure};
use crate::cli::arguments::Bench;
use crate::client::{Client, ClientError, Session};
use crate::names::{Key, NodeId};

/// Longer than any node lets a request wait.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct BenchClient {
    client: Client,
    session: Session,
    dice: SmallRng,
    value_bytes: usize,
    /// Whether a key may never have been written.
    may_miss: bool,
    began: Instant,
    measure: Measure,
}

impl BenchClient {
    pub(super) fn new(node: &NodeId, arguments: &Bench, number: u64, began: Instant) -> Self {
        Self {
            client: Client::new(vec![node.clone()]).with_timeout(ANSWER_LIMIT),
            session: Session::default(),
            dice: SmallRng::seed_from_u64(arguments.seed.wrapping_add(number)),
            value_bytes: arguments.value_bytes,
            may_miss: !arguments.fill && !arguments.filled,
            began,
            measure: Measure::default(),
        }
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
        let asked = Instant::now();
        let outcome = self.client.put(&key, value, &mut self.session).await;
        let outcome = outcome.map(drop).map_err(|error| format!("PUT {key}: {error}"));
        self.note(asked, outcome);
    }

    async fn get(&mut self, number: u64) {
        let key = key(number);
        let asked = Instant::now();
        let outcome = match self.client.get(&key, &mut self.session).await {
            Ok(found) if found.value.starts_with(key.as_str().as_bytes()) => Ok(()),
            Ok(_) => Err(format!("GET {key}: the value of another key")),
            Err(ClientError::NoSuchKey(_)) if self.may_miss => Ok(()),
            Err(error) => Err(format!("GET {key}: {error}")),
        };
        self.note(asked, outcome);
    }

    fn note(&mut self, asked: Instant, outcome: Result<(), String>) {
        let asked = Asked {
            at: asked - self.began,
            took: asked.elapsed(),
        };
        self.measure.note(asked, outcome);
    }

    /// The key's name and then letters by chance, which compress no better than real values do.
    fn value(&mut self, number: u64) -> Bytes {
        let mut value = key(number).as_str().as_bytes().to_vec();
        while value.len() < self.value_bytes {
            value.push(self.dice.random_range(b'a'..=b'z'));
        }
        value.into()
    }

    pub(super) fn into_measure(self) -> Measure {
        self.measure
    }
}

/// 12 characters up to ten million keys.
fn key(number: u64) -> Key {
    Key::new(&format!("bench{number:07}")).expect("is short")
}
