//! Tests the lab as people and programs use it: real processes, stopped in order and killed.

mod program;

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::history::History;
use crate::support::oracle::{Rules, judge};
use crate::support::ports::free_ports;
use crate::support::running::{CAUSEWAY, Running, causeway, command, complaint, signal_to};
use crate::support::waiting::{until, wait_for};
use program::{Lab, ask, done, keys_held, lives, read};

#[test]
fn a_key_outlives_a_killed_node_and_the_lab() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab_folder = folder.path().join("lab");
    let session = folder.path().join("session");
    let session = session.to_str().expect("is text");

    let lab = Lab::new(&lab_folder);
    let [first, second, proxy] = &lab.nodes[..] else {
        panic!("{:?}", lab.nodes);
    };
    let roles = [first, second, proxy].map(|node| node.role.as_str());
    assert_eq!(roles, ["replica", "replica", "proxy"]);

    done(first, &["put", "x", "1", "--session", session]);
    let get = || read(proxy, &["get", "x", "--session", session]);
    assert_eq!(wait_for("the proxy's answer", get), "1");
    // The write has one copy if the machine is too busy for a second acknowledgement in time.
    wait_for("the second copy", || keys_held(second).filter(|keys| *keys == 1));

    signal_to(first.pid, Signal::KILL);
    for survivor in [proxy, second] {
        let get = || read(survivor, &["get", "x", "--session", session]);
        assert_eq!(wait_for("a survivor's answer", get), "1");
    }
    until("the news", || lab.said().contains("has ended"));
    let before = lab.nodes.clone();
    lab.stop();

    let lab = Lab::again(&lab_folder);
    for (node, before) in lab.nodes.iter().zip(&before) {
        assert_eq!((&node.address, &node.role), (&before.address, &before.role));
        let get = || read(node, &["get", "x", "--session", session]);
        assert_eq!(wait_for("an answer", get), "1");
    }
    lab.stop();
}

#[test]
fn a_killed_lab_leaves_no_node_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab_folder = folder.path().join("lab");
    let mut lab = Lab::new(&lab_folder);
    done(&lab.nodes[0], &["put", "x", "1"]);

    lab.process.signal(Signal::KILL);
    assert_eq!(lab.process.ended().code(), None);
    until("the end of every node", || {
        lab.nodes.iter().all(|node| !lives(node.pid))
    });

    let lab = Lab::again(&lab_folder);
    assert_eq!(done(&lab.nodes[0], &["get", "x"]), "1");
    lab.stop();
}

#[test]
fn the_command_that_is_shown_starts_a_killed_node_again() {
    let folder = tempfile::tempdir().expect("a folder");
    // The path has a space, which the command must quote.
    let lab = Lab::new(&folder.path().join("my lab"));
    let node = &lab.nodes[1];
    signal_to(node.pid, Signal::KILL);
    let shown = wait_for("the command", || {
        let said = lab.said();
        let line = said.lines().find(|line| line.contains("serve --ipport"))?;
        Some(line.trim().to_owned())
    });

    // As a user's shell starts it.
    let mut restarted = Running::start(command("/bin/sh").args(["-c", &format!("exec {shown}")]));
    until("the news", || {
        lab.said().contains(&format!("{} answers again", node.address))
    });
    done(node, &["put", "x", "1"]);
    restarted.signal(Signal::TERM);
    assert_eq!(restarted.ended().code(), Some(0));
    lab.stop();
}

