//! What the shell refuses: each mistake has its own message, and changes nothing.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::Stdio;

use super::rig::{Shell, command, copies, servers_on};
use crate::support::ports::free_ports;

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut shell = Shell::start(&[]);
    for command in [
        "bringUp(0,3,2)",
        "bringUp(-1,3,2)",
        "bringUp(5,0,2)",
        "bringUp(5,-3,2)",
        "bringUp(5,3,0)",
        "bringUp(5,3,-2)",
        "bringUp(2,3,3)",
        "bringUp(60000,1,1)",
        "bringUp(5,3)",
        "bringUp(5,3,2,1)",
        "bringUp(a,b,c)",
        "bringup(5,3,2)",
        "bringUp(9223372036854775808,1,1)",
        "put(1,2)",
        "get(1)",
        "status",
        "failNode(9000)",
        "put(1",
        "nonsense",
        "\u{1}",
    ] {
        let answer = shell.ask(command);
        assert!(answer.starts_with("error: "), "{command:?} gave {answer:?}");
    }
    assert_eq!(servers_on(shell.block()), [""; 0]);

    shell.bring_up(2, 3, 2);
    let base_port = shell.base_port;
    shell.expect(&[("put(1,2)", "ok replicas=2 target=2")]);
    let before = shell.status();
    for command in [
        "bringUp(2,3,2)",
        "bringUp(0,0,0)",
        "put(1)",
        "put(1,2,3)",
        "put(1,9223372036854775808)",
        "put(1.5,2)",
        "put(,2)",
        "get()",
        "get(x)",
        "failNode(1)",
        "failNode(-1)",
        "failNode(99999)",
        "failNode()",
        "PUT(1,3)",
        &format!("failNode({})", base_port + 2),
    ] {
        let answer = shell.ask(command);
        assert!(answer.starts_with("error: "), "{command:?} gave {answer:?}");
    }
    assert_eq!(shell.status(), before);
    assert_eq!(copies(shell.ports(2), 1), [2, 2]);
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_left_running() {
    let base_port = free_ports();
    let taken = base_port + 2;
    let stranger = TcpListener::bind(("127.0.0.1", taken)).expect("is free");
    let mut shell = Shell::on(base_port, &[]);
    let answer = shell.ask("bringUp(4,3,2)");
    assert!(
        answer.starts_with(&format!("error: port {taken} is in use")),
        "{answer}"
    );
    assert_eq!(servers_on(shell.block()), [""; 0]);
    shell.assert_no_files();
    drop(stranger);
    // A failed attempt to bring it up does not count as the only one allowed.
    shell.bring_up(4, 3, 2);

    // Another sharder's servers count as foreign, too.
    shell.expect(&[("put(1,1)", "ok replicas=2 target=2")]);
    let mut other = Shell::on(base_port, &[]);
    let answer = other.ask("bringUp(1,3,1)");
    assert!(
        answer.starts_with(&format!("error: port {base_port} is in use")),
        "{answer}"
    );
    shell.expect(&[("get(1)", "1")]);
}

#[test]
fn a_missing_redis_server_is_named_with_the_package_that_has_it() {
    let (folder, empty) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let mut child = command(free_ports(), folder.path(), &[])
        .env("PATH", empty.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut commands = child.stdin.take().expect("is piped");
    commands.write_all(b"bringUp(1,1,1)").expect("the shell listens");
    drop(commands);
    let output = child.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said,
        "error: redis-server is not installed; apt-get install redis-server\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn mistakes_in_arguments_end_with_64() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["--http", "nowhere"][..],
        &["--strictly"],
        &["no/such/script"],
        &["a", "b"],
        &["--base-port", "0"],
    ] {
        let output = command(9000, folder.path(), arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn ports_end_at_65535() {
    let mut shell = Shell::on(65535, &[]);
    let answer = shell.ask("bringUp(2,1,1)");
    assert!(
        answer.starts_with("error: ") && answer.contains("65535 to 65536"),
        "{answer}"
    );
}
