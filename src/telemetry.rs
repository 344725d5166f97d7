//! What a node tells its operator: a line for each event that somebody should know of, on standard error.

mod filter;

use std::io::IsTerminal as _;

pub use filter::{LogFormat, check};

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("LOG: {0}")]
    BadFilter(String),
    #[error("LOG_FORMAT: {0}")]
    BadFormat(String),
    #[error("logging was started before")]
    Twice,
}

/// Starts logging for the whole process. `filter` as in `LOG`: levels by module; empty means info.
pub fn start(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter::parse(filter)?)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Human => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Plain => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| TelemetryError::Twice)
}
