//! The atomic sets that a data server takes part in: staged ones, which hold their keys, and recently
//! applied ones. Time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::apps::data_servers::messages::{Applied, Datum, Staged, Transaction};

/// How long answers to readers name an applied transaction: longer than any read takes.
const APPLIED_SHOWN: Duration = Duration::from_secs(3);

/// After this time, a request that waits for the keys may abort the transaction. It is shorter than any
/// request waits, so a killed proxy fails no request of others. A proxy that is merely slow starts over.
const HELD_MAX: Duration = Duration::from_millis(600);

/// After this time a staged transaction counts as abandoned by its proxy, even if no request waits: longer
/// than the largest set may take.
const STAGED_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Transactions {
    staged: BTreeMap<String, (Staged, Instant)>,
    holders: BTreeMap<Datum, String>,
    applied: BTreeMap<String, (Applied, Instant)>,
}

impl Transactions {
    pub(super) fn stage(&mut self, staged: Staged, now: Instant) {
        let id = &staged.transaction.id;
        for pair in &staged.pairs {
            self.holders.insert(pair.key.clone(), id.clone());
        }
        self.staged.insert(id.clone(), (staged, now));
    }

    pub(super) fn staged(&self, id: &str) -> Option<&Staged> {
        self.staged.get(id).map(|(staged, _)| staged)
    }

    pub(super) fn all_staged(&self) -> Vec<String> {
        self.staged.keys().cloned().collect()
    }

    /// True if its proxy has probably abandoned it.
    pub(super) fn is_stale(&self, id: &str, now: Instant) -> bool {
        self.is_staged_for(id, STAGED_MAX, now)
    }

    /// True if it has held its keys for as long as others must wait.
    pub(super) fn must_give_way(&self, id: &str, now: Instant) -> bool {
        self.is_staged_for(id, HELD_MAX, now)
    }

    fn is_staged_for(&self, id: &str, time: Duration, now: Instant) -> bool {
        let staged = self.staged.get(id);
        staged.is_some_and(|(_, since)| now.duration_since(*since) > time)
    }

    /// Releases the keys of a transaction.
    pub(super) fn unstage(&mut self, id: &str) {
        if let Some((staged, _)) = self.staged.remove(id) {
            for pair in &staged.pairs {
                self.holders.remove(&pair.key);
            }
        }
    }

    pub(super) fn applied(&mut self, applied: Applied, now: Instant) {
        let id = applied.transaction.id.clone();
        self.unstage(&id);
        self.applied.insert(id, (applied, now));
    }

    pub(super) fn is_applied(&self, id: &str) -> bool {
        self.applied.contains_key(id)
    }

    /// Transactions applied so long ago that no answer needs to name them.
    pub(super) fn shown_long_enough(&self, now: Instant) -> Vec<Transaction> {
        let old = self.applied.values();
        let old = old.filter(|(_, since)| now.duration_since(*since) > APPLIED_SHOWN);
        old.map(|(applied, _)| applied.transaction.clone()).collect()
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.applied.remove(id);
    }

    /// The transactions that hold any of these keys.
    pub(super) fn holders<'a>(&self, keys: impl IntoIterator<Item = &'a Datum>) -> BTreeSet<String> {
        let holders = keys.into_iter().filter_map(|key| self.holders.get(key));
        holders.cloned().collect()
    }

    /// The applied transactions to name in an answer about these keys, or about all keys.
    pub(super) fn applied_to(&self, keys: Option<&[Datum]>, now: Instant) -> Vec<Transaction> {
        let shown = self.applied.values();
        let shown = shown.filter(|(_, since)| now.duration_since(*since) <= APPLIED_SHOWN);
        let touches = |applied: &Applied| {
            keys.is_none_or(|keys| {
                let written: BTreeSet<&Datum> = applied.keys.iter().collect();
                keys.iter().any(|key| written.contains(key))
            })
        };
        let shown = shown.filter(|(applied, _)| touches(applied));
        shown.map(|(applied, _)| applied.transaction.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apps::data_servers::messages::{Encoding, Pair};

    fn datum(data: &str) -> Datum {
        Datum {
            encoding: Encoding::String,
            data: data.to_owned(),
        }
    }

    fn staged(id: &str, keys: &[&str]) -> Staged {
        let pair = |key: &&str| Pair {
            key: datum(key),
            value: datum("v"),
        };
        Staged {
            transaction: Transaction {
                id: id.to_owned(),
                participants: vec!["a:1".into(), "b:1".into()],
            },
            pairs: keys.iter().map(pair).collect(),
        }
    }

    fn applied(staged: &Staged) -> Applied {
        Applied {
            transaction: staged.transaction.clone(),
            keys: staged.pairs.iter().map(|pair| pair.key.clone()).collect(),
        }
    }

    #[test]
    fn keys_are_held_from_staging_to_the_end() {
        let now = Instant::now();
        let mut transactions = Transactions::default();
        let both = [staged("1", &["a", "b"]), staged("2", &["c"])];
        both.iter().for_each(|one| transactions.stage(one.clone(), now));
        let holders = |all: &Transactions| all.holders(&[datum("b"), datum("c"), datum("d")]);
        assert_eq!(holders(&transactions), ["1".to_owned(), "2".to_owned()].into());
        transactions.unstage("2");
        assert_eq!(holders(&transactions), ["1".to_owned()].into());
        transactions.applied(applied(&both[0]), now);
        assert!(holders(&transactions).is_empty() && transactions.is_applied("1"));
        assert!(transactions.all_staged().is_empty());
    }

    #[test]
    fn an_answer_names_recent_transactions_that_touched_its_keys() {
        let now = Instant::now();
        let mut transactions = Transactions::default();
        transactions.applied(applied(&staged("1", &["a", "b"])), now);
        let named = |keys: &[&str], after: Duration| {
            let keys: Vec<Datum> = keys.iter().map(|key| datum(key)).collect();
            transactions.applied_to(Some(&keys), now + after).len()
        };
        assert_eq!(named(&["b", "x"], Duration::ZERO), 1);
        assert_eq!(named(&["x"], Duration::ZERO), 0);
        assert_eq!(named(&["b"], APPLIED_SHOWN * 2), 0);
        assert_eq!(transactions.applied_to(None, now).len(), 1);
        assert!(transactions.shown_long_enough(now).is_empty());
        assert_eq!(transactions.shown_long_enough(now + APPLIED_SHOWN * 2).len(), 1);
    }

    #[test]
    fn an_abandoned_transaction_becomes_stale() {
        let now = Instant::now();
        let mut transactions = Transactions::default();
        transactions.stage(staged("1", &["a"]), now);
        assert!(!transactions.is_stale("1", now) && !transactions.is_stale("2", now + STAGED_MAX * 2));
        assert!(transactions.is_stale("1", now + STAGED_MAX * 2));
        assert!(!transactions.must_give_way("1", now) && transactions.must_give_way("1", now + HELD_MAX * 2));
    }
}