#[test]
fn a_spare_waits_to_be_added_and_still_does_when_the_lab_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab_folder = folder.path().join("lab");
    let base_port = free_ports().to_string();
    let arguments = [
        "--nodes",
        "2",
        "--k",
        "2",
        "--spare",
        "2",
        "--base-port",
        &base_port,
    ];
    let mut lab = Lab::start(&lab_folder, &arguments);
    let addresses: Vec<String> = lab.spares.iter().map(|spare| spare.address.clone()).collect();
    for _ in 0..2 {
        assert_eq!((lab.nodes.len(), lab.spares.len()), (2, 2));
        for (spare, address) in lab.spares.iter().zip(&addresses) {
            assert_eq!((spare.role.as_str(), &spare.address), ("waiting", address));
            let view = done(spare, &["view"]);
            assert!(view.contains("in no view"), "{view}");
            let put = ask(spare, &["put", "x", "1"]);
            assert_eq!(put.status.code(), Some(1), "a spare takes no keys");
        }
        let view = done(&lab.nodes[0], &["view"]);
        assert!(
            view.contains(&lab.nodes[1].address) && !view.contains(&addresses[0]),
            "{view}"
        );
        lab.stop();
        lab = Lab::again(&lab_folder);
    }
    lab.stop();
}

#[test]
fn a_bench_counts_what_it_asked_and_what_was_answered_wrongly() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Lab::new(&folder.path().join("lab"));
    let node = &lab.nodes[2];
    let bench = ["bench", "--clients", "2", "--seconds", "1", "--json"];
    let with = |more: &[&'static str]| [&bench[..], more].concat();

    let told = done(node, &with(&["--keys", "20", "--fill", "--each-second"]));
    let parts: Vec<Value> = told.lines().map(|line| line.parse().expect("is JSON")).collect();
    let [filled, ran] = &parts[..] else {
        panic!("{told}");
    };
    assert_eq!(
        (&filled["part"], &filled["waits"]["requests"]),
        (&"fill".into(), &20.into())
    );
    assert_eq!(
        (&ran["failed"], &ran["reasons"]),
        (&0.into(), &Value::Array(Vec::new()))
    );
    let seconds = ran["each_second"].as_array().expect("is a list");
    let of_seconds = seconds
        .iter()
        .map(|second| second["requests"].as_u64().expect("a number"));
    assert_eq!(ran["waits"]["requests"].as_u64(), Some(of_seconds.sum()));

    // Half of these keys were never written, although `--filled` says that all were.
    let output = ask(node, &with(&["--keys", "40", "--filled", "--writes", "0"]));
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    let reason = told["reasons"][0].as_str().expect("a reason is given");
    assert!(reason.contains("no such key"), "{reason}");
    lab.stop();
}

#[test]
fn a_bench_leaves_a_history_that_can_be_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Lab::new(&folder.path().join("lab"));
    let file = folder.path().join("history");
    let path = file.to_str().expect("is text");
    let all: Vec<&str> = lab.nodes.iter().map(|node| node.address.as_str()).collect();
    let nodes = all.join(",");
    let bench = [
        "bench",
        "--clients",
        "2",
        "--keys",
        "8",
        "--seconds",
        "1",
        "--fill",
    ];
    let output = causeway(&[&bench[..], &["--node", &nodes, "--history", path]].concat());
    assert!(output.status.success(), "{}", complaint(&output));
    let history: History = std::fs::read_to_string(&file)
        .expect("is text")
        .parse()
        .expect("is a history");
    let verdict = judge(&history, &Rules::default());
    assert!(verdict.is_clean(), "{}", verdict.explain(&history));
    assert!(
        verdict.counts.acknowledged > 8 && verdict.counts.bound > 8,
        "{verdict}"
    );
    lab.stop();
}

#[test]
fn a_bench_that_is_interrupted_tells_what_it_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Lab::new(&folder.path().join("lab"));
    let node = &lab.nodes[0];
    let bench = ["bench", "--seconds", "600", "--keys", "10", "--json"];
    let mut command = command(CAUSEWAY);
    command.args(bench).args(["--node", &node.address]);
    let mut bench = Running::start(command.stdout(Stdio::piped()));
    wait_for("its first write", || keys_held(node).filter(|keys| *keys > 0));
    bench.signal(Signal::INT);
    assert_eq!(bench.ended().code(), Some(0));
    let told = std::io::read_to_string(bench.0.stdout.take().expect("is piped")).expect("is text");
    let told: Value = told.parse().expect("is JSON");
    assert!(told["waits"]["requests"].as_u64() > Some(0), "{told}");
    lab.stop();
}
