//! Master and servers are started and restarted in any order.

use super::processes::Trio;
use crate::support::ports::free_ports;
use crate::support::running::Running;
use crate::support::running::complaint;
use crate::support::waiting::{until, wait_for};

#[test]
fn servers_wait_for_their_master() {
    let mut trio = Trio::nobody();
    let ports = [free_ports(), free_ports()];
    for port in ports {
        trio.start(port);
        wait_for("a server", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }
    // No server knows the owner of the key yet.
    let early = trio.straight(ports[0], &["-o", "GET", "-k", "0"]);
    assert_eq!(early.status.code(), Some(2), "{}", complaint(&early));
    trio.start_master();
    trio.put(0, "x");
    until("both", || {
        (trio.owner(0), trio.owner(1)).eq(&(Some(ports[0]), Some(ports[1])))
    });
    assert_eq!(trio.straight(ports[0], &["-o", "GET", "-k", "0"]).stdout, b"x\n");
}

#[test]
fn a_master_that_is_started_again_learns_everything_from_the_servers() {
    let (mut trio, ports) = Trio::with(3);
    (0..30).for_each(|key| trio.put(key, &key.to_string()));
    for round in 0..2 {
        trio.kill_master();
        // While the master is down, servers answer clients that know the owner.
        for (key, port) in [("0", ports[0]), ("4", ports[1]), ("5", ports[2])] {
            assert_eq!(
                trio.straight(port, &["-o", "GET", "-k", key]).stdout,
                format!("{key}\n").as_bytes()
            );
            assert_eq!(
                trio.straight(port, &["-o", "PUT", "-k", key, "-v", key])
                    .status
                    .code(),
                Some(0)
            );
        }
        trio.start_master();
        // At once: the client waits until the master knows the owners.
        for key in (0..30).filter(|key| key % 2 == round) {
            assert_eq!(trio.get(key), Some(key.to_string()));
        }
        for (key, port) in (0..).zip(&ports) {
            assert_eq!(trio.owner(key), Some(*port));
        }
    }
}

#[test]
fn a_server_that_is_started_again_on_its_port_joins_again() {
    let (mut trio, ports) = Trio::with(2);
    for round in 0..3 {
        (0..10).for_each(|key| trio.put(key, &round.to_string()));
        // It was the first and becomes the last.
        let port = trio.owner(0).expect("somebody owns it");
        assert!(ports.contains(&port));
        trio.servers.remove(&port).expect("runs").kill();
        trio.start(port);
        trio.await_shards(port);
        for key in 0..10 {
            let expected = (key % 2 == 1).then(|| round.to_string());
            assert_eq!(trio.get(key), expected, "{key} in round {round}");
        }
    }
}

#[test]
fn a_client_waits_for_a_master_that_is_just_being_started() {
    let (mut trio, _) = Trio::with(1);
    trio.kill_master();
    std::thread::scope(|scope| {
        let observer = trio.observer();
        let client = scope.spawn(move || observer.put(1, "x"));
        trio.start_master();
        client.join().expect("the put succeeds");
    });
    assert_eq!(trio.get(1).as_deref(), Some("x"));
}

#[test]
fn everybody_may_be_killed_and_started_in_the_wrong_order() {
    let (mut trio, ports) = Trio::with(2);
    trio.put(1, "before");
    trio.kill_master();
    std::mem::take(&mut trio.servers)
        .into_values()
        .for_each(Running::kill);
    for port in ports.iter().rev() {
        trio.start(*port);
    }
    trio.start_master();
    assert_eq!(trio.get(1), None);
    trio.put(1, "after");
    assert_eq!(trio.get(1).as_deref(), Some("after"));
}
