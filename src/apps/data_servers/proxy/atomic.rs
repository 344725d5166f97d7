//! An atomic set over several servers, in two steps: every participant stages its share and holds its
//! keys, then the first decides, in one stored change. `data_servers` says why no reader sees half.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::following::{CallError, Following};
use super::{Proxy, ROUNDS_MAX, bytes_of, deadline};
use crate::apps::data_servers::messages::{Answer, Ask, KeyOutcome, Outcome, Pair, Staged, Transaction};
use crate::apps::data_servers::service::Trouble;

/// The part of a set's time that is reserved for the decision after all have staged.
const DECISION_TIME: Duration = Duration::from_millis(400);

/// Why one attempt failed.
enum Undone {
    /// Nothing is stored, and another attempt may succeed: the list has changed.
    Again,
    Trouble(Trouble),
}

impl Proxy {
    pub(super) async fn set_whole(&self, pairs: Vec<Pair>) -> Result<(), Trouble> {
        let deadline = deadline(pairs.len(), bytes_of(&pairs));
        for _ in 0..ROUNDS_MAX {
            let following = self.following(deadline).await.map_err(|_| Trouble::NotStored)?;
            self.fence(&following, deadline).await;
            let mut shares: BTreeMap<String, Vec<Pair>> = BTreeMap::new();
            for pair in &pairs {
                let owner = following.list.owner(&pair.key);
                let owner = owner.filter(|_| following.is_usable(&pair.key));
                let owner = owner.ok_or(Trouble::NotStored)?;
                shares.entry(owner.clone()).or_default().push(pair.clone());
            }
            let done = match shares.len() {
                1 => self.set_on_one(&following, shares, deadline).await,
                _ => self.set_on_several(&following, shares, deadline).await,
            };
            match done {
                Ok(()) => return Ok(()),
                Err(Undone::Again) if Instant::now() + DECISION_TIME < deadline => {}
                Err(Undone::Again) => return Err(Trouble::NotStored),
                Err(Undone::Trouble(trouble)) => return Err(trouble),
            }
        }
        Err(Trouble::NotStored)
    }

    async fn set_on_one(
        &self,
        following: &Following,
        shares: BTreeMap<String, Vec<Pair>>,
        deadline: Instant,
    ) -> Result<(), Undone> {
        let (server, pairs) = shares.into_iter().next().expect("there is one share");
        let ask = Ask::Write {
            pairs,
            is_whole: true,
        };
        match self.ask(following, &server, ask, deadline).await {
            Ok(Answer::Each(outcomes)) if outcomes.iter().all(|outcome| *outcome == KeyOutcome::Done) => {
                Ok(())
            }
            Err(CallError::Stale) => Err(Undone::Again),
            Err(CallError::Unconfirmed(_)) => Err(Undone::Trouble(Trouble::UnknownOutcome)),
            Ok(_) | Err(CallError::NotDone(_)) => Err(Undone::Trouble(Trouble::NotStored)),
        }
    }

    async fn set_on_several(
        &self,
        following: &Following,
        shares: BTreeMap<String, Vec<Pair>>,
        deadline: Instant,
    ) -> Result<(), Undone> {
        let transaction = Transaction {
            id: format!("{:032x}", rand::random::<u128>()),
            participants: shares.keys().cloned().collect(),
        };
        if let Err(reason) = self
            .stage(following, &transaction, shares, deadline - DECISION_TIME)
            .await
        {
            self.abort(following, &transaction, deadline).await;
            return Err(match reason {
                CallError::Stale => Undone::Again,
                CallError::NotDone(_) | CallError::Unconfirmed(_) => Undone::Trouble(Trouble::NotStored),
            });
        }
        let decided = self.decide(following, &transaction, deadline).await;
        self.announce_outcome(following, &transaction, deadline).await;
        match decided {
            Some(Outcome::Committed) => Ok(()),
            // A server aborted it, most likely to follow a newer list.
            Some(_) => Err(Undone::Again),
            None => Err(Undone::Trouble(Trouble::UnknownOutcome)),
        }
    }

    /// Stages the shares one after the other, in the same order at every proxy: the first participant
    /// must stage before all others, and two sets with common keys must never wait for each other.
    async fn stage(
        &self,
        following: &Following,
        transaction: &Transaction,
        shares: BTreeMap<String, Vec<Pair>>,
        deadline: Instant,
    ) -> Result<(), CallError> {
        for (server, pairs) in shares {
            let transaction = transaction.clone();
            let ask = Ask::Stage(Staged { transaction, pairs });
            match self.ask(following, &server, ask, deadline).await? {
                Answer::Done => {}
                _ => return Err(CallError::NotDone(format!("{server} cannot take its share"))),
            }
        }
        Ok(())
    }

    /// The commit point. If the answer is lost, the first participant is asked for its decision.
    async fn decide(
        &self,
        following: &Following,
        transaction: &Transaction,
        deadline: Instant,
    ) -> Option<Outcome> {
        let id = &transaction.id;
        let commit = Ask::Commit { id: id.clone() };
        let in_the_middle = Instant::now() + DECISION_TIME / 2;
        let outcome = Ask::Outcome {
            id: id.clone(),
            abort: true,
        };
        let decider = &transaction.participants[0];
        for (ask, until) in [(commit, in_the_middle), (outcome, deadline)] {
            if let Some(Answer::Outcome(outcome)) = self.ask_of(following, decider, ask, until).await {
                return Some(outcome);
            }
        }
        None
    }

    async fn abort(&self, following: &Following, transaction: &Transaction, deadline: Instant) {
        let ask = Ask::Outcome {
            id: transaction.id.clone(),
            abort: true,
        };
        let decider = &transaction.participants[0];
        self.ask_of(following, decider, ask, deadline).await;
        self.announce_outcome(following, transaction, deadline).await;
    }

    /// A participant that is not reached finds out when it is asked for the keys, or by itself.
    async fn announce_outcome(&self, following: &Following, transaction: &Transaction, deadline: Instant) {
        let announced = transaction.participants[1..].iter().map(|server| {
            let id = transaction.id.clone();
            self.ask_of(following, server, Ask::Resolve { id }, deadline)
        });
        join_all(announced).await;
    }

    /// Asks about a transaction. Servers ignore the list of such a call: no list changes the outcome.
    async fn ask_of(
        &self,
        following: &Following,
        server: &str,
        ask: Ask,
        deadline: Instant,
    ) -> Option<Answer> {
        self.ask(following, server, ask, deadline).await.ok()
    }
}
