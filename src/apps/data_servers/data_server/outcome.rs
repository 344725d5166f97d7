//! Ends transactions: the first participant decides, and the others ask it. The first participant stages
//! before all others. So if it does not know a transaction, it has aborted it or will never commit it, and
//! aborts need no record.

use tokio::time::Instant;

use super::keys::put;
use super::local_store::{Changes, LocalStoreError};
use super::{DECIDER_LIMIT, DataServer};
use crate::apps::data_servers::messages::{Answer, Applied, Ask, Call, Outcome, Staged, Transaction};
use crate::apps::data_servers::place;

impl DataServer {
    /// Commits a transaction: the decision and this server's share are stored in one change.
    pub(super) async fn commit(&self, id: &str) -> Result<Outcome, LocalStoreError> {
        self.apply(id).await?;
        let state = self.state.read().await;
        Ok(match state.transactions.is_applied(id) {
            true => Outcome::Committed,
            false => Outcome::Aborted,
        })
    }

    /// The decision of this server about a transaction; with `abort`, it aborts an undecided one.
    pub(super) async fn outcome(&self, id: &str, abort: bool) -> Result<Outcome, LocalStoreError> {
        let state = self.state.read().await;
        let (is_staged, is_applied) = (
            state.transactions.staged(id).is_some(),
            state.transactions.is_applied(id),
        );
        drop(state);
        match (is_applied, is_staged) {
            (true, _) => Ok(Outcome::Committed),
            (false, false) => Ok(Outcome::Aborted),
            (false, true) if !abort => Ok(Outcome::Undecided),
            (false, true) => {
                self.discard(id).await?;
                self.commit_of_another(id).await
            }
        }
    }

    /// The outcome of an abort that may have raced with a commit.
    async fn commit_of_another(&self, id: &str) -> Result<Outcome, LocalStoreError> {
        let state = self.state.read().await;
        let is_applied = state.transactions.is_applied(id);
        Ok(if is_applied {
            Outcome::Committed
        } else {
            Outcome::Aborted
        })
    }

    /// Ends this server's part of a transaction by the decision of the first participant. An undecided
    /// transaction is aborted if it is stale or `abort` is set. `Done` if there is nothing left to end.
    pub(super) async fn resolve(&self, id: &str, abort: bool) -> Result<Answer, LocalStoreError> {
        let state = self.state.read().await;
        let Some(staged) = state.transactions.staged(id) else {
            return Ok(Answer::Done);
        };
        let abort = abort || state.transactions.is_stale(id, Instant::now());
        let decider = staged.transaction.participants[0].clone();
        let own = state.membership.as_ref();
        let is_own = own.is_none_or(|own| own.name == decider);
        let is_lost = own.is_some_and(|own| !own.list.concerned().contains(&decider));
        drop(state);
        let outcome = if is_own {
            self.outcome(id, abort).await?
        } else if is_lost {
            // The decider was given up, together with its decisions.
            Outcome::Aborted
        } else {
            match self.ask_decider(decider, id, abort).await {
                Ok(outcome) => outcome,
                Err(reason) => return Ok(Answer::Failed(reason)),
            }
        };
        match outcome {
            Outcome::Committed => self.apply(id).await?,
            Outcome::Aborted => self.discard(id).await?,
            Outcome::Undecided => {}
        }
        Ok(Answer::Outcome(outcome))
    }

    async fn ask_decider(&self, decider: String, id: &str, abort: bool) -> Result<Outcome, String> {
        let id = id.to_owned();
        let call = Call {
            to: decider,
            stamp: None,
            ask: Ask::Outcome { id, abort },
        };
        match self.link.call(&call, DECIDER_LIMIT).await {
            Ok(Answer::Outcome(outcome)) => Ok(outcome),
            Ok(other) => Err(format!("{} answered {other:?}", call.to)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Applies the staged pairs, at most once.
    async fn apply(&self, id: &str) -> Result<(), LocalStoreError> {
        let mut state = self.state.write().await;
        let Some(Staged { transaction, pairs }) = state.transactions.staged(id).cloned() else {
            return Ok(());
        };
        let keys = pairs.iter().map(|pair| pair.key.clone()).collect();
        let applied = Applied { transaction, keys };
        let mut changes = Changes::default();
        pairs.into_iter().for_each(|pair| put(&mut changes, pair));
        changes.forget(place::of_staged(id));
        changes.put(place::of_applied(id), &applied);
        self.local.store(changes).await?;
        state.transactions.applied(applied, Instant::now());
        Ok(())
    }

    async fn discard(&self, id: &str) -> Result<(), LocalStoreError> {
        let mut state = self.state.write().await;
        if state.transactions.staged(id).is_none() {
            return Ok(());
        }
        let mut changes = Changes::default();
        changes.forget(place::of_staged(id));
        self.local.store(changes).await?;
        state.transactions.unstage(id);
        Ok(())
    }

    /// Ends stale transactions, and forgets applied ones that no server will ask about.
    pub(super) async fn clean_up(&self) -> Result<(), LocalStoreError> {
        let now = Instant::now();
        let state = self.state.read().await;
        let transactions = &state.transactions;
        let mut stale = transactions.all_staged();
        stale.retain(|id| transactions.is_stale(id, now));
        let old = transactions.shown_long_enough(now);
        drop(state);
        for id in stale {
            self.resolve(&id, true).await?;
        }
        let mut changes = Changes::default();
        let mut forgotten = Vec::new();
        for transaction in old {
            if self.is_over_everywhere(&transaction).await {
                changes.forget(place::of_applied(&transaction.id));
                forgotten.push(transaction.id);
            }
        }
        if forgotten.is_empty() {
            return Ok(());
        }
        let mut state = self.state.write().await;
        self.local.store(changes).await?;
        forgotten.iter().for_each(|id| state.transactions.forget(id));
        Ok(())
    }

    /// True if no server needs the record: a decider keeps it until all others have applied the set.
    async fn is_over_everywhere(&self, transaction: &Transaction) -> bool {
        let membership = self.state.read().await.membership.clone();
        let Some(own) = membership else { return true };
        if transaction.participants[0] != own.name {
            return true;
        }
        let concerned = own.list.concerned();
        let others = transaction.participants[1..].iter();
        for other in others.filter(|other| concerned.contains(other)) {
            let call = Call {
                to: other.clone(),
                stamp: None,
                ask: Ask::Resolve {
                    id: transaction.id.clone(),
                },
            };
            let answer = self.link.call(&call, DECIDER_LIMIT).await;
            let is_over = matches!(answer, Ok(Answer::Done | Answer::Outcome(Outcome::Committed)));
            if !is_over {
                return false;
            }
        }
        true
    }
}
