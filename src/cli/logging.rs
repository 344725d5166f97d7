//! What every command that serves is told beside its own settings: how it logs, and with whom it ends.

use clap::Args;

use crate::telemetry::LogFormat;

/// What is logged, and how.
#[derive(Debug, Args)]
pub struct Logging {
    /// What is logged: a level, or levels by module
    #[arg(long, env = "LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Stop when standard input ends: for a parent that must leave nothing behind
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
}
