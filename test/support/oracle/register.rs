//! Judges clients that carry no payload, by real time: a legal history has one order of the sets of each
//! key that explains every get.
//!
//! `/get` and `/set` promise that an operation at a process sees every set that was answered before the
//! operation began, at any process that the asked one reaches. Each key is thus a register with several
//! writers: all sets of a key have one order, and
//!
//! - a set that was answered before another began comes before the other, if the process of the other
//!   reaches the process of the first;
//! - a get returns no set that comes before another that was answered before the get began, if the process
//!   of the get reaches the process of the other.
//!
//! Both are edges "earlier → later" between sets. A history is legal if and only if the edges form no
//! cycle: then any order that extends them explains it. This is the multi-writer regular register of
//! Shao, Pierce and Welch (Multi-writer consistency conditions for shared memory objects, DISC 2003),
//! with one order of the sets for all readers.
//!
//! The driver knows which processes reach each other ([`Operation::reaches`]): those that ran, with
//! whole links, for as long as the operation lasted. So a process is not blamed for what it could not
//! know. A set of unknown outcome was never answered: it stays possible for ever and obliges no process.
//! A value that a get returned before its set was answered obliges none either: two gets during one set
//! may see it in any order. The contract says so; a linearizable register would forbid it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a client asked for, and the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Answered: it is stored.
    Set(String),
    /// The outcome is unknown.
    SetUnknown(String),
    /// Not done, and never will be.
    SetRefused(String),
    /// Answered: a value, or that there is none.
    Got(Option<String>),
    /// A get without an answer.
    GotNoAnswer(String),
}

/// One operation on one key. No two sets may write the same value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub key: String,
    /// The process that was asked.
    pub node: usize,
    pub start_us: u64,
    pub end_us: u64,
    pub act: Act,
    /// The processes that the asked one reached from the start to the end, itself included.
    pub reaches: BTreeSet<usize>,
    /// A read at the end, when all processes are whole and quiet: all of them must agree.
    pub is_final: bool,
}

/// What is wrong, with the operations that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// A value that no set wrote to this key, or only one that was refused.
    ThinAir(Operation),
    /// The set of the value began after the get ended.
    FromTheFuture(Operation),
    /// Nothing was found, though this set was answered before.
    Missing { get: Operation, set: Operation },
    /// Each set comes before the next, and the last before the first, for the reason next to it.
    Cycle(Vec<(Operation, Because)>),
    /// Two reads at the end that differ.
    Disagreement(Operation, Operation),
}

/// Why one set comes before another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// It was answered before the other began.
    AnsweredBefore,
    /// This get began after it was answered and returned the other.
    GotInstead(Operation),
}

impl Operation {
    fn value(&self) -> Option<&str> {
        match &self.act {
            Act::Set(value) | Act::SetUnknown(value) | Act::SetRefused(value) => Some(value),
            Act::Got(_) | Act::GotNoAnswer(_) => None,
        }
    }

    /// True if this operation must see that set.
    fn must_know(&self, set: &Self) -> bool {
        let is_answered = matches!(set.act, Act::Set(_));
        is_answered && set.end_us < self.start_us && self.reaches.contains(&set.node)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            node,
            start_us,
            end_us,
            act,
            reaches,
            ..
        } = self;
        write!(
            f,
            "{start_us}-{end_us} us, node {node} (reaches {reaches:?}), {key}: {act:?}"
        )
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThinAir(get) => write!(f, "nobody wrote what was read: {get}"),
            Self::FromTheFuture(get) => write!(f, "what was read was written later: {get}"),
            Self::Missing { get, set } => write!(f, "nothing was found by {get}\n  after {set}"),
            Self::Disagreement(one, other) => write!(f, "two reads at the end differ: {one}\n  and {other}"),
            Self::Cycle(sets) => {
                write!(f, "no order of these sets explains what was read:")?;
                for (set, because) in sets {
                    write!(f, "\n  {set}\n    comes before the next: {because:?}")?;
                }
                Ok(())
            }
        }
    }
}

/// Lists everything that is wrong with a history.
pub fn judge(history: &[Operation]) -> Vec<Wrong> {
    let mut by_key: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        by_key.entry(&operation.key).or_default().push(operation);
    }
    by_key
        .into_values()
        .flat_map(|key| Register::of(key).judge())
        .collect()
}

/// The operations on one key.
struct Register<'a> {
    sets: Vec<&'a Operation>,
    gets: Vec<(&'a Operation, Option<&'a str>)>,
    by_value: BTreeMap<&'a str, usize>,
}

