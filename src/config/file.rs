//! The configuration file: TOML with the settings' names in lower case.
//!
//! It only turns a file into [`Settings`], so that flags and environment override it, and every mistake
//! in a value is found in one place. Other spellings of the same settings belong here too.

use toml::{Table, Value};

use super::{ConfigError, Settings, pair_file};
use crate::text;

/// The settings that a file gives, and the mistakes in it.
pub fn settings_from_toml(text: &str) -> (Settings, Vec<ConfigError>) {
    let mut settings = Settings::default();
    let lines: Vec<&str> = text::lines(text).collect();
    let mut table: Table = match lines.join("\n").parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            let mistake = mistake(error.to_string().trim_end().to_owned());
            return (Settings::stand_in(), vec![mistake]);
        }
    };
    let (of_a_pair, mut mistakes) = pair_file::settings_from(&mut table);
    for (name, value) in table {
        match (settings.slot(&name), written(&value)) {
            (Some(Some(_)), _) => mistakes.push(mistake(format!(
                "{name} is given twice, in upper case and in lower case; give it once"
            ))),
            (Some(slot), Some(text)) => *slot = Some(text),
            (Some(_), None) => mistakes.push(mistake(format!(
                "{name} must be a string, a number or a list of strings"
            ))),
            (None, _) => mistakes.push(mistake(unknown(&name))),
        }
    }
    if of_a_pair != Settings::default() {
        settings = settings.over(of_a_pair);
    }
    (settings, mistakes)
}

impl Settings {
    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        let mut all = self.by_name().into_iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, slot)| slot)
    }
}

fn mistake(problem: String) -> ConfigError {
    ConfigError::new("configuration file", problem)
}

fn unknown(name: &str) -> String {
    let names = Settings::default()
        .by_name()
        .map(|(name, _)| name.to_ascii_lowercase());
    let all: Vec<&str> = names.iter().map(String::as_str).chain(pair_file::NAMES).collect();
    match text::nearest(name, &all) {
        Some(meant) => format!("there is no setting {name}; did you mean {meant}?"),
        None => {
            let (names, of_a_pair) = (names.join(", "), pair_file::NAMES.join(", "));
            format!("there is no setting {name}; there are {names}; or {of_a_pair}")
        }
    }
}

/// A value as it would be written in the environment.
fn written(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_settings_by_their_names() {
        let text = r#"
            k = 2
            view = ["10.0.0.21:8080", "10.0.0.22:8080"]
            IPPORT = "10.0.0.21:8080"
            causal_wait = "1s"
        "#;
        let (settings, mistakes) = settings_from_toml(text);
        assert_eq!(mistakes, []);
        assert_eq!(settings.k.as_deref(), Some("2"));
        assert_eq!(settings.view.as_deref(), Some("10.0.0.21:8080,10.0.0.22:8080"));
        assert_eq!(settings.ipport.as_deref(), Some("10.0.0.21:8080"));
        assert_eq!(settings.causal_wait.as_deref(), Some("1s"));
    }

    #[test]
    fn unknown_names_and_odd_values_are_all_reported() {
        let (settings, mistakes) =
            settings_from_toml("k = 1\nkeys = 2\nlisten = true\nview = [1]\nlogformat = \"json\"");
        assert_eq!(settings.k.as_deref(), Some("1"));
        let texts: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 4, "{texts:?}");
        assert!(
            texts[0].contains("there is no setting keys; there are ipport, view, k, listen"),
            "{}",
            texts[0]
        );
        assert!(texts[2].contains("did you mean log_format?"), "{}", texts[2]);
        assert!(texts[1].contains("listen must be"), "{}", texts[1]);
    }

    #[test]
    fn line_ends_of_any_system_end_lines() {
        for text in [
            "k = 2\r\nlog = \"debug\"\r\n",
            "k = 2\rlog = \"debug\"",
            "k = 2\nlog = \"debug\"",
        ] {
            let (settings, mistakes) = settings_from_toml(text);
            assert_eq!(mistakes, [], "{text:?}");
            assert_eq!(
                (settings.k.as_deref(), settings.log.as_deref()),
                (Some("2"), Some("debug"))
            );
        }
    }

    #[test]
    fn one_setting_in_two_spellings_is_a_mistake() {
        let (_, mistakes) = settings_from_toml("K = 1\nk = 2");
        assert_eq!(mistakes.len(), 1);
        assert!(
            mistakes[0].problem.contains("k is given twice"),
            "{}",
            mistakes[0]
        );
    }

    #[test]
    fn a_file_that_is_no_toml_is_one_mistake() {
        let (settings, mistakes) = settings_from_toml("k = ");
        assert_eq!(mistakes.len(), 1);
        // Settings that the file would have given are not reported as missing.
        let judged = crate::config::understand(&settings, &|_| true);
        assert!(judged.is_ok(), "{judged:?}");
    }
}
