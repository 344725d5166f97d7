//! Settings that every serving command has besides its own: how it logs, and if it ends with its parent.

use clap::Args;

use super::Failure;
use crate::process::telemetry::{self, LogFormat, TelemetryError};

/// What is logged, and how.
#[derive(Debug, Args)]
pub struct Logging {
    /// What is logged: a level, or levels by module [default: info]
    #[arg(long, env = "LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How log lines look: human, plain (without colours, as with NO_COLOR) or json [default: human]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Stop when standard input ends: for a parent that must leave nothing behind
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
}

/// How a program logs, after its settings were checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Lines {
    filter: String,
    format: LogFormat,
}

impl Lines {
    /// What the two settings mean, or every mistake in them.
    pub fn understand(log: Option<&str>, log_format: Option<&str>) -> Result<Self, Vec<String>> {
        let filter = log.unwrap_or_default();
        let format = LogFormat::parse(log_format);
        match (telemetry::check(filter), format) {
            (Ok(()), Ok(format)) => Ok(Self {
                filter: filter.to_owned(),
                format: if wants_colours() {
                    format
                } else {
                    format.without_colours()
                },
            }),
            (filter, format) => Err([filter.err(), format.err()]
                .into_iter()
                .flatten()
                .map(|mistake| mistake.to_string())
                .collect()),
        }
    }

    /// Starts to log, for the whole process.
    pub fn start(&self) -> Result<(), Failure> {
        let started = telemetry::start(&self.filter, self.format);
        started.map_err(|error| match error {
            TelemetryError::BadFilter(_) | TelemetryError::BadFormat(_) => Failure::Usage(error.to_string()),
            TelemetryError::Twice | TelemetryError::Thread(_) => Failure::Failed(error.to_string()),
        })
    }
}

/// False if `NO_COLOR` is set to any text, and on a terminal that knows no colours.
pub(super) fn wants_colours() -> bool {
    let says = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty());
    says("NO_COLOR").is_none() && says("TERM").is_none_or(|terminal| terminal != "dumb")
}
