//! Reads what flags and variables say, for all programs, by the one rule of [`text::setting`]: what shells, env
//! files and editors leave around a value does no harm, and an empty one counts as not given.
//!
//! The parser of arguments would take `CAUSEWAY_NODE=` for a node without a name, and `--listen ""` for an
//! address. So every option that has a variable comes through here first: its variable, as its default value,
//! and its flag. Other arguments (keys, values) are left as they are.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::{Arg, Command};

use crate::text;

/// The command with the variables as defaults, and the arguments, ready to be parsed.
pub(super) fn prepare(
    command: Command,
    arguments: Vec<OsString>,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> (Command, Vec<OsString>) {
    let mut names = BTreeSet::new();
    collect_names(&command, &mut names);
    (with_variables(command, variable), cleaned(arguments, &names))
}

fn with_variables(command: Command, variable: &dyn Fn(&str) -> Option<OsString>) -> Command {
    let command = command.mut_args(|argument| with_variable(argument, variable));
    command.mut_subcommands(|command| with_variables(command, variable))
}

fn with_variable(argument: Arg, variable: &dyn Fn(&str) -> Option<OsString>) -> Arg {
    let Some(name) = argument
        .get_env()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
    else {
        return argument;
    };
    let written = variable(&name).and_then(|written| setting(&written));
    let shown = written.as_ref().map(|text| text.to_string_lossy().into_owned());
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let help = format!("{help} [env: {name}={}]", shown.unwrap_or_default());
    let argument = argument.env(None::<&'static str>).help(help);
    match written {
        // The parser keeps defaults for as long as the process lives.
        Some(text) => argument.default_value(&*text.leak()).hide_default_value(true),
        None => argument,
    }
}

/// The flags of all settings, as they are written: `--node`, `-k`.
fn collect_names(command: &Command, names: &mut BTreeSet<String>) {
    let settings = command
        .get_arguments()
        .filter(|argument| argument.get_env().is_some());
    for argument in settings {
        names.extend(argument.get_long().map(|long| format!("--{long}")));
        names.extend(argument.get_short().map(|short| format!("-{short}")));
    }
    command
        .get_subcommands()
        .for_each(|command| collect_names(command, names));
}

/// The arguments without the settings that say nothing, and without what stands around the others.
fn cleaned(arguments: Vec<OsString>, names: &BTreeSet<String>) -> Vec<OsString> {
    let mut cleaned = Vec::with_capacity(arguments.len());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            cleaned.push(argument);
            break;
        }
        let (name, value) = match argument.to_str().and_then(|text| text.split_once('=')) {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument.to_string_lossy().into_owned(), None),
        };
        match (names.contains(&name), value) {
            (false, _) => cleaned.push(argument),
            (true, Some(value)) => {
                cleaned.extend(text::setting(&value).map(|value| OsString::from(format!("{name}={value}"))));
            }
            (true, None) => match arguments.next() {
                Some(value) => cleaned.extend(
                    setting(&value)
                        .into_iter()
                        .flat_map(|value| [argument.clone(), value]),
                ),
                None => cleaned.push(argument),
            },
        }
    }
    cleaned.extend(arguments);
    cleaned
}

/// What is no text is a path, and left alone.
fn setting(written: &OsString) -> Option<OsString> {
    match written.to_str() {
        Some(written) => text::setting(written).map(OsString::from),
        None => Some(written.clone()),
    }
}

/// For options that are no text of the configuration: the same rule for quotes.
pub(super) fn unquoted(written: &str) -> Result<&str, String> {
    let written = text::setting(written).unwrap_or_default();
    match text::quoted(written) {
        Some(inside) => Err(text::quotes_refused(written, inside)),
        None => Ok(written),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches as _};

    use super::*;
    use crate::cli::arguments::{Arguments, Command as Asked};

    fn parsed(variables: &[(&str, &str)], words: &[&str]) -> Result<Asked, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let words = std::iter::once(&"causeway").chain(words).map(OsString::from);
        let (command, words) = prepare(
            <Arguments as CommandFactory>::command(),
            words.collect(),
            &variable,
        );
        let matches = command
            .try_get_matches_from(words)
            .map_err(|error| error.to_string())?;
        let arguments = Arguments::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        Ok(arguments.command())
    }

    fn node(variables: &[(&str, &str)], words: &[&str]) -> String {
        match parsed(variables, words) {
            Ok(Asked::Status(status)) => status.asking.node.0[0].to_string(),
            other => panic!("{words:?} should ask for the status: {other:?}"),
        }
    }

    #[test]
    fn an_empty_setting_is_none_and_what_stands_around_another_does_no_harm() {
        for (variable, words, expected) in [
            ("", &["status"][..], "127.0.0.1:8080"),
            (" \r\n", &["status"], "127.0.0.1:8080"),
            ("a:1\r\n", &["status"], "a:1"),
            ("\u{feff}A:01", &["status"], "a:1"),
            ("a:1", &["status", "--node", ""], "a:1"),
            ("a:1", &["status", "--node="], "a:1"),
            ("a:1", &["status", "--node", " "], "a:1"),
            ("a:1", &["status", "--node", " b:2 "], "b:2"),
            ("a:1", &["status", "--node=b:2\r"], "b:2"),
        ] {
            assert_eq!(
                node(&[("CAUSEWAY_NODE", variable)], words),
                expected,
                "{variable:?} {words:?}"
            );
        }
        let quoted = parsed(&[("CAUSEWAY_NODE", "\"a:1\"")], &["status"]).expect_err("is refused");
        assert!(
            quoted.contains("in quotes") && quoted.contains("write a:1"),
            "{quoted}"
        );
    }

    #[test]
    fn settings_of_a_node_come_from_flags_over_variables() {
        let variables = [("K", " 2\r"), ("VIEW", ""), ("LISTEN", "9000"), ("LOG", "warn")];
        let Ok(Asked::Serve(serve)) = parsed(&variables, &["-k", "", "--listen", "9001"]) else {
            panic!("it should serve");
        };
        let settings = serve.settings();
        assert_eq!((settings.k.as_deref(), settings.view), (Some("2"), None));
        assert_eq!(settings.listen.as_deref(), Some("9001"));
        assert_eq!(settings.log.as_deref(), Some("warn"));
    }

    #[test]
    fn keys_and_values_are_left_as_they_are() {
        for words in [
            &["put", " k ", " v "][..],
            &["put", " k ", "--node", "a:1", "--", " v "],
            &["put", "--", " k ", " v "],
        ] {
            let Ok(Asked::Put(put)) = parsed(&[("K", "2")], words) else {
                panic!("{words:?} should be a put");
            };
            assert_eq!((put.key.as_str(), put.value.as_str()), (" k ", " v "));
        }
        let Ok(Asked::Put(put)) = parsed(&[], &["put", "k", "--", "--node"]) else {
            panic!("it should be a put");
        };
        assert_eq!(put.value, "--node");
    }

    #[test]
    fn help_shows_each_variable_and_what_it_says() {
        let help = parsed(&[("CAUSEWAY_NODE", "a:1")], &["get", "--help"]).expect_err("is help");
        assert!(help.contains("[env: CAUSEWAY_NODE=a:1]"), "{help}");
        assert!(help.contains("[env: CAUSEWAY_SESSION=]"), "{help}");
    }
}
