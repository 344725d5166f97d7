//! How flags and variables combine, on the arguments of `causeway` itself.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches as _};

use super::{Arguments, Command as Asked};
use crate::terminal::given::prepare;

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
fn an_empty_setting_counts_as_absent_and_blanks_around_others_do_no_harm() {
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
        quoted.contains("is quoted") && quoted.contains("write a:1"),
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
fn help_shows_each_variable_with_its_value() {
    let help = parsed(&[("CAUSEWAY_NODE", "a:1")], &["get", "--help"]).expect_err("is help");
    assert!(help.contains("[env: CAUSEWAY_NODE=a:1]"), "{help}");
    assert!(help.contains("[env: CAUSEWAY_SESSION=]"), "{help}");
}
