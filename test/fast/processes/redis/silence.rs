//! Servers that live and do not answer: stopped, as an overloaded machine may stop them.

use rustix::process::Signal;

use super::rig::{Shell, copies, keys_in};
use crate::support::running::signal_to;
use crate::support::waiting::{until, wait_for};

#[test]
fn a_silent_server_is_given_up_if_nothing_is_lost_by_it() {
    let mut shell = Shell::up(3, 10, 2, &[]);
    for key in 0..6 {
        shell.expect(&[(&format!("put({key},{key})"), "ok replicas=2 target=2")]);
    }
    let silent = shell.base_port;
    signal_to(shell.pid_of(silent), Signal::STOP);
    for key in 0..6 {
        shell.expect(&[(&format!("put({key},{})", key + 100), "ok replicas=2 target=2")]);
    }
    let living = silent + 1..silent + 3;
    for key in 0..6 {
        assert_eq!(copies(living.clone(), key), [key + 100; 2], "key {key}");
    }
    let status = shell.status();
    assert_eq!((&status["live"], &status["lost"]), (&2.into(), &0.into()));
}

#[test]
fn what_only_a_silent_server_has_is_unavailable_until_it_answers() {
    let mut shell = Shell::up(2, 10, 1, &[]);
    let (first, second) = (shell.base_port, shell.base_port + 1);
    shell.expect(&[
        ("put(1,10)", "ok replicas=1 target=1"),
        ("put(2,20)", "ok replicas=1 target=1"),
    ]);
    assert_eq!(copies([first], 1), [10]);
    let pid = shell.pid_of(first);
    signal_to(pid, Signal::STOP);
    shell.expect(&[
        ("get(1)", "unavailable"),
        ("put(1,11)", "unavailable"),
        // The other server goes on.
        ("get(2)", "20"),
        ("put(2,21)", "ok replicas=1 target=1"),
        ("put(3,30)", "ok replicas=1 target=1"),
        ("get(9)", "not found"),
    ]);
    assert_eq!(copies([second], 3), [30], "new keys go where they are taken");
    assert_eq!(shell.status()["live"], 2);
    signal_to(pid, Signal::CONT);
    until("the answer", || shell.ask("get(1)") == "10");
    shell.expect(&[("put(1,12)", "ok replicas=1 target=1"), ("get(1)", "12")]);
}

#[test]
fn copies_agree_after_a_put_that_was_taken_back() {
    let mut shell = Shell::up(3, 10, 2, &[]);
    let ports: Vec<u16> = shell.ports(3).collect();
    for key in 0..3 {
        shell.expect(&[(&format!("put({key},{key})"), "ok replicas=2 target=2")]);
    }
    assert_eq!(copies([ports[2]], 1), [1]);
    // Two of three: one key is on both, each of the others on one of them.
    let pids = [0, 1].map(|server| shell.pid_of(ports[server]));
    pids.iter().for_each(|pid| signal_to(*pid, Signal::STOP));
    // The first put detects it: the server that answers has the new value already, and undoes it.
    for key in [1, 2, 0] {
        shell.expect(&[(&format!("put({key},{})", key + 100), "unavailable")]);
    }
    pids.iter().for_each(|pid| signal_to(*pid, Signal::CONT));
    for key in 0..3 {
        let value = wait_for("an answer", || {
            shell.ask(&format!("get({key})")).parse::<i64>().ok()
        });
        assert_eq!(value, key);
        assert_eq!(copies(ports.iter().copied(), key), [key; 2], "key {key}");
    }
    // A server that lost some keys and got them back holds no others.
    assert_eq!(ports.iter().map(|port| keys_in(*port)).sum::<u64>(), 6);
}

#[test]
fn a_silent_server_can_be_failed_like_any_other() {
    let mut shell = Shell::up(3, 10, 2, &[]);
    shell.expect(&[("put(1,10)", "ok replicas=2 target=2")]);
    let silent = shell.base_port;
    signal_to(shell.pid_of(silent), Signal::STOP);
    let answer = shell.ask(&format!("failNode({silent})"));
    assert_eq!(answer, "ok copied=1 under-replicated=0 lost=0");
    assert_eq!(copies(silent + 1..silent + 3, 1), [10, 10]);
    shell.close_input();
    shell.assert_ended(0);
}
