//! The program as people start it: what it prints, and with which exit code it ends.

use std::process::{Command, Output, Stdio};

/// The assignment's fourth example, slips and all.
const PASTED: &str = "10.0.0.21:8080,10.0.0.22:8080,10.0.0.23:80,10.0.0.24:8080";

fn causeway(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_causeway"))
        .env_clear()
        .envs(variables.iter().copied())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

#[track_caller]
fn assert_ends(output: &Output, code: i32, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing from:\n{text}");
    }
}

#[test]
fn the_assignments_fourth_command_is_refused_with_its_slips_named() {
    let variables = [("K", "2"), ("VIEW", PASTED), ("IPPORT", "10.0.0.23:8080")];
    let slips = [
        "10.0.0.23:8080 is not in VIEW",
        "10.0.0.23:80",
        "did you mean 10.0.0.23:8080",
    ];
    assert_ends(&causeway(&variables, &[]), 64, &slips);
}

#[test]
fn every_mistake_is_named_at_once() {
    let variables = [
        ("K", "0"),
        ("VIEW", "10.0.0.21,10.0.0.22:8080,10.0.0.22:8080"),
        ("LISTEN", "8o8o"),
    ];
    let output = causeway(&variables, &["serve", "--store", "tape", "--max-value", "huge"]);
    let mistakes = [
        "7 mistakes",
        "K: ",
        "VIEW: ",
        "more than once",
        "IPPORT: ",
        "LISTEN: ",
        "STORE: ",
        "MAX_VALUE: ",
    ];
    assert_ends(&output, 64, &mistakes);
}

#[test]
fn flags_go_over_variables_and_these_over_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node.toml");
    std::fs::write(&file, "k = \"file\"\nlisten = \"file\"\nstore = \"file\"\n").expect("is written");
    let file = file.to_str().expect("is text");
    let variables = [("K", "variable"), ("LISTEN", "variable"), ("IPPORT", "a:1")];
    let output = causeway(&variables, &["serve", "--config", file, "--k", "flag"]);
    assert_ends(
        &output,
        64,
        &["K: \"flag\"", "LISTEN: \"variable\"", "STORE: \"file\""],
    );
}

#[test]
fn mistakes_in_the_file_do_not_hide_the_others() {
    let output = causeway(&[("K", "0"), ("IPPORT", "a:1")], &["--config", "/no/such/file"]);
    assert_ends(&output, 64, &["--config: ", "K: "]);
}

#[test]
fn help_shows_every_setting_as_flag_and_variable() {
    for arguments in [&["--help"][..], &["serve", "--help"]] {
        let output = causeway(&[], arguments);
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8_lossy(&output.stdout);
        for setting in [
            "IPPORT",
            "VIEW",
            "K",
            "LISTEN",
            "STORE",
            "DATA_DIR",
            "MAX_VALUE",
            "CAUSAL_WAIT",
            "CLOCK_LIMIT",
            "FORGET_AFTER",
            "VIEW_CHANGE_TIMEOUT",
            "MAX_REQUESTS",
        ] {
            let flag = format!("--{}", setting.to_lowercase().replace('_', "-"));
            assert!(
                text.contains(&format!("[env: {setting}=")),
                "{setting} in:\n{text}"
            );
            assert!(text.contains(&flag), "{flag} in:\n{text}");
        }
    }
}

#[test]
fn mistakes_in_arguments_end_with_64_too() {
    assert_ends(&causeway(&[], &["fetch", "x"]), 64, &["fetch"]);
    assert_ends(&causeway(&[], &["get", ""]), 64, &["the key is empty"]);
    assert_ends(
        &causeway(&[], &["get", "x", "--node", "nowhere"]),
        64,
        &["has no port"],
    );
    assert_ends(
        &causeway(&[], &["get", "x", "--payload", "<>"]),
        64,
        &["not a causal payload"],
    );
}

#[test]
fn nodes_that_do_not_answer_are_all_named_and_the_code_is_1() {
    // Ports below 10 are assigned to services that nobody runs.
    let nodes = "127.0.0.1:2,127.0.0.1:3";
    for command in [
        &["get", "x"][..],
        &["put", "x", "-1"],
        &["delete", "x"],
        &["status"],
    ] {
        let arguments = [command, &["--node", nodes]].concat();
        assert_ends(
            &causeway(&[], &arguments),
            1,
            &["127.0.0.1:2 cannot be reached", "127.0.0.1:3"],
        );
    }
    assert_ends(
        &causeway(&[("LISTEN", "0.0.0.0:2")], &["health"]),
        1,
        &["127.0.0.1:2"],
    );
}

#[test]
fn a_nodes_variables_do_not_disturb_the_client_commands() {
    // As in `docker exec`: the settings of the node are in the environment of the command.
    let variables = [
        ("K", "2"),
        ("VIEW", PASTED),
        ("IPPORT", "10.0.0.23:8080"),
        ("CAUSEWAY_NODE", "127.0.0.1:2"),
    ];
    assert_ends(
        &causeway(&variables, &["get", "x"]),
        1,
        &["127.0.0.1:2 cannot be reached"],
    );
}
