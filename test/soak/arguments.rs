//! Parses the arguments of a soak. `scripts/soak` rejects most mistakes before it compiles anything.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// The number of seeds if neither seeds nor hours are given.
const SEEDS: u64 = 300;

/// The number of seeds for each planted fault.
const PLANTED_SEEDS: u64 = 50;

/// A mistake in the arguments, as everywhere in this repository.
const MISTAKE: u8 = 64;

#[derive(Debug, Parser)]
#[command(name = "scripts/soak", about = "Simulate whole clusters under faults")]
pub(crate) struct Asked {
    /// How many seeds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "hours")]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Go on for so many simulated hours
    #[arg(long, conflicts_with = "planted")]
    pub hours: Option<f64>,
    /// Switch the store's rules off one by one, and count who notices
    #[arg(long, conflicts_with = "history")]
    pub planted: bool,
    /// Where the histories of runs that failed are written
    #[arg(long)]
    pub history: Option<PathBuf>,
    /// Write the histories of all runs
    #[arg(long, requires = "history")]
    pub keep_histories: bool,
}

impl Asked {
    /// Reads the arguments of this process; on failure, returns the message and the exit code.
    pub(crate) fn read() -> Result<Self, (String, ExitCode)> {
        Self::try_parse().map_err(|error| {
            let code = if error.use_stderr() {
                ExitCode::from(MISTAKE)
            } else {
                ExitCode::SUCCESS
            };
            (error.to_string(), code)
        })
    }

    /// The seeds to run; unlimited if hours count.
    pub(crate) fn seeds(&self) -> std::ops::Range<u64> {
        let count = match (self.seeds, self.hours) {
            (Some(seeds), _) => seeds,
            (None, Some(_)) => u64::MAX,
            (None, None) if self.planted => PLANTED_SEEDS,
            (None, None) => SEEDS,
        };
        self.seed..self.seed.saturating_add(count)
    }
}
