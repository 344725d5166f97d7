//! Which atomic sets the answers to a read show, and which servers answered too early to show them.
//!
//! Server A may answer after an atomic set was applied there, and server B may have answered before:
//! together they show half of it. But then A's answer names the set and its participants, B is one of
//! them, and B's answer does not name it. So B is asked again and told what to expect.

use std::collections::{BTreeMap, BTreeSet};

use crate::apps::data_servers::messages::Transaction;

/// Ids of transactions, by the server that must have them in its answer.
pub(super) type Expected = BTreeMap<String, BTreeSet<String>>;

#[derive(Debug, Default)]
pub(super) struct Told {
    transactions: BTreeMap<String, Transaction>,
    answers: Vec<(String, BTreeSet<String>)>,
}

impl Told {
    /// Records an answer: the transactions that it names, and those that the server was told to expect.
    pub(super) fn hear(&mut self, server: &str, applied: Vec<Transaction>, expected: &Expected) {
        let mut named = expected.get(server).cloned().unwrap_or_default();
        for transaction in applied {
            named.insert(transaction.id.clone());
            self.transactions.insert(transaction.id.clone(), transaction);
        }
        self.answers.push((server.to_owned(), named));
    }

    /// The transactions that each server must still show to make the answers fit; empty if they fit.
    pub(super) fn lacking(&self) -> Expected {
        let mut lacking = Expected::new();
        for (server, named) in &self.answers {
            let unnamed = self.transactions.values().filter(|transaction| {
                transaction.participants.contains(server) && !named.contains(&transaction.id)
            });
            let unnamed: BTreeSet<String> = unnamed.map(|transaction| transaction.id.clone()).collect();
            if !unnamed.is_empty() {
                lacking.entry(server.clone()).or_default().extend(unnamed);
            }
        }
        lacking
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
        let mut told = Told::default();
        told.hear("a", vec![set.clone()], &Expected::new());
        told.hear("b", vec![], &Expected::new());
        told.hear("c", vec![], &Expected::new());
        let expected = Expected::from([("b".to_owned(), ["1".to_owned()].into())]);
        assert_eq!(told.lacking(), expected);
        let mut again = Told::default();
        again.hear("a", vec![set.clone()], &expected);
        again.hear("b", vec![], &expected);
        assert!(again.lacking().is_empty(), "b has answered with it in mind");
    }

    #[test]
    fn two_answers_of_one_server_must_both_fit() {
        let mut told = Told::default();
        told.hear("b", vec![], &Expected::new());
        told.hear("b", vec![transaction("1", &["a", "b"])], &Expected::new());
        assert!(told.lacking().contains_key("b"));
    }

    #[test]
    fn answers_that_name_the_same_fit() {
        let mut told = Told::default();
        for server in ["a", "b"] {
            told.hear(server, vec![transaction("1", &["a", "b"])], &Expected::new());
        }
        assert!(told.lacking().is_empty());
    }
}
