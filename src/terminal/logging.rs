//! Settings that every server has in addition to its own: how it logs, and whether it ends with its parent.

use clap::Args;

use super::Failure;
use crate::process::telemetry::{self, LogFormat, TelemetryError};

/// The filter and the format of the log.
#[derive(Debug, Args)]
pub struct Logging {
    /// What to log: a level, or levels for modules [default: info]
    #[arg(long, env = "LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Format of log lines: human, plain (without colours, as with NO_COLOR) or json [default: human]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Stop when standard input ends, so that this process does not outlive its parent
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
    /// Parses the two settings, or returns every mistake in them.
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
