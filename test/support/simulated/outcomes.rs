//! The results of a run, with a short name for everything that was wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cluster::SimCluster;
use super::fault;
use super::setting::Setting;
use super::waits::Waits;
use crate::support::history::{Event, History};
use crate::support::oracle::Verdict;

/// No payload is longer: about thirty characters for each member and open epoch, which are few.
const PAYLOAD_CHARS_MAX: usize = 4_000;

/// The results of a run.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub history: History,
    pub verdict: Verdict,
    /// Not every node served again in time: the state of each.
    pub stuck: Option<String>,
    /// Requests that were still pending when everything had had its time.
    pub pending: Option<String>,
    /// Replicas of one partition that hold different records at the end.
    pub differences: Vec<String>,
    /// Epochs that have more than one view.
    pub rivals: Vec<String>,
    pub waits: Waits,
    /// Replies whose payload is longer than a cluster of this size makes, though the request's was not.
    pub swollen: Vec<String>,
    /// Long values that were read wrongly.
    pub garbled: Vec<String>,
    /// Frames too long for any stream: each ended a stream, with everything that others had on it.
    pub overlong: u64,
    pub panics: u64,
    /// How often each kind of fault struck.
    pub struck: BTreeMap<&'static str, u64>,
    /// View changes that were reported to an operator as done.
    pub changes: u64,
    /// Views that were chosen while faults struck, the first not counted.
    pub changes_under_fault: u64,
    pub recovery: Option<Recovery>,
    pub simulated: Duration,
}

/// How soon a cluster recovered.
#[derive(Debug, Clone, Copy)]
pub struct Recovery {
    /// From the last repair until every node served.
    pub served_after: Duration,
    /// From then on until all replicas were equal.
    pub agreed_after: Duration,
}

impl Outcomes {
    pub fn is_clean(&self) -> bool {
        self.is_safe() && self.waits.late.is_empty()
    }

    /// True if every promise was kept, however late.
    pub fn is_safe(&self) -> bool {
        let recovered = self.stuck.is_none() && self.pending.is_none();
        let same = self.differences.is_empty() && self.rivals.is_empty();
        let bounded = self.swollen.is_empty() && self.overlong == 0;
        let whole = self.garbled.is_empty();
        self.verdict.is_clean() && self.panics == 0 && same && recovered && bounded && whole
    }

    /// Names of all that was wrong.
    pub fn wrongs(&self) -> BTreeSet<String> {
        let violations = &self.verdict.violations;
        let kinds = violations.iter().map(|violation| format!("{:?}", violation.kind));
        let state = [
            (self.stuck.is_some(), "no recovery"),
            (self.pending.is_some(), "request pending"),
            (!self.differences.is_empty(), "replicas differ"),
            (!self.rivals.is_empty(), "two views"),
            (!self.waits.late.is_empty(), "late answers"),
            (!self.swollen.is_empty(), "payloads too long"),
            (!self.garbled.is_empty(), "long values garbled"),
            (self.overlong > 0, "streams broken by a long frame"),
            (self.panics > 0, "panic"),
        ];
        let listed = state.into_iter().filter(|(is_so, _)| *is_so);
        kinds.chain(listed.map(|(_, word)| word.to_owned())).collect()
    }

    pub fn summary(&self) -> String {
        let words: Vec<String> = self.wrongs().into_iter().collect();
        words.join(", ")
    }

    /// What was wrong, with the operations behind it.
    pub fn explain(&self) -> String {
        let mut text = self.verdict.explain(&self.history);
        let told = self
            .differences
            .iter()
            .map(|difference| format!("at the end {difference}"));
        let lines = told.chain(self.rivals.iter().chain(&self.waits.late).cloned());
        let lines = lines.chain(self.swollen.iter().chain(&self.garbled).cloned());
        let overlong =
            (self.overlong > 0).then(|| format!("{} frames were too long for a stream", self.overlong));
        let lines = lines.chain(overlong);
        let lines = lines.chain(self.pending.clone());
        let stuck = self
            .stuck
            .iter()
            .map(|nodes| format!("the cluster did not recover\n{nodes}"));
        let panics = (self.panics > 0).then(|| format!("{} panics", self.panics));
        for line in lines.chain(stuck).chain(panics) {
            text += &format!("{line}\n");
        }
        text
    }

    /// Looks for payloads that are longer than the members and the open epochs allow.
    pub(super) fn find_swollen(&mut self) {
        let was_short = |event: &&Event| event.payload_in.len() <= PAYLOAD_CHARS_MAX;
        let events = self.history.events.iter().filter(was_short);
        let swollen = events.filter(|event| event.payload_out.len() > PAYLOAD_CHARS_MAX);
        let told = swollen.map(|event| {
            let length = event.payload_out.len();
            format!("a payload of {length} characters was answered to {}", event.id)
        });
        self.swollen = told.collect();
    }

    /// Adds the fates of batches that met a kill or a failing disk.
    pub(super) fn count_fates(&mut self, cluster: &SimCluster) {
        for node in &cluster.nodes {
            let fates = node.disk.fates();
            for (name, count) in [
                ("unsynced batch kept", fates.kept_by_kill),
                ("unsynced batch lost", fates.lost_by_kill),
                ("batch in doubt, stored", fates.doubted_and_stored),
                ("batch in doubt, refused", fates.doubted_and_refused),
            ] {
                *self.struck.entry(name).or_default() += count;
            }
        }
    }
}

/// A run that may have aborted: only a panic outside of every node aborts it.
#[derive(Debug)]
pub struct Attempt(pub Option<Outcomes>);

impl Attempt {
    pub fn is_clean(&self) -> bool {
        self.0.as_ref().is_some_and(Outcomes::is_clean)
    }

    pub fn is_safe(&self) -> bool {
        self.0.as_ref().is_some_and(Outcomes::is_safe)
    }

    pub fn wrongs(&self) -> BTreeSet<String> {
        match &self.0 {
            Some(outcomes) => outcomes.wrongs(),
            None => BTreeSet::from(["broken off".to_owned()]),
        }
    }

    /// Reports everything about a failed run: its setting, what went wrong, how to repeat it.
    pub fn tell(&self, setting: &Setting, plan: &[fault::Event]) -> String {
        let Setting {
            seed,
            nodes,
            spares,
            replicas,
            ..
        } = setting;
        let mut text = format!("seed {seed}: {nodes} nodes, {spares} spares, K={replicas}\n");
        for event in plan {
            text += &format!("{:>6} ms  {:?}\n", event.at_ms, event.fault);
        }
        match &self.0 {
            Some(outcomes) => text += &outcomes.explain(),
            None => text += "the run broke off with a panic\n",
        }
        text + &format!("repeat with: scripts/soak --seed {seed} --seeds 1\n")
    }
}
