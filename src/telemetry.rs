//! What a node tells its operator: a line for each event that somebody should know of, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};

/// Libraries that tell more than an operator wants to know; silenced unless asked for by name.
const TALKATIVE: [&str; 2] = ["fjall", "lsm_tree"];

/// How lines look (`LOG_FORMAT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error(
        "LOG={given:?} is no filter ({reason}); write a level, such as info, or causeway::node=debug,info"
    )]
    BadFilter { given: String, reason: String },
    #[error("logging was started before")]
    Twice,
}

/// Starts logging for the whole process. `filter` as in `LOG`: levels by module; empty means info.
pub fn start(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parse_filter(filter)?)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Human => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| TelemetryError::Twice)
}

fn parse_filter(given: &str) -> Result<EnvFilter, TelemetryError> {
    let bad = |reason: String| TelemetryError::BadFilter {
        given: given.into(),
        reason,
    };
    let mut filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(given)
        .map_err(|error| bad(error.to_string()))?;
    for library in TALKATIVE.into_iter().filter(|library| !given.contains(library)) {
        let directive = format!("{library}=warn")
            .parse::<Directive>()
            .expect("is a directive");
        filter = filter.add_directive(directive);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talkative_libraries_are_silenced_unless_asked_for() {
        for (given, expected) in [
            ("", ["fjall=warn", "lsm_tree=warn", "info"]),
            ("debug", ["fjall=warn", "lsm_tree=warn", "debug"]),
            ("fjall=trace", ["fjall=trace", "lsm_tree=warn", ""]),
        ] {
            let filter = parse_filter(given).expect("is a filter").to_string();
            assert!(
                expected.iter().all(|part| filter.contains(part)),
                "{given}: {filter}"
            );
        }
    }

    #[test]
    fn a_filter_that_does_not_parse_is_named() {
        let error = parse_filter("causeway=loud").expect_err("is refused").to_string();
        assert!(error.contains("LOG=\"causeway=loud\""), "{error}");
    }
}
