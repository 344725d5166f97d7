//! The totals of all runs: counts, and the table at the end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::simulated::outcomes::{Attempt, Outcomes};
use crate::support::oracle::Kind;

/// Waits are counted in steps of this many microseconds.
const STEP_US: u64 = 100;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    seeds: u64,
    failed: Vec<u64>,
    simulated: Duration,
    struck: BTreeMap<&'static str, u64>,
    causal: u64,
    operations: usize,
    bound: usize,
    acknowledged: usize,
    lost: usize,
    changes_under_fault: u64,
    changes: u64,
    wrongs: BTreeMap<String, u64>,
    waits: Waited,
    /// The slowest of both.
    served_after: Duration,
    agreed_after: Duration,
}

/// How long clients waited, by steps; and the longest, excused or not.
#[derive(Debug, Default)]
struct Waited {
    counts: BTreeMap<u64, u64>,
    most_us: u64,
    most_excused_us: u64,
}

impl Waited {
    fn add(&mut self, took_us: u64, is_excused: bool) {
        *self.counts.entry(took_us / STEP_US).or_default() += 1;
        let most_us = if is_excused {
            &mut self.most_excused_us
        } else {
            &mut self.most_us
        };
        *most_us = took_us.max(*most_us);
    }

    /// The time that this percentage of waits did not exceed, in milliseconds.
    fn percentile_ms(&self, percent: u64) -> f64 {
        let wanted = (self.counts.values().sum::<u64>() * percent).div_ceil(100);
        let mut passed = 0;
        let step = self.counts.iter().find(|(_, count)| {
            passed += **count;
            passed >= wanted
        });
        step.map_or(0.0, |(step, _)| ms((step + 1) * STEP_US))
    }
}

impl Tally {
    pub(crate) fn add(&mut self, seed: u64, ran: &Attempt, plain_is_clean: bool) {
        self.seeds += 1;
        if !ran.is_clean() || !plain_is_clean {
            self.failed.push(seed);
        }
        let plain_wrong = (!plain_is_clean).then(|| "plain run".to_owned());
        for wrong in ran.wrongs().into_iter().chain(plain_wrong) {
            *self.wrongs.entry(wrong).or_default() += 1;
        }
        ran.0.iter().for_each(|outcomes| self.add_outcomes(outcomes));
    }

    fn add_outcomes(&mut self, outcomes: &Outcomes) {
        self.simulated += outcomes.simulated;
        for (name, count) in &outcomes.struck {
            *self.struck.entry(name).or_default() += count;
        }
        let verdict = &outcomes.verdict;
        self.causal += u64::from(verdict.is_clean());
        self.operations += verdict.counts.operations;
        self.bound += verdict.counts.bound;
        self.acknowledged += verdict.counts.acknowledged;
        let lost = verdict
            .violations
            .iter()
            .filter(|one| one.kind == Kind::LostWrite);
        self.lost += lost.count();
        self.changes_under_fault += outcomes.changes_under_fault;
        self.changes += outcomes.changes;
        for (took_us, is_excused) in &outcomes.waits.run {
            self.waits.add(*took_us, *is_excused);
        }
        if let Some(recovery) = outcomes.recovery {
            self.served_after = self.served_after.max(recovery.served_after);
            self.agreed_after = self.agreed_after.max(recovery.agreed_after);
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.failed.is_empty()
    }

    pub(crate) fn hours(&self) -> f64 {
        self.simulated.as_secs_f64() / 3600.0
    }

    /// The progress so far.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} seeds, {:.2} simulated hours, {} faults, {} failed",
            self.seeds,
            self.hours(),
            self.faults(),
            self.failed.len()
        )
    }

    fn faults(&self) -> u64 {
        self.struck.values().sum()
    }

    pub(crate) fn table(&self, elapsed: Duration) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: String| {
            writeln!(text, "{name:<36} {value}").expect("a string takes every text");
        };
        row(
            "seeds",
            format!("{} in {:.0} s", self.seeds, elapsed.as_secs_f64()),
        );
        row("simulated hours", format!("{:.2}", self.hours()));
        row("faults injected", self.faults().to_string());
        for (name, count) in &self.struck {
            row(&format!("  {name}"), count.to_string());
        }
        row(
            "histories judged causal",
            format!("{} of {}", self.causal, self.seeds),
        );
        row(
            "operations",
            format!(
                "{}, of which {} reads were bound by their past",
                self.operations, self.bound
            ),
        );
        row(
            "view changes under fault",
            format!(
                "{}; {} that an operator asked for are done",
                self.changes_under_fault, self.changes
            ),
        );
        row(
            "acknowledged writes lost",
            format!("{} of {}", self.lost, self.acknowledged),
        );
        row(
            "slowest recovery",
            format!(
                "{:.1} s until all nodes serve, then {:.1} s until replicas are equal",
                self.served_after.as_secs_f64(),
                self.agreed_after.as_secs_f64()
            ),
        );
        let waits = &self.waits;
        row(
            "answers under fault",
            format!(
                "p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms; {:.1} ms where a frozen or starting node or a slow disk excuses it",
                waits.percentile_ms(50),
                waits.percentile_ms(99),
                ms(waits.most_us),
                ms(waits.most_excused_us)
            ),
        );
        row("seeds with violations", self.violations());
        text
    }

    fn violations(&self) -> String {
        let mut failed = self.failed.clone();
        failed.sort_unstable();
        match failed.len() {
            0 => "0".to_owned(),
            count => format!("{count}: {failed:?}\n{:>37}{:?}", "", self.wrongs),
        }
    }
}

fn ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1000.0
}
