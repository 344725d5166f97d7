//! kill -9 and SIGSTOP, in the middle of sets, moves and joins.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::stage::{Process, Stage, ask, set_on};
use crate::support::pairs::{asked, keys, pairs};
use crate::support::stopping::StopOnDrop;
use crate::support::waiting::{until, wait_for};

/// The longest time of a request even with several frozen servers, on a machine with other load.
const BOUND: Duration = Duration::from_secs(3);

#[test]
fn keys_of_a_dead_server_fail_and_those_of_the_others_do_not() {
    let stage = Stage::new();
    let [_first, second] = stage.data_servers::<2>();
    let proxy = stage.proxy(8080, &[0, 1]);
    let all = keys("k", 40);
    proxy.set(&pairs(&all, "1"));
    let (dead, alive) = (second.len(), 40 - second.len());
    let address = second.address.clone();
    second.kill();
    let reply = proxy.ask("PUT", "/set", &pairs(&all, "2"));
    assert_eq!((reply.status, &reply.json()["keys_added"]), (206, &json!(alive)));
    let failed = reply.json()["keys_failed"].as_array().expect("is a list").clone();
    assert_eq!(failed.len(), dead);
    assert_eq!(proxy.ask("POST", "/fetch", &json!(failed)).status, 503);
    assert_eq!(proxy.ask("POST", "/query", &json!(failed)).status, 503);
    let reply = proxy.ask("POST", "/fetch", &asked(&all));
    let pairs = reply.list();
    let unavailable = pairs
        .iter()
        .filter(|pair| pair["error"] == "unavailable" && pair["value"].is_null());
    assert_eq!((reply.status, unavailable.count()), (206, dead));
    let listed = proxy.get("/fetch");
    assert_eq!(listed.status, 206);
    assert!(
        listed
            .header("causeway-unreachable")
            .is_some_and(|named| named.starts_with(&*address))
    );
    assert_eq!(listed.list().len(), alive);
    let _second = stage.data_server(9002);
    assert_eq!(proxy.len(), 40, "it comes back with its data");
}

#[test]
fn a_first_request_waits_a_moment_for_servers_that_are_started_after_the_proxy() {
    let stage = Stage::new();
    let proxy = stage.proxy(8080, &[0, 1]);
    let all = keys("k", 40);
    for path in ["/set", "/set?atomic=true"] {
        let began = Instant::now();
        assert_eq!(
            proxy.ask("PUT", path, &pairs(&all, "0")).status,
            400,
            "nobody is there"
        );
        let took = began.elapsed();
        assert!(took > Duration::from_millis(500), "{path} gave up after {took:?}");
    }
    let _servers = stage.data_servers::<2>();
    proxy.set(&pairs(&all, "1"));
    assert_eq!(proxy.len(), 40);
}

#[test]
fn a_frozen_server_costs_a_request_little() {
    let stage = Stage::new();
    let [_first, second] = stage.data_servers::<2>();
    let proxy = stage.proxy(8080, &[0, 1]);
    let all = keys("k", 40);
    proxy.set(&pairs(&all, "1"));
    let asked = asked(&all);
    second.signal(Signal::STOP);
    // The other server's keys are served, even if the list of servers is changing just now.
    for (method, path, body, status) in [
        ("PUT", "/set", pairs(&all, "2"), 206),
        ("PUT", "/set?atomic=true", pairs(&all, "3"), 400),
        ("POST", "/fetch", json!(asked), 206),
        ("POST", "/query", json!(asked), 206),
        ("POST", "/delete", json!(asked), 206),
        ("GET", "/fetch", json!([]), 206),
    ] {
        let began = Instant::now();
        let reply = proxy.ask(method, path, &body);
        let took = began.elapsed();
        assert!(took < BOUND, "{method} {path} took {took:?}");
        assert_eq!(reply.status, status, "{method} {path}: {reply}");
    }
    second.signal(Signal::CONT);
    until("the server that was frozen", || {
        proxy.ask("PUT", "/set", &pairs(&all, "4")).status == 200
    });
}

/// Kills a process in the middle of sets of these keys through a proxy; returns the last confirmed set.
fn kill_amid_sets(victim: &Process, proxy: &str, keys: &[String], next: &AtomicUsize) -> usize {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let began = next.load(Ordering::Relaxed);
        let writer = scope.spawn(|| set_on(proxy, "/set", keys, &stop, next));
        let stopping = StopOnDrop(&stop);
        until("some sets", || next.load(Ordering::Relaxed) > began + 4);
        victim.signal(Signal::KILL);
        drop(stopping);
        writer.join().expect("the writer ends")
    })
}

fn number(value: Option<&String>) -> usize {
    value.expect("was set").parse().expect("is a number")
}

