//! The settings of `causeway serve`: flags over environment over file, and what only this machine
//! can tell about them.

use std::fs;
use std::net::{IpAddr, UdpSocket};

use super::Failure;
use super::arguments::Serve;
use crate::config::{self, Config, ConfigError, Settings};

/// What a node starts with, and what to warn of; or every mistake in it.
pub fn read(serve: &Serve) -> Result<(Config, Vec<String>), Failure> {
    let path = serve.config.as_deref().filter(|path| !path.trim().is_empty());
    let (file, mut mistakes) = path.map(from_file).unwrap_or_default();
    match config::understand(&serve.settings().over(file), &is_own) {
        Ok(config) if mistakes.is_empty() => {
            let warnings = config::warnings(&config, &is_own);
            Ok((config, warnings))
        }
        understood => {
            mistakes.extend(understood.err().unwrap_or_default());
            Err(Failure::Usage(list(&mistakes)))
        }
    }
}

fn from_file(path: &str) -> (Settings, Vec<ConfigError>) {
    match fs::read_to_string(path) {
        Ok(text) => config::settings_from_toml(&text),
        Err(error) => {
            let problem = format!("{path:?} cannot be read: {error}");
            let mistake = ConfigError {
                setting: "--config",
                problem,
            };
            (Settings::stand_in(), vec![mistake])
        }
    }
}

/// Whether this machine has an address: only then can a socket be bound to it.
fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

fn list(mistakes: &[ConfigError]) -> String {
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
    fn this_machine_has_loopback_and_not_the_documentation_network() {
        assert!(is_own(IpAddr::from([127, 0, 0, 1])));
        assert!(!is_own(IpAddr::from([203, 0, 113, 1])));
    }
}
