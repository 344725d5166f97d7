//! Atomic sets over several servers: no reader ever sees half of one, whichever process dies.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;

use super::stage::{Process, Stage, ask, set_on};
use crate::support::pairs::{asked, keys, pairs};
use crate::support::stopping::StopOnDrop;
use crate::support::waiting::{until, wait_for};

const ROUNDS: usize = 12;

const ATOMIC: &str = "/set?atomic=true";

/// The number that all keys have; none if it is unknown now. Two numbers are half of a set.
fn seen(address: &str, all: &[String], listing: bool) -> Option<usize> {
    let reply = match listing {
        true => ask(address, "GET", "/fetch", "")?,
        false => ask(address, "POST", "/fetch", &asked(all).to_string())?,
    };
    if reply.status != 200 {
        return None;
    }
    let pairs = reply.list();
    assert_eq!(pairs.len(), all.len());
    let numbers: Vec<&str> = pairs
        .iter()
        .map(|pair| pair["value"]["data"].as_str().expect("is text"))
        .collect();
    assert!(
        numbers.iter().all(|number| number == &numbers[0]),
        "half of a set: {numbers:?}"
    );
    Some(numbers[0].parse().expect("is a number"))
}

/// Reads until told to stop; returns how often it saw a number.
fn read_on(address: &str, all: &[String], stop: &AtomicBool, listing: bool) -> usize {
    let mut reads = 0;
    let mut newest = 0;
    while !stop.load(Ordering::Relaxed) {
        if let Some(number) = seen(address, all, listing) {
            assert!(number >= newest, "{number} came after {newest}");
            (newest, reads) = (number, reads + 1);
        }
    }
    reads
}

#[test]
fn no_reader_sees_half_though_proxies_are_killed_in_the_middle() {
    let stage = Stage::new();
    let servers = stage.data_servers::<3>();
    let (mut writing, reading) = (stage.proxy(8080, &[0, 1, 2]), stage.proxy(8081, &[0, 1, 2]));
    let all = keys("k", 40);
    writing.set(&pairs(&all, "0"));
    assert!(
        servers.iter().all(|server| server.len() > 0),
        "every server has a share"
    );
    let next = AtomicUsize::new(1);
    let over = AtomicBool::new(false);
    let reads: usize = std::thread::scope(|scope| {
        let readers = [false, true].map(|listing| {
            let (all, over, reading) = (&all, &over, &reading);
            scope.spawn(move || read_on(&reading.address, all, over, listing))
        });
        let ending = StopOnDrop(&over);
        for round in 0..ROUNDS {
            let stop = AtomicBool::new(false);
            let confirmed = std::thread::scope(|scope| {
                let began = next.load(Ordering::Relaxed);
                let writer = scope.spawn(|| set_on(&writing.address, ATOMIC, &all, &stop, &next));
                let stopping = StopOnDrop(&stop);
                let sets = 2 + round % 3;
                until("some sets", || next.load(Ordering::Relaxed) > began + sets);
                writing.signal(Signal::KILL);
                drop(stopping);
                writer.join().expect("the writer ends")
            });
            let found = wait_for("a whole answer", || seen(&reading.address, &all, false));
            assert!(
                found >= confirmed,
                "{found} is older than {confirmed}, which was confirmed"
            );
            writing = restarted(&stage, writing);
        }
        drop(ending);
        readers
            .into_iter()
            .map(|reader| reader.join().expect("saw no half"))
            .sum()
    });
    assert!(reads > ROUNDS, "only {reads} reads");
}

/// A proxy that needs keys held by the dead one waits for them no longer than a request may take. On a
/// machine with other load, now and then one does.
#[test]
fn a_proxy_killed_in_the_middle_fails_no_set_of_another() {
    let stage = Stage::new();
    let _servers = stage.data_servers::<3>();
    let (mut killed, other) = (stage.proxy(8080, &[0, 1, 2]), stage.proxy(8081, &[0, 1, 2]));
    let all = keys("k", 24);
    killed.set(&pairs(&all, "0"));
    let next = AtomicUsize::new(1);
    let mut done = 0;
    for round in 0..ROUNDS {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let began = next.load(Ordering::Relaxed);
            scope.spawn(|| set_on(&killed.address, ATOMIC, &all, &stop, &next));
            let _stopping = StopOnDrop(&stop);
            until("some sets", || {
                next.load(Ordering::Relaxed) > began + 2 + round % 3
            });
            killed.signal(Signal::KILL);
        });
        let way = if round % 2 == 0 {
            "/set?atomic=true"
        } else {
            "/set"
        };
        done += usize::from(other.ask("PUT", way, &pairs(&all, "other")).status == 200);
        killed = restarted(&stage, killed);
    }
    assert!(done > ROUNDS / 2, "only {done} of {ROUNDS} sets were done");
}

fn restarted(stage: &Stage, proxy: Process) -> Process {
    proxy.kill();
    stage.proxy(8080, &[0, 1, 2])
}

#[test]
fn a_server_killed_in_the_middle_comes_back_with_the_whole_or_nothing() {
    let stage = Stage::new();
    let [mut first, _second] = stage.data_servers::<2>();
    let proxy = stage.proxy(8080, &[0, 1]);
    let all = keys("k", 30);
    proxy.set(&pairs(&all, "0"));
    let next = AtomicUsize::new(1);
    let mut newest = 0;
    for round in 0..6 {
        let stop = AtomicBool::new(false);
        let confirmed = std::thread::scope(|scope| {
            let began = next.load(Ordering::Relaxed);
            let writer = scope.spawn(|| set_on(&proxy.address, ATOMIC, &all, &stop, &next));
            let stopping = StopOnDrop(&stop);
            until("some sets", || {
                next.load(Ordering::Relaxed) > began + 2 + round % 2
            });
            first.signal(Signal::KILL);
            drop(stopping);
            writer.join().expect("the writer ends")
        });
        first.kill();
        first = stage.data_server(9001);
        let found = wait_for("a whole answer", || seen(&proxy.address, &all, round % 2 == 0));
        assert!(
            found >= confirmed.max(newest),
            "{found} is older than {confirmed}"
        );
        newest = found;
    }
}

#[test]
fn two_writers_at_two_proxies_never_mix() {
    let stage = Stage::new();
    let _servers = stage.data_servers::<3>();
    let proxies = [stage.proxy(8080, &[0, 1, 2]), stage.proxy(8081, &[2, 1, 0])];
    let all = keys("k", 40);
    proxies[0].set(&pairs(&all, "0"));
    let (stop, next) = (AtomicBool::new(false), AtomicUsize::new(1));
    std::thread::scope(|scope| {
        for proxy in &proxies {
            scope.spawn(|| set_on(&proxy.address, ATOMIC, &all, &stop, &next));
        }
        let _stopping = StopOnDrop(&stop);
        let mut reads = 0;
        until("many sets and reads", || {
            reads += usize::from(seen(&proxies[reads % 2].address, &all, false).is_some());
            reads > 40 && next.load(Ordering::Relaxed) > 40
        });
    });
    assert!(wait_for("a whole answer", || seen(&proxies[0].address, &all, true)) > 0);
}
