//! Parses `LOG` and `LOG_FORMAT`: which lines are logged, and how they look.
//!
//! Separate from the writing of lines, because a mistake here is found before anything starts. The parser
//! of `tracing-subscriber` takes a word that is no level for the name of a module, and logs nothing else.
//! Here such a word is a mistake, and modules that the filter does not name are logged at level `info`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

use super::TelemetryError;
use crate::text;

/// Libraries that log more than an operator wants to know; silenced unless the filter names them.
const TALKATIVE: [&str; 2] = ["fjall", "lsm_tree"];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The level unless the filter says otherwise.
const LEVEL_DEFAULT: &str = "info";

const ADVICE: &str = "write a level (off, error, warn, info, debug, trace), and levels of modules behind it, such \
    as info,causeway::node=debug";

/// How lines look (`LOG_FORMAT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Human,
    /// The same without colours.
    Plain,
    Json,
}

impl LogFormat {
    /// The format that a setting names; for people, if the setting is missing.
    pub fn parse(given: Option<&str>) -> Result<Self, TelemetryError> {
        let Some(written) = given.and_then(text::setting) else {
            return Ok(Self::default());
        };
        match written.to_ascii_lowercase().as_str() {
            "human" => Ok(Self::Human),
            "plain" => Ok(Self::Plain),
            "json" => Ok(Self::Json),
            _ => Err(TelemetryError::BadFormat(match text::quoted(written) {
                Some(inside) => text::quotes_refused(written, &format!("LOG_FORMAT={inside}")),
                None => format!("{written:?} is no format of log lines; write human, plain or json"),
            })),
        }
    }

    /// The same without colours.
    #[must_use]
    pub fn without_colours(self) -> Self {
        match self {
            Self::Human => Self::Plain,
            other => other,
        }
    }
}

/// Finds the mistake in a filter, if there is one.
pub fn check(given: &str) -> Result<(), TelemetryError> {
    parse(given).map(drop)
}

pub(super) fn parse(given: &str) -> Result<EnvFilter, TelemetryError> {
    let given = text::setting(given).unwrap_or(LEVEL_DEFAULT);
    let bad = TelemetryError::BadFilter;
    if let Some(inside) = text::quoted(given) {
        return Err(bad(text::quotes_refused(given, &format!("LOG={inside}"))));
    }
    let mut directives = Vec::new();
    let parts = given.split(',').map(str::trim);
    for part in parts.filter(|part| !part.is_empty()) {
        directives.push(directive(part).map_err(bad)?);
    }
    if !directives.iter().any(|part| LEVELS.contains(&part.as_str())) {
        directives.push(LEVEL_DEFAULT.to_owned());
    }
    let filter = EnvFilter::builder().parse(directives.join(","));
    let mut filter = filter.map_err(|error| bad(format!("{given:?} is no filter ({error}); {ADVICE}")))?;
    for library in TALKATIVE.into_iter().filter(|library| !given.contains(library)) {
        let directive = format!("{library}=warn")
            .parse::<Directive>()
            .expect("is a directive");
        filter = filter.add_directive(directive);
    }
    Ok(filter)
}

/// A level, or a module with its level; blanks around `=` are allowed.
fn directive(part: &str) -> Result<String, String> {
    let level = part.to_ascii_lowercase();
    if LEVELS.contains(&level.as_str()) {
        return Ok(level);
    }
    let split = part.rsplit_once('=');
    let Some((target, level)) = split.filter(|(_, level)| !level.contains(['}', ']'])) else {
        return match nearest_level(part) {
            Some(level) => Err(format!("{part:?} is no level; did you mean {level}?")),
            None if part.contains('[') => Ok(part.to_owned()),
            None => Err(format!("{part:?} is no level; {ADVICE}")),
        };
    };
    let (target, level) = (target.trim(), level.trim().to_ascii_lowercase());
    if LEVELS.contains(&level.as_str()) {
        return Ok(format!("{target}={level}"));
    }
    let advice = nearest_level(&level).map(|level| format!("did you mean {level}?"));
    let advice = advice.unwrap_or_else(|| ADVICE.to_owned());
    Err(format!("{level:?} is no level of {target}; {advice}"))
}

/// The level meant by a misspelt word, or by the name that other programs use.
fn nearest_level(word: &str) -> Option<&'static str> {
    let elsewhere = match word.to_ascii_lowercase().as_str() {
        "warning" => "warn",
        "critical" | "fatal" | "severe" | "err" => "error",
        "notice" | "information" | "informational" | "normal" => "info",
        "verbose" | "fine" => "debug",
        "all" | "finest" => "trace",
        "none" | "silent" | "quiet" | "disabled" => "off",
        _ => return text::nearest(word, &LEVELS),
    };
    Some(elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talkative_libraries_are_silenced_and_the_rest_logged_unless_asked_for() {
        for (given, expected) in [
            ("", ["fjall=warn", "lsm_tree=warn", "info"]),
            ("debug", ["fjall=warn", "lsm_tree=warn", "debug"]),
            ("fjall=trace", ["fjall=trace", "lsm_tree=warn", "info"]),
            (
                "causeway::node=debug",
                ["causeway::node=debug", "lsm_tree=warn", "info"],
            ),
            ("off,causeway=debug", ["causeway=debug", "lsm_tree=warn", "off"]),
            ("[span{a=1}]=debug", ["[span{a=1}]=debug", "fjall=warn", "info"]),
        ] {
            let filter = parse(given).expect("is a filter").to_string();
            assert!(
                expected.iter().all(|part| filter.contains(part)),
                "{given}: {filter}"
            );
        }
    }

    #[test]
    fn case_and_blanks_do_not_matter() {
        for given in [
            "WARN",
            " warn",
            "Warn\r\n",
            "\u{feff}warn",
            "warn,",
            " warn , causeway = WARN ",
        ] {
            let filter = parse(given).expect(given).to_string();
            assert!(
                filter.contains("warn") && !filter.contains("info"),
                "{given:?}: {filter}"
            );
        }
        for given in ["JSON", " json\r\n", "Json"] {
            assert!(
                matches!(LogFormat::parse(Some(given)), Ok(LogFormat::Json)),
                "{given:?}"
            );
        }
        assert!(matches!(LogFormat::parse(Some(" ")), Ok(LogFormat::Human)));
    }

    #[test]
    fn a_word_that_is_no_level_is_named() {
        for (given, part) in [
            ("warning", "\"warning\" is no level; did you mean warn?"),
            ("WARNING", "did you mean warn?"),
            ("inof", "did you mean info?"),
            ("fatal", "did you mean error?"),
            ("causeway", "\"causeway\" is no level; write a level"),
            ("info,warning", "did you mean warn?"),
            ("causeway=loud", "\"loud\" is no level of causeway"),
            ("causeway=warning", "did you mean warn?"),
            ("causeway=", "\"\" is no level of causeway"),
            ("3", "\"3\" is no level"),
            ("\"info\"", "write LOG=info"),
        ] {
            let error = check(given).expect_err(given).to_string();
            assert!(
                error.starts_with("LOG: ") && error.contains(part),
                "{given}: {error}"
            );
        }
        for (given, part) in [
            ("xml", "write human, plain or json"),
            ("'json'", "write LOG_FORMAT=json"),
        ] {
            let error = LogFormat::parse(Some(given)).expect_err(given).to_string();
            assert!(
                error.starts_with("LOG_FORMAT: ") && error.contains(part),
                "{error}"
            );
        }
    }
}
