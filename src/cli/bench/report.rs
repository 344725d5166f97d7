//! Renders a bench's report: a few lines for people, one object for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::measure::{Measure, Waits};
use crate::terminal::output;

/// One part of a bench.
pub(super) struct Report {
    name: &'static str,
    measure: Measure,
}

impl Report {
    pub(super) fn new(name: &'static str, measure: Measure) -> Self {
        Self { name, measure }
    }

    pub(super) fn failed(&self) -> u64 {
        self.measure.waits().failed
    }

    pub(super) fn text(&self, each_second: bool) -> String {
        let waits = self.measure.waits();
        let mut text = format!(
            "{}: {} requests in {:.1} s, {:.0} a second; {} failed, {} took over a second",
            self.name,
            waits.requests,
            self.measure.took.as_secs_f64(),
            self.rate(waits),
            waits.failed,
            waits.slow,
        );
        for reason in &self.measure.reasons {
            let _ = write!(text, "\n  failed: {reason}");
        }
        let mut table = output::table(&[
            "", "REQUESTS", "P50 MS", "P99 MS", "MOST MS", "FAILED", "OVER 1 S",
        ]);
        if each_second {
            let seconds = self.measure.seconds();
            table.add_rows(
                seconds
                    .iter()
                    .zip(0..)
                    .map(|(waits, second): (_, u64)| row(&format!("second {second}"), *waits)),
            );
        }
        table.add_row(row("all", waits));
        text + "\n" + &output::lines(&table)
    }

    pub(super) fn json(&self, each_second: bool) -> Value {
        let waits = self.measure.waits();
        let mut object = json!({
            "part": self.name,
            "seconds": self.measure.took.as_secs_f64(),
            "requests_a_second": self.rate(waits),
            "failed": waits.failed,
            "over_a_second": waits.slow,
            "reasons": self.measure.reasons,
            "waits": waits_json(waits),
        });
        if each_second {
            let seconds = self.measure.seconds().into_iter().map(waits_json);
            object["each_second"] = seconds.collect();
        }
        object
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn rate(&self, waits: Waits) -> f64 {
        waits.requests as f64 / self.measure.took.as_secs_f64().max(f64::EPSILON)
    }
}

fn row(name: &str, waits: Waits) -> [String; 7] {
    let shown = |wait| format!("{:.2}", ms(wait));
    [
        name.to_owned(),
        waits.requests.to_string(),
        shown(waits.p50),
        shown(waits.p99),
        shown(waits.most),
        waits.failed.to_string(),
        waits.slow.to_string(),
    ]
}

fn waits_json(waits: Waits) -> Value {
    json!({
        "requests": waits.requests,
        "p50_ms": ms(waits.p50),
        "p99_ms": ms(waits.p99),
        "most_ms": ms(waits.most),
        "failed": waits.failed,
        "over_a_second": waits.slow,
    })
}

fn ms(wait: Duration) -> f64 {
    wait.as_secs_f64() * 1000.0
}
