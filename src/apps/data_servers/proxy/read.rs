//! Reads keys through a proxy: one consistent answer from all servers concerned.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::following::{CallError, Following};
use super::fractures::{Expected, FractureCheck};
use super::{Proxy, ROUNDS_MAX, deadline};
use crate::apps::data_servers::messages::{Answer, Ask, Datum, Known};
use crate::apps::data_servers::service::ReadResult;

/// One attempt to read all keys.
struct Round<'a> {
    proxy: &'a Proxy,
    following: &'a Following,
    keys: &'a [Datum],
    expected: &'a Expected,
    deadline: Instant,
    check: FractureCheck,
    /// The result for each key; none until a server knows the key.
    results: Vec<Option<ReadResult>>,
}

impl Proxy {
    pub(super) async fn fetch(&self, keys: &[Datum]) -> Vec<ReadResult> {
        let deadline = deadline(keys.len(), 0);
        let unavailable = || vec![ReadResult::Unavailable; keys.len()];
        let mut expected = Expected::new();
        for _ in 0..ROUNDS_MAX {
            let Ok(following) = self.following(deadline).await else {
                return unavailable();
            };
            self.fence(&following, deadline).await;
            let mut round = Round {
                proxy: self,
                following: &following,
                keys,
                expected: &expected,
                deadline,
                check: FractureCheck::default(),
                results: vec![None; keys.len()],
            };
            if round.go().await.is_err() {
                continue;
            }
            let missing = round.check.missing();
            if missing.is_empty() {
                let results = round.results.into_iter();
                return results
                    .map(|result| result.unwrap_or(ReadResult::Missing))
                    .collect();
            }
            for (server, ids) in missing {
                expected.entry(server).or_default().extend(ids);
            }
        }
        unavailable()
    }
}

/// The list changed during the round.
struct Stale;

impl Round<'_> {
    async fn go(&mut self) -> Result<(), Stale> {
        for (at, key) in self.keys.iter().enumerate() {
            if !self.following.is_usable(key) {
                self.results[at] = Some(ReadResult::Unavailable);
            }
        }
        let list = &self.following.list;
        self.ask(|key| list.owner(key)).await?;
        if list.is_settled() {
            return Ok(());
        }
        // For keys that the new owner does not know: the old one may, and between the two questions a key
        // may have moved.
        self.ask(|key| list.old_owner(key)).await?;
        self.ask(|key| list.owner(key).filter(|_| list.old_owner(key).is_some()))
            .await
    }

    /// Asks for all keys that are still unknown.
    async fn ask<'s>(&mut self, server_of: impl Fn(&Datum) -> Option<&'s String>) -> Result<(), Stale> {
        let mut shares: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
        for (at, key) in self.keys.iter().enumerate() {
            if let (None, Some(server)) = (&self.results[at], server_of(key)) {
                shares.entry(server).or_default().push(at);
            }
        }
        let (proxy, following, deadline) = (self.proxy, self.following, self.deadline);
        let asked = shares.iter().map(|(server, share)| {
            let keys = share.iter().map(|at| self.keys[*at].clone()).collect();
            let expected = self
                .expected
                .get(*server)
                .into_iter()
                .flatten()
                .cloned()
                .collect();
            async move {
                match proxy
                    .ask(following, server, Ask::Read { keys, expected }, deadline)
                    .await
                {
                    Err(CallError::Stale) => Err(Stale),
                    answer => Ok(answer),
                }
            }
        });
        // After a stale answer, stop waiting: a hanging server would leave no time to ask again.
        let answers = try_join_all(asked.collect::<Vec<_>>()).await?;
        for ((server, share), answer) in shares.iter().zip(answers) {
            match answer {
                Ok(Answer::Values { values, applied }) => {
                    self.check.record(server, applied, self.expected);
                    self.note_values(server, share, values);
                }
                Ok(_) | Err(_) => {
                    share
                        .iter()
                        .for_each(|at| self.results[*at] = Some(ReadResult::Unavailable));
                }
            }
        }
        Ok(())
    }

    fn note_values(&mut self, server: &String, share: &[usize], values: Vec<Known>) {
        let list = &self.following.list;
        for (at, known) in share.iter().zip(values) {
            self.results[*at] = match known {
                Known::Value(value) => Some(ReadResult::Value(value)),
                Known::InDoubt => Some(ReadResult::Unavailable),
                Known::Clash => Some(ReadResult::Missing),
                // A deletion that a server other than the owner reports is old.
                Known::Deleted if list.owner(&self.keys[*at]) == Some(server) => Some(ReadResult::Missing),
                Known::Deleted | Known::Nothing => None,
            };
        }
    }
}
