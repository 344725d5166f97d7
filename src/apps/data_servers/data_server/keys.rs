//! Reading and changing the pairs of a data server.

use std::collections::BTreeSet;

use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};
use tokio::time::{Instant, sleep};

use super::local_store::{Changes, LocalStoreError};
use super::{DataServer, HELD_LIMIT, HELD_PAUSE, State};
use crate::apps::data_servers::messages::{
    Answer, Datum, KeyOutcome, KeyToDelete, Known, Outcome, Pair, Staged, Stamp, StoredPair,
};
use crate::apps::data_servers::place;

/// Bytes in a page of a listing. A store that fits into one page is listed atomically.
const PAGE_BYTES: usize = 16 * 1024 * 1024;

/// How many transactions a read resolves before it treats the others as in doubt: new ones may come
/// faster than it can resolve them.
const ASKED_MAX: usize = 64;

impl DataServer {
    pub(super) async fn read(
        &self,
        stamp: Option<&Stamp>,
        keys: &[Datum],
        expected: &[String],
    ) -> Result<Answer, LocalStoreError> {
        let (state, in_doubt) = self.settled_for(Some(keys), expected).await?;
        if let Some(answer) = state.objection(stamp) {
            return Ok(answer);
        }
        let doubtful = |key: &Datum| !state.transactions.holders([key]).is_disjoint(&in_doubt);
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            values.push(if doubtful(key) {
                Known::InDoubt
            } else {
                known(key, self.local.read(&place::of_pair(key)).await?)
            });
        }
        let applied = state.transactions.applied_to(Some(keys), Instant::now());
        Ok(Answer::Values { values, applied })
    }

    pub(super) async fn list(
        &self,
        stamp: Option<&Stamp>,
        after: Option<&str>,
        expected: &[String],
    ) -> Result<Answer, LocalStoreError> {
        let (state, in_doubt) = self.settled_for(None, expected).await?;
        if let Some(answer) = state.objection(stamp) {
            return Ok(answer);
        }
        if !in_doubt.is_empty() {
            return Ok(Answer::Failed(
                "an atomic set is in doubt: the server that decides for it does not answer".into(),
            ));
        }
        let (pairs, next) = self.local.list(place::PAIRS, after, PAGE_BYTES).await?;
        let applied = state.transactions.applied_to(None, Instant::now());
        Ok(Answer::Page { pairs, next, applied })
    }

    /// The state for a read, once every transaction on its keys has ended or was still undecided after the
    /// read began, when the old values were still valid. Also returns the transactions whose outcome cannot
    /// be learned now.
    async fn settled_for(
        &self,
        keys: Option<&[Datum]>,
        expected: &[String],
    ) -> Result<(RwLockReadGuard<'_, State>, BTreeSet<String>), LocalStoreError> {
        let (mut asked, mut in_doubt) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let state = self.state.read().await;
            let transactions = &state.transactions;
            let mut open = match keys {
                Some(keys) => transactions.holders(keys),
                None => transactions.all_staged().into_iter().collect(),
            };
            open.extend(
                expected
                    .iter()
                    .filter(|id| transactions.staged(id).is_some())
                    .cloned(),
            );
            let Some(id) = open.difference(&asked).next().cloned() else {
                return Ok((state, in_doubt));
            };
            if asked.len() >= ASKED_MAX {
                in_doubt.extend(open.difference(&asked).cloned());
                return Ok((state, in_doubt));
            }
            drop(state);
            if !matches!(self.resolve(&id, false).await?, Answer::Done | Answer::Outcome(_)) {
                in_doubt.insert(id.clone());
            }
            asked.insert(id);
        }
    }

    pub(super) async fn write(
        &self,
        stamp: Option<&Stamp>,
        pairs: Vec<Pair>,
        is_whole: bool,
    ) -> Result<Answer, LocalStoreError> {
        let keys: Vec<Datum> = pairs.iter().map(|pair| pair.key.clone()).collect();
        let (state, outcomes) = match self.writable(stamp, &keys).await? {
            Ok(writable) => writable,
            Err(answer) => return Ok(answer),
        };
        if is_whole && outcomes.contains(&KeyOutcome::Refused) {
            return Ok(Answer::Each(outcomes));
        }
        let mut changes = Changes::default();
        for (pair, outcome) in pairs.into_iter().zip(&outcomes) {
            if *outcome == KeyOutcome::Done {
                put(&mut changes, pair);
            }
        }
        self.local.store(changes).await?;
        drop(state);
        Ok(Answer::Each(outcomes))
    }

    pub(super) async fn delete(
        &self,
        stamp: Option<&Stamp>,
        to_delete: Vec<KeyToDelete>,
    ) -> Result<Answer, LocalStoreError> {
        let keys: Vec<Datum> = to_delete.iter().map(|one| one.key.clone()).collect();
        let (state, mut outcomes) = match self.writable(stamp, &keys).await? {
            Ok(writable) => writable,
            Err(answer) => return Ok(answer),
        };
        let mut changes = Changes::default();
        let writable = to_delete.into_iter().zip(&mut outcomes);
        let mut seen = BTreeSet::new();
        for (KeyToDelete { key, is_elsewhere }, outcome) in
            writable.filter(|(_, outcome)| **outcome == KeyOutcome::Done)
        {
            let name = place::of_pair(&key);
            let known = known(&key, self.local.read(&name).await?);
            let is_there = matches!(known, Known::Value(_)) || (known == Known::Nothing && is_elsewhere);
            if !seen.insert(key.clone()) || !is_there {
                *outcome = KeyOutcome::Missing;
            }
            if state.remembers_deletions() {
                changes.put(name, &StoredPair { key, value: None });
            } else if is_there {
                changes.forget(name);
            }
        }
        self.local.store(changes).await?;
        drop(state);
        Ok(Answer::Each(outcomes))
    }

    pub(super) async fn stage(
        &self,
        stamp: Option<&Stamp>,
        staged: Staged,
    ) -> Result<Answer, LocalStoreError> {
        if !place::is_id(&staged.transaction.id) || staged.transaction.participants.is_empty() {
            return Ok(Answer::Failed("this is not a transaction".to_owned()));
        }
        let keys: Vec<Datum> = staged.pairs.iter().map(|pair| pair.key.clone()).collect();
        let (mut state, outcomes) = match self.writable(stamp, &keys).await? {
            Ok(writable) => writable,
            Err(answer) => return Ok(answer),
        };
        if outcomes.contains(&KeyOutcome::Refused) {
            return Ok(Answer::Each(outcomes));
        }
        let mut changes = Changes::default();
        changes.put(place::of_staged(&staged.transaction.id), &staged);
        self.local.store(changes).await?;
        state.transactions.stage(staged, Instant::now());
        Ok(Answer::Done)
    }

    /// The state for a change of keys, and for each key whether it may change: it must belong here, share its
    /// hash with no other key, and not be held by a transaction for longer than a client can wait.
    async fn writable(
        &self,
        stamp: Option<&Stamp>,
        keys: &[Datum],
    ) -> Result<Result<(RwLockWriteGuard<'_, State>, Vec<KeyOutcome>), Answer>, LocalStoreError> {
        let began = Instant::now();
        let state = loop {
            let state = self.state.write().await;
            if let Some(answer) = state.objection(stamp) {
                return Ok(Err(answer));
            }
            let holder = state.transactions.holders(keys).into_iter().next();
            let Some(id) = holder.filter(|_| began.elapsed() < HELD_LIMIT) else {
                break state;
            };
            let gives_way = state.transactions.must_give_way(&id, Instant::now());
            drop(state);
            let is_over = matches!(
                self.resolve(&id, gives_way).await?,
                Answer::Done | Answer::Outcome(Outcome::Committed | Outcome::Aborted)
            );
            if !is_over {
                sleep(HELD_PAUSE).await;
            }
        };
        let mut outcomes = Vec::with_capacity(keys.len());
        for key in keys {
            let is_free = state.takes(key) && state.transactions.holders([key]).is_empty();
            let stored = self.local.read(&place::of_pair(key)).await?;
            let is_free = is_free && known(key, stored) != Known::Clash;
            outcomes.push(if is_free {
                KeyOutcome::Done
            } else {
                KeyOutcome::Refused
            });
        }
        Ok(Ok((state, outcomes)))
    }
}

pub(super) fn put(changes: &mut Changes, pair: Pair) {
    let stored = StoredPair {
        key: pair.key,
        value: Some(pair.value),
    };
    changes.put(place::of_pair(&stored.key), &stored);
}

/// Derives the state of a key from its stored pair.
pub(super) fn known(key: &Datum, stored: Option<StoredPair>) -> Known {
    match stored {
        Some(stored) if stored.key != *key => Known::Clash,
        Some(StoredPair {
            value: Some(value), ..
        }) => Known::Value(value),
        Some(_) => Known::Deleted,
        None => Known::Nothing,
    }
}
