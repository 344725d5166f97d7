//! Servers that are killed or frozen: puts soon go to the living, and no old value returns.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::processes::Trio;
use crate::support::waiting::timed;
use crate::support::waiting::wait_for;

/// The promised time; a busy machine may delay the test itself.
const NOTICED: Duration = Duration::from_millis(2500);

/// Waits until the shards of the living are numbered without gaps.
fn await_owners(trio: &Trio, owners: &[u16]) -> Duration {
    let closed = || {
        let named = (0..)
            .zip(owners)
            .all(|(key, port)| trio.owner(key) == Some(*port));
        named.then_some(())
    };
    timed(|| wait_for("the dead to be missed", closed)).1
}

#[test]
fn puts_go_to_the_living_soon_after_a_server_was_killed() {
    let (mut trio, ports) = Trio::with(3);
    (0..60).for_each(|key| trio.put(key, "before"));
    trio.servers.remove(&ports[1]).expect("runs").kill();
    let (_, took) = timed(|| trio.put(1, "after"));
    assert!(took < NOTICED, "{took:?}");
    assert!(await_owners(&trio, &[ports[0], ports[2]]) < NOTICED);

    // The dead server's keys are gone; later puts and all keys of the living are there.
    assert_eq!(trio.get(1).as_deref(), Some("after"));
    for key in 2..60 {
        let expected = (key % 3 != 1).then_some("before");
        assert_eq!(trio.get(key).as_deref(), expected, "{key}");
    }
    for (key, port) in [(0, ports[0]), (1, ports[2]), (4, ports[0]), (5, ports[2])] {
        let key = key.to_string();
        let stored = trio.straight(port, &["-o", "PUT", "-k", &key, "-v", "straight"]);
        assert_eq!(stored.status.code(), Some(0), "{key}");
    }
}

#[test]
fn a_server_that_is_killed_amid_puts_loses_only_its_own() {
    let (mut trio, ports) = Trio::with(3);
    (0..30).for_each(|key| trio.put(key, "before"));
    let victim = trio.servers.remove(&ports[0]).expect("runs");
    let observer = trio.observer();
    std::thread::scope(|scope| {
        let clients = [0..10, 10..20, 20..30].map(|keys| {
            let observer = &observer;
            scope.spawn(move || keys.for_each(|key| observer.put(key, "after")))
        });
        victim.kill();
        clients
            .into_iter()
            .for_each(|client| client.join().expect("every put succeeds"));
    });
    await_owners(&trio, &ports[1..]);
    for key in 0..30 {
        let found = trio.get(key);
        let is_gone = key % 3 == 0 && found.is_none();
        assert!(is_gone || found.as_deref() == Some("after"), "{key}: {found:?}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "real processes take real time")]
fn a_server_that_stood_still_brings_nothing_old_back() {
    let (trio, ports) = Trio::with(2);
    (0..10).for_each(|key| trio.put(key, "before"));
    let frozen = &trio.servers[&ports[0]];
    let since = Instant::now();
    frozen.signal(Signal::STOP);
    trio.put(0, "after");
    assert!(since.elapsed() < NOTICED, "{:?}", since.elapsed());
    frozen.signal(Signal::CONT);
    // Asked at once, it knows that it may have been expelled.
    let straight = trio.straight(ports[0], &["-o", "GET", "-k", "0"]);
    assert_ne!(straight.stdout, b"before\n");
    await_owners(&trio, &[ports[1], ports[0]]);
    assert_eq!(trio.get(0).as_deref(), Some("after"));
    for key in 1..10 {
        let expected = (key % 2 == 1).then_some("before");
        assert_eq!(trio.get(key).as_deref(), expected, "{key}");
    }
}

#[test]
fn two_of_three_may_die_at_once() {
    let (mut trio, ports) = Trio::with(3);
    (0..12).for_each(|key| trio.put(key, "before"));
    for port in &ports[..2] {
        trio.servers.remove(port).expect("runs").kill();
    }
    await_owners(&trio, &[ports[2], ports[2], ports[2]]);
    for key in 0..12 {
        let expected = (key % 3 == 2).then_some("before");
        assert_eq!(trio.get(key).as_deref(), expected, "{key}");
    }
}
