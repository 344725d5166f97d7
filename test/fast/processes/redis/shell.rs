//! The shell: its answers, its scripts, its end.

use std::process::{Output, Stdio};

use rustix::process::Signal;

use super::rig::{Shell, command, copies, inside, keys_in};
use crate::support::ports::free_ports;

/// Runs a script to its end.
fn run(script: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("script");
    std::fs::write(&file, script).expect("is written");
    let temporary = tempfile::tempdir().expect("a folder");
    let mut command = command(free_ports(), temporary.path(), arguments);
    command
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

#[track_caller]
fn assert_said(output: &Output, code: i32, lines: &[&str]) {
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().collect::<Vec<_>>(), lines, "{complaint}");
    assert_eq!(output.status.code(), Some(code), "{complaint}");
}

#[test]
fn each_command_is_answered_by_one_line_at_once() {
    let mut shell = Shell::start(&[]);
    shell.bring_up(5, 3, 2);
    shell.expect(&[
        ("put(1, 10)", "ok replicas=2 target=2"),
        ("  put ( 2 ,\t20 ) ; # a comment", "ok replicas=2 target=2"),
        ("\n# nothing\n\n   \nget(1)", "10"),
        ("put(1,-11)", "ok replicas=2 target=2"),
        ("get(1)", "-11"),
        ("get(3)", "not found"),
    ]);
    shell.tell("get(1); get(2)\n");
    assert_eq!([shell.answer(), shell.answer()], ["-11", "20"]);
    assert!(shell.ask("help").contains("failNode(port)"));
    let statuses = ["status", "status()"].map(|command| shell.ask(command));
    assert_eq!(statuses[0], statuses[1]);
    shell.tell("quit\n");
    shell.assert_ended(0);
}

#[test]
fn a_status_says_where_the_keys_are() {
    let mut shell = Shell::up(3, 4, 2, &[]);
    shell.expect(&[
        ("put(1,1)", "ok replicas=2 target=2"),
        ("put(2,2)", "ok replicas=2 target=2"),
    ]);
    let status = shell.status();
    for (name, value) in [
        ("capacity", 4),
        ("reliability_level", 2),
        ("live", 3),
        ("keys", 2),
    ] {
        assert_eq!(status[name], value, "{name}");
    }
    assert_eq!(
        (&status["under_replicated"], &status["lost"]),
        (&0.into(), &0.into())
    );
    for (server, port) in status["servers"]
        .as_array()
        .expect("a list")
        .iter()
        .zip(shell.ports(3))
    {
        assert_eq!((&server["port"], &server["alive"]), (&port.into(), &true.into()));
        assert_eq!(server["keys"], keys_in(port));
    }
}

#[test]
fn a_script_does_the_same_and_its_last_command_decides_the_exit_code() {
    let lines = [
        "ok replicas=1 target=1",
        "capacity exceeded",
        "ok replicas=1 target=1",
        "7",
    ];
    let script = "bringUp(1,1,1)\nput(1,5)\nput(2,6)\nput(1,7) # overwriting needs no room\nget(1)";
    let output = run(script, &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    let (first, rest) = said.split_once('\n').expect("has lines");
    assert!(first.starts_with("ok "), "{first}");
    assert_eq!(rest.lines().collect::<Vec<_>>(), lines);
    assert_eq!(output.status.code(), Some(0));

    let not_up = "error: call bringUp first";
    for (script, code, lines) in [
        ("", 0, &[][..]),
        ("# nothing\n", 0, &[]),
        ("get(1)", 1, &[not_up]),
        ("get(1)\nquit\nget(2)\n", 1, &[not_up]),
        ("put(1,1)\nstatus\nfailNode(1)\n", 1, &[not_up; 3]),
    ] {
        assert_said(&run(script, &[]), code, lines);
    }
    let output = run("get(1)\nhelp\n", &[]);
    assert_eq!(output.status.code(), Some(0), "the last one was all right");
}

#[test]
fn a_put_that_found_no_room_is_an_error_and_a_key_that_is_not_there_is_an_answer() {
    let exit_code = |last: &str| {
        run(&format!("bringUp(1,1,1)\nput(1,5)\n{last}"), &[])
            .status
            .code()
    };
    assert_eq!([exit_code("put(2,6)"), exit_code("get(2)")], [Some(1), Some(0)]);
}

#[test]
fn the_first_and_the_last_integer_are_keys_and_values() {
    let mut shell = Shell::up(2, 3, 2, &[]);
    let (least, most) = (i64::MIN, i64::MAX);
    shell.expect(&[
        (&format!("put({least},{most})"), "ok replicas=2 target=2"),
        (&format!("put({most},{least})"), "ok replicas=2 target=2"),
        (&format!("get({least})"), &most.to_string()),
        (&format!("get({most})"), &least.to_string()),
        ("get(0)", "not found"),
    ]);
    assert_eq!(copies(shell.ports(2), least), [most, most]);
}

#[test]
fn servers_keep_nothing_on_disk_and_listen_on_this_machine_only() {
    let shell = Shell::up(1, 3, 1, &[]);
    let setting = |name: &str| -> String {
        let mut get = redis::cmd("CONFIG");
        let pair: Vec<String> = get
            .arg("GET")
            .arg(name)
            .query(&mut inside(shell.base_port))
            .expect("is set");
        pair[1].clone()
    };
    for (name, value) in [
        ("save", ""),
        ("appendonly", "no"),
        ("bind", "127.0.0.1"),
        ("maxmemory-policy", "noeviction"),
    ] {
        assert_eq!(setting(name), value, "{name}");
    }
}

#[test]
fn however_it_is_told_to_end_nothing_is_left() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut shell = Shell::up(3, 3, 2, &[]);
        shell.signal(signal);
        shell.assert_ended(0);
    }
    let mut shell = Shell::up(3, 3, 2, &[]);
    shell.close_input();
    shell.assert_ended(0);
}

/// `causeway redis | head -1`: the servers do not outlive the reader.
#[test]
fn a_shell_whose_reader_is_gone_ends() {
    let mut shell = Shell::up(2, 3, 2, &[]);
    shell.stop_reading();
    shell.tell("put(1,2)\n");
    shell.assert_ended(0);
}
