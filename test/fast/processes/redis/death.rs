//! Servers that die unannounced, and a shell that does.

use std::collections::BTreeMap;

use rustix::process::Signal;

use super::rig::{Shell, copies, inside, servers_on};
use crate::support::running::signal_to;
use crate::support::waiting::until;

#[test]
fn a_death_that_nobody_announced_is_noticed_and_repaired_without_a_command() {
    let mut shell = Shell::up(4, 10, 2, &[]);
    for key in 0..12 {
        shell.expect(&[(&format!("put({key},{key})"), "ok replicas=2 target=2")]);
    }
    let (dead, living) = (
        shell.base_port + 1,
        shell.ports(4).filter(|port| *port != shell.base_port + 1),
    );
    let living: Vec<u16> = living.collect();
    signal_to(shell.pid_of(dead), Signal::KILL);
    until("two copies of each key", || {
        let is_whole = |key: i64| copies(living.iter().copied(), key) == [key, key];
        (0..12).all(is_whole)
    });
    let status = shell.status();
    assert_eq!(
        (&status["live"], &status["under_replicated"], &status["lost"]),
        (&3.into(), &0.into(), &0.into())
    );
    let answer = shell.ask(&format!("failNode({dead})"));
    assert_eq!(
        answer,
        format!("error: the server on port {dead} is already dead")
    );
}

#[test]
fn puts_go_on_while_servers_die_in_the_midst_of_them() {
    let mut shell = Shell::up(5, 400, 2, &[]);
    let mut pairs = BTreeMap::new();
    let mut living: Vec<u16> = shell.ports(5).collect();
    for victim in [3, 0, 1] {
        let pid = shell.pid_of(living[victim]);
        living.remove(victim);
        // The commands are in flight when the server dies: new keys, and new values of old ones.
        let round = i64::try_from(living.len()).expect("is small");
        let keys: Vec<i64> = (0..150).map(|number| number * 7 % 200 + round).collect();
        let puts: Vec<String> = keys
            .iter()
            .map(|key| format!("put({key},{})\n", key * round))
            .collect();
        shell.tell(&puts[..50].concat());
        signal_to(pid, Signal::KILL);
        shell.tell(&puts[50..].concat());
        for key in keys {
            assert_eq!(shell.answer(), "ok replicas=2 target=2");
            pairs.insert(key, key * round);
        }
        // The puts may not have detected a death near their end.
        assert_eq!(shell.status()["live"], living.len());
        for (key, value) in &pairs {
            assert_eq!(copies(living.iter().copied(), *key), [*value; 2], "key {key}");
        }
    }
}

#[test]
fn gets_find_the_other_copy_at_once() {
    let mut shell = Shell::up(3, 10, 2, &[]);
    shell.expect(&[
        ("put(1,10)", "ok replicas=2 target=2"),
        ("put(2,20)", "ok replicas=2 target=2"),
    ]);
    for port in shell.ports(2) {
        signal_to(shell.pid_of(port), Signal::KILL);
        shell.expect(&[("get(1)", "10"), ("get(2)", "20"), ("get(3)", "not found")]);
    }
}

#[test]
fn when_the_last_copy_dies_the_key_is_lost() {
    let mut shell = Shell::up(1, 10, 1, &[]);
    shell.expect(&[("put(1,10)", "ok replicas=1 target=1")]);
    let pid = shell.pid_of(shell.base_port);
    signal_to(pid, Signal::KILL);
    shell.expect(&[
        ("get(1)", "lost"),
        ("get(2)", "not found"),
        ("put(1,11)", "unavailable"),
        ("get(1)", "lost"),
    ]);
}

#[test]
fn a_killed_shell_leaves_no_server() {
    let mut shell = Shell::up(5, 3, 2, &[]);
    assert_eq!(servers_on(shell.block()).len(), 5);
    shell.signal(Signal::KILL);
    assert_eq!(shell.ended().code(), None);
    until("the end of the servers", || servers_on(shell.block()).is_empty());
}

#[test]
fn a_shell_that_is_killed_while_servers_start_leaves_none() {
    let mut killed = Vec::new();
    for count in 0..10 {
        let mut shell = Shell::start(&[]);
        shell.tell("bringUp(10,3,2)\n");
        // Each time at another point: between fork, setpriv, shell, redis-server and its first answer.
        until("some servers", || servers_on(shell.block()).len() >= count);
        shell.signal(Signal::KILL);
        assert_eq!(shell.ended().code(), None);
        killed.push(shell);
    }
    until("the end of the servers", || {
        let mut left = killed.iter().flat_map(|shell| servers_on(shell.block()));
        left.next().is_none()
    });
}

#[test]
fn a_cut_connection_is_made_anew_and_loses_nothing() {
    let mut shell = Shell::up(1, 10, 1, &[]);
    shell.expect(&[("put(1,10)", "ok replicas=1 target=1")]);
    for value in ["10", "11", "12"] {
        let killed: i64 = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
            .query(&mut inside(shell.base_port))
            .expect("is a number");
        assert!(killed >= 1, "the sharder is connected");
        shell.expect(&[("get(1)", value)]);
        let next = value.parse::<i64>().expect("a number") + 1;
        shell.expect(&[(&format!("put(1,{next})"), "ok replicas=1 target=1")]);
    }
    assert_eq!(shell.status()["live"], 1);
}

#[test]
fn copies_that_a_stranger_removed_are_made_again() {
    let mut shell = Shell::up(2, 10, 2, &[]);
    shell.expect(&[("put(1,10)", "ok replicas=2 target=2")]);
    for port in shell.ports(2) {
        let _: () = redis::cmd("FLUSHALL").query(&mut inside(port)).expect("is done");
        // The sharder may read either of the two; it finds the value in both cases.
        shell.expect(&[("get(1)", "10")]);
        shell.expect(&[("put(1,10)", "ok replicas=2 target=2")]);
        assert_eq!(copies(shell.ports(2), 1), [10, 10]);
    }
}