#[test]
fn a_server_killed_in_the_middle_of_a_set_has_its_whole_share_or_nothing() {
    let stage = Stage::new();
    let [mut first, _second] = stage.data_servers::<2>();
    let proxy = stage.proxy(8080, &[0, 1]);
    let all = keys("k", 60);
    let next = AtomicUsize::new(1);
    for _ in 0..6 {
        let confirmed = kill_amid_sets(&first, &proxy.address, &all, &next);
        first.kill();
        first = stage.data_server(9001);
        let listed = first.get("/fetch").list();
        assert!(listed.len() > 10, "has its share");
        let values = listed
            .iter()
            .map(|pair| pair["value"]["data"].as_str().expect("is text"));
        let values: std::collections::BTreeSet<&str> = values.collect();
        assert_eq!(values.len(), 1, "half of a set: {values:?}");
        let value = (*values.first().expect("there is one")).to_owned();
        assert!(
            number(Some(&value)) >= confirmed,
            "{value} is older than {confirmed}"
        );
        until("both servers", || {
            proxy.ask("PUT", "/set", &pairs(&all, "0")).status == 200
        });
    }
}

#[test]
fn a_proxy_killed_in_the_middle_of_a_set_does_no_harm() {
    let stage = Stage::new();
    let _servers = stage.data_servers::<2>();
    let mut proxy = stage.proxy(8080, &[0, 1]);
    let all = keys("k", 30);
    let next = AtomicUsize::new(1);
    proxy.set(&pairs(&all, "0"));
    for _ in 0..4 {
        let confirmed = kill_amid_sets(&proxy, &proxy.address, &all, &next);
        proxy.kill();
        proxy = stage.proxy(8080, &[0, 1]);
        for value in proxy.values(&all) {
            assert!(number(value.as_ref()) >= confirmed);
        }
    }
}

/// Stores so much under many keys that moving them takes several steps.
fn fill(proxy: &Process, all: &[String]) {
    for some in all.chunks(300) {
        proxy.set(&pairs(some, &"x".repeat(500)));
    }
}

fn add_in_the_background(proxy: &Process, server: &str) -> std::thread::JoinHandle<()> {
    let (address, body) = (proxy.address.clone(), json!({"server": server}).to_string());
    std::thread::spawn(move || drop(ask(&address, "POST", "/servers", &body)))
}

#[test]
fn a_join_whose_proxy_is_killed_is_finished_by_another_one() {
    let stage = Stage::new();
    let servers = stage.data_servers::<3>();
    let (doer, watcher) = (stage.proxy(8080, &[0, 1]), stage.proxy(8081, &[0, 1]));
    let all = keys("k", 3000);
    fill(&doer, &all);
    let adding = add_in_the_background(&doer, &servers[2].address);
    until("the first keys to move", || servers[2].len() > 0);
    doer.kill();
    adding.join().expect("it ends");
    assert!(
        watcher.values(&all).iter().all(Option::is_some),
        "while they move"
    );
    until("the end of the join", || watcher.has_settled(3));
    assert!(watcher.values(&all).iter().all(Option::is_some));
    assert_eq!(servers.iter().map(Process::len).sum::<usize>(), 3000);
    assert!(servers[2].len() > 700);
}

#[test]
fn a_join_and_a_removal_go_on_when_a_server_comes_back() {
    let stage = Stage::new();
    let [first, mut second, third] = stage.data_servers::<3>();
    let proxy = stage.proxy(8080, &[0, 1]);
    let all = keys("k", 3000);
    fill(&proxy, &all);
    let adding = add_in_the_background(&proxy, &third.address);
    until("the first keys to move", || third.len() > 0);
    let joining = third.address.clone();
    third.kill();
    adding.join().expect("it ends");
    let third = stage.data_server(9003);
    until("the end of the join", || proxy.has_settled(3));
    assert_eq!(first.len() + second.len() + third.len(), 3000);
    assert!(proxy.values(&all).iter().all(Option::is_some));
    let address = proxy.address.clone();
    let path = format!("/servers/{joining}");
    let removing = std::thread::spawn(move || ask(&address, "DELETE", &path, ""));
    let had = third.len();
    until("keys on their way back", || third.len() < had);
    second.signal(Signal::KILL);
    second.ended();
    let reply = removing.join().expect("it ends").expect("is answered");
    let second = stage.data_server(9002);
    assert!([200, 503].contains(&reply.status), "{reply}");
    until("the end of the removal", || {
        third.len() == 0 && first.len() + second.len() == 3000
    });
    wait_for("all keys", || {
        let reply = proxy.get("/fetch");
        (reply.status == 200 && reply.json().as_array()?.len() == 3000).then_some(())
    });
}
