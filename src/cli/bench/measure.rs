//! The measurements: how long requests took, counted in a histogram for each second of a run.
//!
//! All clients of a bench share one [`Measure`], so that its size depends on the seconds and not on the
//! requests.

use std::time::Duration;

use hdrhistogram::Histogram;

/// How many reasons of failed requests are reported.
const REASONS_MAX: usize = 5;

/// A node answers or refuses within this.
const SLOW: Duration = Duration::from_secs(1);

/// Significant digits of a percentile.
const DIGITS: u8 = 3;

/// The requests of one second, or of the whole run.
#[derive(Debug, Clone)]
struct Requests {
    took_us: Histogram<u32>,
    /// Exact, unlike the largest value of the histogram.
    most: Duration,
    failed: u64,
    slow: u64,
}

/// The measurements of all clients.
#[derive(Debug, Default)]
pub(super) struct Measure {
    seconds: Vec<Requests>,
    /// Why some requests failed.
    pub(super) reasons: Vec<String>,
    pub(super) took: Duration,
}

/// How long requests took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Waits {
    pub(super) requests: u64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) most: Duration,
    pub(super) failed: u64,
    /// Answers that took over a second.
    pub(super) slow: u64,
}

impl Measure {
    /// Counts a request that was sent at `at`, a time of the run, and why it failed if it did.
    pub(super) fn note(&mut self, at: Duration, took: Duration, failure: Option<String>) {
        let second = usize::try_from(at.as_secs()).expect("runs are short");
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, Requests::default);
        }
        self.seconds[second].note(took, failure.is_some());
        let has_room = self.reasons.len() < REASONS_MAX;
        self.reasons.extend(failure.filter(|_| has_room));
    }

    /// Statistics of the whole run.
    pub(super) fn waits(&self) -> Waits {
        let mut all = Requests::default();
        self.seconds.iter().for_each(|second| all.join(second));
        all.waits()
    }

    /// Statistics of each second, by when a request was sent.
    pub(super) fn seconds(&self) -> Vec<Waits> {
        self.seconds.iter().map(Requests::waits).collect()
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            took_us: Histogram::new(DIGITS).expect("up to five digits are allowed"),
            most: Duration::ZERO,
            failed: 0,
            slow: 0,
        }
    }
}

impl Requests {
    fn note(&mut self, took: Duration, failed: bool) {
        let micros = u64::try_from(took.as_micros()).expect("requests are short");
        self.took_us.record(micros).expect("the histogram grows");
        self.most = self.most.max(took);
        self.failed += u64::from(failed);
        self.slow += u64::from(took > SLOW);
    }

    fn join(&mut self, other: &Self) {
        self.took_us.add(&other.took_us).expect("the histogram grows");
        self.most = self.most.max(other.most);
        self.failed += other.failed;
        self.slow += other.slow;
    }

    fn waits(&self) -> Waits {
        let at = |quantile| Duration::from_micros(self.took_us.value_at_quantile(quantile));
        Waits {
            requests: self.took_us.len(),
            p50: at(0.50),
            p99: at(0.99),
            most: self.most,
            failed: self.failed,
            slow: self.slow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(requests: &[(u64, u64)]) -> Measure {
        let mut measure = Measure::default();
        for (at_ms, took_ms) in requests {
            measure.note(
                Duration::from_millis(*at_ms),
                Duration::from_millis(*took_ms),
                None,
            );
        }
        measure
    }

    #[test]
    fn percentiles_are_of_requests_that_were_made() {
        assert_eq!(noted(&[]).waits(), Waits::default());
        let requests: Vec<_> = (1..=100).map(|ms| (0, ms)).collect();
        let waits = noted(&requests).waits();
        assert_eq!((waits.requests, waits.p50.as_millis()), (100, 50));
        assert_eq!((waits.p99.as_millis(), waits.most.as_millis()), (99, 100));
        assert_eq!(noted(&[(0, 1000), (0, 1001)]).waits().slow, 1);
    }

    #[test]
    fn percentiles_have_three_significant_digits() {
        let exact = |percent: u64| Duration::from_millis(37 * percent * 10);
        let requests: Vec<_> = (1..=1000)
            .map(|number| (number % 7 * 1000, 37 * number))
            .collect();
        let waits = noted(&requests).waits();
        for (told, exact) in [(waits.p50, exact(50)), (waits.p99, exact(99))] {
            assert!(told.abs_diff(exact) <= exact / 1000, "{told:?} for {exact:?}");
        }
        assert_eq!(waits.most, exact(100));
    }

    #[test]
    fn of_many_failures_a_few_are_told() {
        let mut measure = Measure::default();
        for number in 0..8 {
            measure.note(Duration::ZERO, Duration::ZERO, Some(number.to_string()));
        }
        assert_eq!((measure.waits().failed, measure.reasons.len()), (8, REASONS_MAX));
    }

    #[test]
    fn a_request_belongs_to_the_second_in_which_it_was_sent() {
        let mut measure = noted(&[(10, 5), (990, 1500)]);
        measure.note(
            Duration::from_secs(3),
            Duration::from_millis(7),
            Some("refused".into()),
        );
        let seconds = measure.seconds();
        let told = seconds
            .iter()
            .map(|waits| (waits.requests, waits.most.as_millis(), waits.failed, waits.slow));
        let expected = [(2, 1500, 0, 1), (0, 0, 0, 0), (0, 0, 0, 0), (1, 7, 1, 0)];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
