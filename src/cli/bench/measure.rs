//! What was measured: every request with its time, and what follows from that.

use std::time::Duration;

/// How many reasons of failed requests are told.
const REASONS_MAX: usize = 5;

/// A request: when it was sent, from the beginning of the run on, and how long its answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) at: Duration,
    pub(super) took: Duration,
}

/// The books of one client, or of all.
#[derive(Debug, Default)]
pub(super) struct Measure {
    requests: Vec<Request>,
    pub(super) failed: u64,
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
}

impl Measure {
    /// Counts a request, and why it failed if it did.
    pub(super) fn note(&mut self, request: Request, failure: Option<String>) {
        self.requests.push(request);
        if let Some(reason) = failure {
            self.failed += 1;
            if self.reasons.len() < REASONS_MAX {
                self.reasons.push(reason);
            }
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.requests.extend(other.requests);
        self.failed += other.failed;
        self.reasons.extend(other.reasons);
        self.reasons.truncate(REASONS_MAX);
    }

    /// Over the whole run.
    pub(super) fn waits(&self) -> Waits {
        waits(self.requests.iter().map(|request| request.took).collect())
    }

    /// Second by second, by when a request was sent.
    pub(super) fn seconds(&self) -> Vec<Waits> {
        let mut seconds: Vec<Vec<Duration>> = Vec::new();
        for request in &self.requests {
            let second = usize::try_from(request.at.as_secs()).expect("runs are short");
            if seconds.len() <= second {
                seconds.resize_with(second + 1, Vec::new);
            }
            seconds[second].push(request.took);
        }
        seconds.into_iter().map(waits).collect()
    }

    /// How many took longer.
    pub(super) fn over(&self, limit: Duration) -> u64 {
        let over = self
            .requests
            .iter()
            .filter(|request| request.took > limit)
            .count();
        u64::try_from(over).expect("counts fit")
    }
}

fn waits(mut took: Vec<Duration>) -> Waits {
    took.sort_unstable();
    let at = |percent: usize| {
        let place = (took.len() * percent).div_ceil(100).saturating_sub(1);
        took.get(place).copied().unwrap_or_default()
    };
    Waits {
        requests: u64::try_from(took.len()).expect("counts fit"),
        p50: at(50),
        p99: at(99),
        most: at(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(at_ms: u64, took_ms: u64) -> Request {
        Request {
            at: Duration::from_millis(at_ms),
            took: Duration::from_millis(took_ms),
        }
    }

    #[test]
    fn percentiles_are_of_requests_that_were_made() {
        let mut measure = Measure::default();
        assert_eq!(measure.waits(), Waits::default());
        (1..=100).for_each(|ms| measure.note(request(0, ms), None));
        let waits = measure.waits();
        assert_eq!((waits.requests, waits.p50.as_millis()), (100, 50));
        assert_eq!((waits.p99.as_millis(), waits.most.as_millis()), (99, 100));
        assert_eq!(measure.over(Duration::from_millis(98)), 2);
    }

    #[test]
    fn of_many_failures_a_few_are_told() {
        let mut measure = Measure::default();
        for number in 0..8 {
            measure.note(request(0, 1), Some(number.to_string()));
        }
        let mut all = Measure::default();
        all.join(Measure::default());
        all.join(measure);
        assert_eq!((all.failed, all.reasons.len()), (8, REASONS_MAX));
    }

    #[test]
    fn a_request_belongs_to_the_second_in_which_it_was_sent() {
        let mut measure = Measure::default();
        for one in [request(10, 5), request(990, 1500), request(3000, 7)] {
            measure.note(one, None);
        }
        let seconds = measure.seconds();
        let told = seconds
            .iter()
            .map(|waits| (waits.requests, waits.most.as_millis()));
        assert_eq!(told.collect::<Vec<_>>(), [(2, 1500), (0, 0), (0, 0), (1, 7)]);
    }
}
