//! Servers join while clients read and write, and while others are killed.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use causeway::apps::master_svr::decisions::Server;
use rustix::process::Signal;

use super::processes::Trio;
use crate::support::ports::free_ports;
use crate::support::waiting::until;

const CLIENTS: i64 = 3;

/// A client that repeatedly puts its own keys and reads them back, until told to stop. Returns its last
/// put of each.
fn keep_writing(trio: &Trio, keys: Range<i64>, stop: &AtomicBool) -> Vec<(i64, String)> {
    let mut last: Vec<(i64, String)> = keys.map(|key| (key, String::new())).collect();
    for round in 0.. {
        for (key, value) in &mut last {
            *value = format!("{key} in round {round}");
            trio.put(*key, value);
            assert_eq!(trio.get(*key).as_ref(), Some(&*value));
            if stop.load(Ordering::Relaxed) && round > 0 {
                return last;
            }
        }
    }
    unreachable!("rounds do not end by themselves")
}

/// Lets clients write during `happen`.
fn under_load(trio: &mut Trio, mut happen: impl FnMut(&mut Trio)) {
    let stop = AtomicBool::new(false);
    let observer = trio.observer();
    let written = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let keys = -30 + client * 20..-10 + client * 20;
                let (observer, stop) = (&observer, &stop);
                scope.spawn(move || keep_writing(observer, keys, stop))
            })
            .collect();
        // Also if it fails: otherwise the clients would go on for ever.
        let happened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| happen(trio)));
        stop.store(true, Ordering::Relaxed);
        let written: Vec<_> = clients
            .into_iter()
            .flat_map(|client| client.join().expect("all went well"))
            .collect();
        happened.map_or_else(|panic| std::panic::resume_unwind(panic), |()| written)
    });
    for (key, value) in written {
        assert_eq!(trio.get(key), Some(value));
    }
}

#[test]
fn requests_succeed_while_servers_join() {
    let (mut trio, _) = Trio::with(1);
    under_load(&mut trio, |trio| {
        for _ in 0..3 {
            trio.join();
        }
    });
}

#[test]
fn many_join_at_once_and_each_gets_a_shard() {
    let (mut trio, first) = Trio::with(1);
    (0..200).for_each(|key| trio.put(key, &key.to_string()));
    let ports: Vec<u16> = (0..4).map(|_| free_ports()).collect();
    ports.iter().for_each(|port| trio.start(*port));
    until("all to join", || {
        let owners: Vec<u16> = (0..5).filter_map(|key| trio.owner(key)).collect();
        owners[..1] == first[..] && ports.iter().all(|port| owners.contains(port))
    });
    for key in 0..200 {
        assert_eq!(trio.get(key), Some(key.to_string()));
    }
}

/// Values large enough that moving them takes a while.
fn fill(trio: &Trio, keys: Range<i64>) {
    let value = "x".repeat(100_000);
    thread::scope(|scope| {
        for half in [0, 1] {
            let (keys, value) = (keys.clone(), &value);
            scope.spawn(move || {
                keys.filter(|key| key % 2 == half)
                    .for_each(|key| trio.put(key, value))
            });
        }
    });
}

#[test]
fn a_server_that_is_killed_while_it_joins_takes_nothing_along() {
    let (mut trio, _) = Trio::with(2);
    fill(&trio, 0..120);
    under_load(&mut trio, |trio| {
        // At a different point of the join each time.
        for looks in [0, 2, 4, 8, 16] {
            let port = free_ports();
            trio.start(port);
            (0..looks).for_each(|_| assert_ne!(trio.owner(1), None));
            let joiner = trio.servers.remove(&port).expect("runs");
            joiner.signal(Signal::STOP);
            // Its earlier messages may still be in flight.
            if (0..200).any(|look| trio.owner(look % 3) == Some(port)) {
                joiner.signal(Signal::CONT);
                trio.servers.insert(port, joiner);
                break;
            }
            joiner.kill();
        }
    });
    for key in 30..120 {
        assert_eq!(trio.get(key).map(|value| value.len()), Some(100_000), "{key}");
    }
}

#[test]
fn a_joiner_that_nobody_can_reach_holds_nobody_up() {
    let (mut trio, _) = Trio::with(1);
    (0..20).for_each(|key| trio.put(key, &key.to_string()));
    // It has called the master once, and is gone when pairs are sent to it.
    trio.call_as(Server {
        port: free_ports(),
        run: 1,
    });
    trio.join();
    for key in 0..20 {
        assert_eq!(trio.get(key), Some(key.to_string()));
    }
}

#[test]
fn joins_go_on_when_the_master_is_killed_and_started_again() {
    let (mut trio, _) = Trio::with(1);
    fill(&trio, 0..60);
    for _ in 0..3 {
        let port = free_ports();
        trio.start(port);
        trio.kill_master();
        trio.start_master();
        trio.await_shards(port);
    }
    for key in 0..60 {
        assert_eq!(trio.get(key).map(|value| value.len()), Some(100_000), "{key}");
    }
}
