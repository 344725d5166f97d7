//! The measurements: every request with its time, and the statistics that follow from them.

use std::time::Duration;

/// How many reasons of failed requests are reported.
const REASONS_MAX: usize = 5;

/// A node answers or refuses within this.
const SLOW: Duration = Duration::from_secs(1);

/// A request: when it was sent, since the beginning of the run, and how long its answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    at: Duration,
    took: Duration,
    failed: bool,
}

/// The measurements of one client, or of all.
#[derive(Debug, Default)]
pub(super) struct Measure {
    requests: Vec<Request>,
    /// Why some of them failed.
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
        let failed = failure.is_some();
        self.requests.push(Request { at, took, failed });
        let has_room = self.reasons.len() < REASONS_MAX;
        self.reasons.extend(failure.filter(|_| has_room));
    }

    pub(super) fn join(&mut self, other: Self) {
        self.requests.extend(other.requests);
        self.reasons.extend(other.reasons);
        self.reasons.truncate(REASONS_MAX);
    }

    /// Statistics of the whole run.
    pub(super) fn waits(&self) -> Waits {
        waits(&self.requests)
    }

    /// Statistics of each second, by when a request was sent.
    pub(super) fn seconds(&self) -> Vec<Waits> {
        let mut seconds: Vec<Vec<Request>> = Vec::new();
        for request in &self.requests {
            let second = usize::try_from(request.at.as_secs()).expect("runs are short");
            if seconds.len() <= second {
                seconds.resize_with(second + 1, Vec::new);
            }
            seconds[second].push(*request);
        }
        seconds.iter().map(|requests| waits(requests)).collect()
    }
}

fn waits(requests: &[Request]) -> Waits {
    let mut took: Vec<Duration> = requests.iter().map(|request| request.took).collect();
    took.sort_unstable();
    let count = |is_one: fn(&Request) -> bool| {
        let count = requests.iter().filter(|request| is_one(request)).count();
        u64::try_from(count).expect("counts fit")
    };
    let at = |percent: usize| {
        let place = (took.len() * percent).div_ceil(100).saturating_sub(1);
        took.get(place).copied().unwrap_or_default()
    };
    Waits {
        requests: count(|_| true),
        p50: at(50),
        p99: at(99),
        most: at(100),
        failed: count(|request| request.failed),
        slow: count(|request| request.took > SLOW),
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
    fn of_many_failures_a_few_are_told() {
        let mut measure = Measure::default();
        for number in 0..8 {
            measure.note(Duration::ZERO, Duration::ZERO, Some(number.to_string()));
        }
        let mut all = Measure::default();
        all.join(Measure::default());
        all.join(measure);
        assert_eq!((all.waits().failed, all.reasons.len()), (8, REASONS_MAX));
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
