//! Detects fractured reads (Bailis and others, RAMP, 2014): answers that show an atomic set only in part.
//!
//! Server A may answer after an atomic set was applied there, and server B may have answered before:
//! together they show half of it. But then A's answer names the set and its participants, B is one of
//! them, and B's answer does not name it. So B is asked again, with the id of the set that its answer
//! must show.

use std::collections::{BTreeMap, BTreeSet};

use crate::apps::data_servers::messages::Transaction;

/// Ids of transactions, by the server that must have them in its answer.
pub(super) type Expected = BTreeMap<String, BTreeSet<String>>;

#[derive(Debug, Default)]
pub(super) struct FractureCheck {
    transactions: BTreeMap<String, Transaction>,
    answers: Vec<(String, BTreeSet<String>)>,
}

impl FractureCheck {
    /// Records an answer: the transactions that it names, and those that the call told the server to show.
    pub(super) fn record(&mut self, server: &str, applied: Vec<Transaction>, expected: &Expected) {
        let mut named = expected.get(server).cloned().unwrap_or_default();
        for transaction in applied {
            named.insert(transaction.id.clone());
            self.transactions.insert(transaction.id.clone(), transaction);
        }
        self.answers.push((server.to_owned(), named));
    }

    /// The transactions that each server must still show to make the answers fit; empty if they fit.
    pub(super) fn missing(&self) -> Expected {
        let mut missing = Expected::new();
        for (server, named) in &self.answers {
            let unnamed = self.transactions.values().filter(|transaction| {
                transaction.participants.contains(server) && !named.contains(&transaction.id)
            });
            let unnamed: BTreeSet<String> = unnamed.map(|transaction| transaction.id.clone()).collect();
            if !unnamed.is_empty() {
                missing.entry(server.clone()).or_default().extend(unnamed);
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(id: &str, participants: &[&str]) -> Transaction {
        Transaction {
            id: id.to_owned(),
            participants: participants.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn half_of_a_set_is_found_and_only_where_it_is_missing() {
        let set = transaction("1", &["a", "b"]);
        let mut check = FractureCheck::default();
        check.record("a", vec![set.clone()], &Expected::new());
        check.record("b", vec![], &Expected::new());
        check.record("c", vec![], &Expected::new());
        let expected = Expected::from([("b".to_owned(), ["1".to_owned()].into())]);
        assert_eq!(check.missing(), expected);
        let mut again = FractureCheck::default();
        again.record("a", vec![set.clone()], &expected);
        again.record("b", vec![], &expected);
        assert!(again.missing().is_empty(), "b was asked to show it");
    }

    #[test]
    fn two_answers_of_one_server_must_both_fit() {
        let mut check = FractureCheck::default();
        check.record("b", vec![], &Expected::new());
        check.record("b", vec![transaction("1", &["a", "b"])], &Expected::new());
        assert!(check.missing().contains_key("b"));
    }

    #[test]
    fn answers_that_name_the_same_fit() {
        let mut check = FractureCheck::default();
        for server in ["a", "b"] {
            check.record(server, vec![transaction("1", &["a", "b"])], &Expected::new());
        }
        assert!(check.missing().is_empty());
    }
}