type Edges = Vec<BTreeMap<usize, Because>>;

impl<'a> Register<'a> {
    fn of(operations: Vec<&'a Operation>) -> Self {
        let sets = operations.iter().filter(|one| one.value().is_some());
        let sets: Vec<_> = sets.copied().collect();
        let gets = operations.iter().filter_map(|one| match &one.act {
            Act::Got(value) => Some((*one, value.as_deref())),
            _ => None,
        });
        let valued = sets.iter().enumerate();
        let by_value: BTreeMap<_, _> = valued.filter_map(|(at, set)| Some((set.value()?, at))).collect();
        assert_eq!(by_value.len(), sets.len(), "no two sets write the same value");
        Self {
            gets: gets.collect(),
            sets,
            by_value,
        }
    }

    fn judge(&self) -> Vec<Wrong> {
        let mut wrongs = Vec::new();
        let mut edges = self.edges_of_sets();
        for (get, value) in &self.gets {
            match self.returned(get, *value) {
                Ok(Some(returned)) => self.add_edges(&mut edges, get, returned),
                Ok(None) => wrongs.extend(self.missing(get)),
                Err(wrong) => wrongs.push(*wrong),
            }
        }
        wrongs.extend(self.cycle(&edges));
        wrongs.extend(self.disagreement());
        wrongs
    }

    /// The set that wrote what a get returned.
    fn returned(&self, get: &Operation, value: Option<&str>) -> Result<Option<usize>, Box<Wrong>> {
        let Some(value) = value else { return Ok(None) };
        let written = self.by_value.get(value).copied();
        match written.map(|at| self.sets[at]) {
            None => Err(Box::new(Wrong::ThinAir(get.clone()))),
            Some(set) if matches!(set.act, Act::SetRefused(_)) => Err(Box::new(Wrong::ThinAir(get.clone()))),
            Some(set) if set.start_us > get.end_us => Err(Box::new(Wrong::FromTheFuture(get.clone()))),
            Some(_) => Ok(written),
        }
    }

    fn missing(&self, get: &Operation) -> Option<Wrong> {
        let set = self.sets.iter().find(|set| get.must_know(set))?;
        Some(Wrong::Missing {
            get: get.clone(),
            set: (*set).clone(),
        })
    }

    fn edges_of_sets(&self) -> Edges {
        let later = |set: &Operation| {
            let others = self.sets.iter().enumerate();
            let later = others.filter(|(_, other)| other.must_know(set));
            later.map(|(at, _)| (at, Because::AnsweredBefore)).collect()
        };
        self.sets.iter().map(|set| later(set)).collect()
    }

    fn add_edges(&self, edges: &mut Edges, get: &Operation, returned: usize) {
        for (at, set) in self.sets.iter().enumerate() {
            if at != returned && get.must_know(set) {
                let because = Because::GotInstead(get.clone());
                edges[at].entry(returned).or_insert(because);
            }
        }
    }

    /// A shortest cycle, if there is one.
    fn cycle(&self, edges: &Edges) -> Option<Wrong> {
        let cycles = (0..self.sets.len()).filter_map(|from| way_back(edges, from));
        let shortest = cycles.min_by_key(Vec::len)?;
        let steps = shortest.iter().zip(shortest.iter().cycle().skip(1));
        let told = steps.map(|(from, to)| (self.sets[*from].clone(), edges[*from][to].clone()));
        Some(Wrong::Cycle(told.collect()))
    }

    fn disagreement(&self) -> Option<Wrong> {
        let mut last = self.gets.iter().filter(|(get, _)| get.is_final);
        let (first, value) = last.next()?;
        let (other, _) = last.find(|(_, other)| other != value)?;
        Some(Wrong::Disagreement((*first).clone(), (*other).clone()))
    }
}

/// The shortest way along edges from a set back to itself, breadth first.
fn way_back(edges: &Edges, from: usize) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut frontier = vec![from];
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for at in frontier {
            for to in edges[at].keys() {
                if *to == from {
                    let mut way = vec![at];
                    while *way.last().expect("begins with one") != from {
                        way.push(came_from[way.last().expect("begins with one")]);
                    }
                    way.reverse();
                    return Some(way);
                }
                if !came_from.contains_key(to) {
                    came_from.insert(*to, at);
                    next.push(*to);
                }
            }
        }
        frontier = next;
    }
    None
}
