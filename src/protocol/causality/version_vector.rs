//! Maps each log to the number up to which a replica holds it, a client depends on it, or it is stable.
//!
//! One type for all three, because they are compared with each other all the time. A log that is not
//! mentioned counts as 0.

use std::collections::BTreeMap;

use crate::names::{Dot, Log};

/// Numbers by log. Merging takes the higher number of each log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionVector {
    numbers: BTreeMap<Log, u64>,
}

impl VersionVector {
    /// The number of `log`; 0 if the log is not mentioned.
    pub fn number(&self, log: Log) -> u64 {
        self.numbers.get(&log).copied().unwrap_or(0)
    }

    pub fn includes(&self, dot: Dot) -> bool {
        self.number(dot.log) >= dot.number
    }

    /// True if every entry of `other` is included.
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|dot| self.includes(dot))
    }

    pub fn raise(&mut self, dot: Dot) {
        if dot.number == 0 {
            return;
        }
        let number = self.numbers.entry(dot.log).or_default();
        *number = (*number).max(dot.number);
    }

    pub fn merge(&mut self, other: &Self) {
        for dot in other.iter() {
            self.raise(dot);
        }
    }

    pub fn retain(&mut self, mut keep: impl FnMut(Dot) -> bool) {
        self.numbers.retain(|log, number| {
            keep(Dot {
                log: *log,
                number: *number,
            })
        });
    }

    /// The highest dot of each log that is mentioned, in the order of the logs.
    pub fn iter(&self) -> impl Iterator<Item = Dot> + '_ {
        self.numbers.iter().map(|(log, number)| Dot {
            log: *log,
            number: *number,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub fn len(&self) -> usize {
        self.numbers.len()
    }
}

impl FromIterator<Dot> for VersionVector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut vector = Self::default();
        for dot in dots {
            vector.raise(dot);
        }
        vector
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::{Epoch, MemberId};

    fn vectors() -> impl Strategy<Value = VersionVector> {
        proptest::collection::vec((0u64..3, 0u64..3, 0u64..5), 0..8).prop_map(|entries| {
            entries
                .into_iter()
                .map(|(epoch, member, number)| Dot {
                    log: Log {
                        epoch: Epoch(epoch),
                        member: MemberId(member),
                    },
                    number,
                })
                .collect()
        })
    }

    fn merged(a: &VersionVector, b: &VersionVector) -> VersionVector {
        let mut both = a.clone();
        both.merge(b);
        both
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_idempotent(a in vectors(), b in vectors(), c in vectors()) {
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&a, &a), a);
        }

        #[test]
        fn a_merge_is_the_least_vector_that_covers_both(a in vectors(), b in vectors()) {
            let both = merged(&a, &b);
            prop_assert!(both.covers(&a) && both.covers(&b));
            prop_assert!(both.iter().all(|dot| dot.number == a.number(dot.log).max(b.number(dot.log))));
        }
    }
}
