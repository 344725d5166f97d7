//! The settings of `causeway serve`: flags over environment over file, and the checks that need this machine.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use super::arguments::Serve;
use super::user_file;
use crate::config::{self, Config, ConfigError, Settings};
use crate::process::system;
use crate::terminal::Failure;
use crate::terminal::logging::Lines;
use crate::text;

/// No configuration is longer.
const CONFIG_BYTES_MAX: usize = 1024 * 1024;

/// What a node starts with.
#[derive(Debug)]
pub struct Start {
    pub config: Config,
    pub lines: Lines,
    /// Settings that are allowed but rarely meant.
    pub warnings: Vec<String>,
}

/// The settings that a node starts with, or every mistake in them.
pub fn read(serve: &Serve) -> Result<Start, Failure> {
    let (settings, mistakes) = all_settings(serve.settings(), serve.config.as_deref());
    let mut mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let lines = Lines::understand(settings.log.as_deref(), settings.log_format.as_deref());
    match (config::understand(&settings, &is_own), lines) {
        (Ok(config), Ok(lines)) if mistakes.is_empty() => Ok(Start {
            warnings: config::warnings(&config, &is_own),
            config,
            lines,
        }),
        (config, lines) => {
            let wrong = config.err().unwrap_or_default();
            mistakes.extend(wrong.iter().map(ToString::to_string));
            // Both checks find quotes around these two.
            let wrong = lines.err().unwrap_or_default();
            mistakes.extend(
                wrong
                    .into_iter()
                    .filter(|text| !mistakes.contains(text))
                    .collect::<Vec<_>>(),
            );
            Err(Failure::Usage(list(&mistakes)))
        }
    }
}

/// The given settings, over those of a file if one is named.
pub(super) fn all_settings(given: Settings, path: Option<&str>) -> (Settings, Vec<ConfigError>) {
    let path = path.and_then(text::setting);
    let (file, mistakes) = path.map(from_named_file).unwrap_or_default();
    (given.over(file), mistakes)
}

fn from_named_file(path: &str) -> (Settings, Vec<ConfigError>) {
    match text::quoted(path) {
        Some(inside) => without_file(text::quotes_refused(path, inside)),
        None => from_file(path),
    }
}

fn from_file(path: &str) -> (Settings, Vec<ConfigError>) {
    let read = user_file::read(Path::new(path), CONFIG_BYTES_MAX);
    let read = read.map_err(|error| format!("cannot be read: {}", system::explain(&error)));
    let decoded = read.and_then(|bytes| match text::decode(&bytes) {
        Ok(text) => Ok(text.into_owned()),
        Err(error) => Err(format!("cannot be read: {error}")),
    });
    match decoded {
        Ok(text) => config::settings_from_toml(&text),
        Err(problem) => without_file(format!("{path:?} {problem}")),
    }
}

fn without_file(problem: String) -> (Settings, Vec<ConfigError>) {
    let setting = "--config";
    (Settings::stand_in(), vec![ConfigError { setting, problem }])
}

/// True if this machine has an address: only then can a socket be bound to it.
fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

fn list(mistakes: &[String]) -> String {
    let headline = match mistakes.len() {
        1 => "this node cannot start; there is a mistake in its settings:".to_owned(),
        many => format!("this node cannot start; there are {many} mistakes in its settings:"),
    };
    let lines = mistakes.iter().map(|mistake| format!("\n  {mistake}"));
    lines.fold(headline, |text, line| text + &line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_never_ends_is_a_mistake() {
        let (_, mistakes) = from_file("/dev/zero");
        let mistake = mistakes.first().expect("is none").to_string();
        assert!(mistake.contains("more than 1048576 bytes"), "{mistake}");
    }

    #[test]
    fn this_machine_has_loopback_and_not_the_documentation_network() {
        assert!(is_own(IpAddr::from([127, 0, 0, 1])));
        assert!(!is_own(IpAddr::from([203, 0, 113, 1])));
    }
}
