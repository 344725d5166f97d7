//! Prints a progress line: rewritten in place on a terminal, at long intervals elsewhere.

#![expect(
    clippy::disallowed_methods,
    reason = "people wait for a soak in true time, not in simulated time"
)]

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const ON_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    told: Instant,
    is_terminal: bool,
}

impl Progress {
    pub(crate) fn begin() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            told: now,
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Prints the progress, if it is time to.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        let pause = if self.is_terminal { ON_TERMINAL } else { ELSEWHERE };
        if self.told.elapsed() < pause {
            return;
        }
        self.told = Instant::now();
        let (line, elapsed) = (line(), self.elapsed().as_secs());
        if self.is_terminal {
            eprint!("\r{elapsed} s: {line}\x1b[K");
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{elapsed} s: {line}");
        }
    }

    /// Makes room for other lines.
    pub(crate) fn clear(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
