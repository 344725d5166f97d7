//! Options, exit codes, values of every kind, signals, and unread pipes.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use rustix::process::Signal;

use super::processes::{GIVES_UP, Trio, clt, start, value};
use crate::support::ports::free_ports;
use crate::support::running::{MASTER, SVR, command, complaint, printed, run};
use crate::support::waiting::{timed, wait_for};

#[test]
fn exit_codes_say_what_became_of_it() {
    let (trio, ports) = Trio::with(2);
    let [first, second] = ports[..] else {
        panic!("{ports:?}")
    };
    let code = |output: std::process::Output| (output.status.code(), printed(&output));

    assert_eq!(
        code(trio.ask(&["-o", "GET", "-k", "4"])),
        (Some(2), String::new())
    );
    assert_eq!(
        code(trio.ask(&["-o", "PUT", "-k", "4", "-v", "x"])),
        (Some(0), String::new())
    );
    assert_eq!(code(trio.ask(&["-o", "GET", "-k", "4"])), (Some(0), "x\n".into()));
    // An option that is not needed is ignored, and may be left out.
    assert_eq!(
        code(trio.ask(&["-p", "1", "-o", "GET", "-k", "4", "-v", "y"])),
        (Some(0), "x\n".into())
    );
    let with_master = ["-o", "GET", "-k", "4", "-v", "", "-m", "1"];
    assert_eq!(code(trio.straight(first, &with_master)), (Some(0), "x\n".into()));

    // The server is not the owner, and does not forward: nothing is read or stored there.
    assert_eq!(
        code(trio.straight(second, &["-o", "GET", "-k", "4"])),
        (Some(2), String::new())
    );
    assert_eq!(
        code(trio.straight(second, &["-o", "PUT", "-k", "4", "-v", "z"])),
        (Some(2), String::new())
    );
    assert_eq!(trio.get(4).as_deref(), Some("x"));
    assert_eq!(
        code(trio.straight(first, &["-o", "PUT", "-k", "6", "-v", "w"])),
        (Some(0), String::new())
    );
    assert_eq!(trio.get(6).as_deref(), Some("w"));
}

#[test]
fn a_shard_is_the_mathematical_remainder_of_the_key() {
    let (trio, ports) = Trio::with(3);
    for (key, shard) in [
        ("-7", 3),
        ("-3", 1),
        ("-1", 3),
        ("0", 1),
        ("4", 2),
        ("007", 2),
        ("+5", 3),
    ] {
        for (index, port) in (1..).zip(&ports) {
            let stored = trio.straight(*port, &["-o", "PUT", "-k", key, "-v", key]);
            let expected = if index == shard { 0 } else { 2 };
            assert_eq!(
                stored.status.code(),
                Some(expected),
                "{key} at {index}: {}",
                complaint(&stored)
            );
        }
        assert_eq!(trio.get(key.parse().expect("a key")).as_deref(), Some(key));
    }
    for key in [i64::MIN, i64::MAX] {
        trio.put(key, "far");
        assert_eq!(trio.get(key).as_deref(), Some("far"));
    }
}

#[test]
fn values_come_back_as_they_were() {
    let (trio, _) = Trio::with(1);
    let large = "x".repeat(120_000);
    for value in [
        "",
        " ",
        "-",
        "--",
        "-v",
        "-7",
        "two  words",
        "a\"b'c\\n",
        "a\nb\n",
        "\u{1F980} ä",
        "%41&=+",
        &large,
    ] {
        trio.put(1, value);
        assert_eq!(trio.get(1).as_deref(), Some(value));
    }
}

#[test]
fn mistakes_end_with_one_and_a_message() {
    for (arguments, part) in [
        (&["-o", "GET", "-k", "1", "-d", "0"][..], "-m"),
        (&["-o", "GET", "-k", "1", "-d", "1"], "-p"),
        (&["-o", "GET", "-k", "1.5", "-d", "1", "-p", "4000"], "1.5"),
        (&["-o", "GET", "-k", "1", "-d", "1", "-p", "70000"], "70000"),
        (&["-o", "PUT", "-k", "1", "-d", "1", "-p", "4000"], "-v"),
        (&["-o", "PULL", "-k", "1", "-d", "1", "-p", "4000"], "PULL"),
        (&["-x"], "-x"),
        (&[], "-k"),
    ] {
        let output = clt(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(
            complaint(&output).contains(part),
            "{arguments:?}: {}",
            complaint(&output)
        );
    }
    let nobody = free_ports().to_string();
    let output = clt(&["-o", "GET", "-k", "1", "-d", "1", "-p", &nobody]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(
        complaint(&output).contains("nothing listens there"),
        "{}",
        complaint(&output)
    );
}

/// The exit code and the complaint of a server that cannot start.
fn refused(program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(command(program).args(arguments));
    (output.status.code(), complaint(&output))
}

#[test]
fn servers_that_cannot_start_say_why() {
    let trio = Trio::new();
    let taken = trio.master_port.to_string();
    wait_for("the master", || {
        std::net::TcpStream::connect(("127.0.0.1", trio.master_port)).ok()
    });
    for (program, arguments, code, part) in [
        (MASTER, &["-p", &taken][..], 1, "taken"),
        (SVR, &["-p", &taken, "-m", "4000"], 1, "taken"),
        (MASTER, &[], 64, "-p"),
        (MASTER, &["-p", "0"], 64, "0"),
        (SVR, &["-p", "4000"], 64, "-m"),
        (SVR, &["-p", "x", "-m", "4000"], 64, "x"),
        (SVR, &["-p", "4000", "-m", "4000"], 64, "one of its own"),
    ] {
        let (ended, told) = refused(program, arguments);
        assert_eq!(ended, Some(code), "{program} {arguments:?}: {told}");
        assert!(told.contains(part), "{program} {arguments:?}: {told}");
    }
}

#[test]
fn sigterm_ends_at_once_and_frees_the_port() {
    let (mut trio, ports) = Trio::with(1);
    let port = ports[0];
    for _ in 0..3 {
        let mut svr = trio.servers.remove(&port).expect("runs");
        let mut master = trio.master.take().expect("runs");
        svr.signal(Signal::TERM);
        master.signal(Signal::TERM);
        let (codes, took) = timed(|| [svr.ended().code(), master.ended().code()]);
        assert_eq!(codes, [Some(0); 2]);
        assert!(took.as_secs() < 2, "{took:?}");
        trio.start_master();
        trio.start(port);
        trio.put(1, "x");
    }
}

#[test]
fn pipes_that_nobody_reads_hold_nobody_up() {
    let mut trio = Trio::nobody();
    let (master, port) = (trio.master_port.to_string(), free_ports());
    trio.master = Some(start(MASTER, &["-p", &master], Stdio::piped));
    let svr = start(SVR, &["-p", &port.to_string(), "-m", &master], Stdio::piped);
    trio.servers.insert(port, svr);
    (0..40).for_each(|key| trio.put(key, &"x".repeat(20_000)));
    // Nothing has been written so far: the pipe of a process that writes fills up sooner or later.
    for mut process in [trio.master.take(), trio.servers.remove(&port)]
        .into_iter()
        .flatten()
    {
        process.signal(Signal::TERM);
        assert_eq!(process.ended().into_raw(), 0);
        let said = [
            process.0.stdout.take().map(std::io::read_to_string),
            process.0.stderr.take().map(std::io::read_to_string),
        ];
        for text in said.into_iter().flatten() {
            assert_eq!(text.expect("is text"), "");
        }
    }
}

#[test]
fn a_client_gives_up_on_frozen_servers() {
    let (trio, ports) = Trio::with(1);
    trio.put(1, "x");
    let (svr, master) = (&trio.servers[&ports[0]], trio.master.as_ref().expect("runs"));
    svr.signal(Signal::STOP);
    let (output, took) = timed(|| trio.straight(ports[0], &["-o", "GET", "-k", "1"]));
    assert_eq!(
        (output.status.code(), took < GIVES_UP),
        (Some(1), true),
        "{took:?}"
    );
    svr.signal(Signal::CONT);
    master.signal(Signal::STOP);
    let (output, took) = timed(|| trio.ask(&["-o", "PUT", "-k", "1", "-v", "y"]));
    assert_eq!(
        (output.status.code(), took < GIVES_UP),
        (Some(1), true),
        "{took:?}"
    );
    assert!(
        complaint(&output).contains("gave up after 4.5s"),
        "{}",
        complaint(&output)
    );
    master.signal(Signal::CONT);
    trio.put(1, "z");
    assert_eq!(value(&trio.ask(&["-o", "GET", "-k", "1"])), "z");
}
