//! Room and copies: which keys fit, which are copied when a server fails, which are lost.

use std::collections::BTreeMap;

use super::rig::{Shell, copies, inside, keys_in};

/// Reads every living server: none exceeds its capacity, and each key has `replicas` equal copies.
#[track_caller]
fn assert_copies(ports: &[u16], capacity: u64, pairs: &BTreeMap<i64, i64>, replicas: usize) {
    for port in ports {
        assert!(keys_in(*port) <= capacity, "{port} has {} pairs", keys_in(*port));
    }
    for (key, value) in pairs {
        assert_eq!(
            copies(ports.iter().copied(), *key),
            vec![*value; replicas],
            "key {key}"
        );
    }
}

/// Puts new keys until there is no room; returns the number of keys.
fn fill(shell: &mut Shell, pairs: &mut BTreeMap<i64, i64>) -> usize {
    for key in i64::try_from(pairs.len()).expect("is small").. {
        match shell.ask(&format!("put({key},{})", key * 10)).as_str() {
            "capacity exceeded" => break,
            answer => assert!(answer.starts_with("ok replicas="), "{answer}"),
        }
        pairs.insert(key, key * 10);
    }
    pairs.len()
}

#[test]
fn floor_of_live_times_capacity_by_level_keys_fit_and_overwriting_needs_no_room() {
    for (servers, capacity, level) in [(5, 3, 2), (3, 1, 2), (4, 5, 3), (1, 2, 1), (3, 4, 3)] {
        let mut shell = Shell::up(servers, capacity, level, &[]);
        let mut pairs = BTreeMap::new();
        let expected = u64::from(servers) * capacity / u64::from(level);
        assert_eq!(fill(&mut shell, &mut pairs) as u64, expected);
        let ports: Vec<u16> = shell.ports(servers).collect();
        assert_copies(&ports, capacity, &pairs, level.into());

        let stored = format!("ok replicas={level} target={level}");
        shell.expect(&[
            ("put(0,-7)", &stored),
            ("get(0)", "-7"),
            ("put(999,1)", "capacity exceeded"),
        ]);
        shell.expect(&[("get(999)", "not found")]);
        pairs.insert(0, -7);
        assert_copies(&ports, capacity, &pairs, level.into());
    }
}

#[test]
fn copies_are_made_before_a_failure_is_answered() {
    // Four keys fit with both copies on as few as two servers, which are then exactly full.
    let mut shell = Shell::up(6, 4, 2, &[]);
    let mut ports: Vec<u16> = shell.ports(6).collect();
    let pairs = store(&mut shell, 4, "ok replicas=2 target=2");
    for failed in [3, 0, 3, 1] {
        let failed = ports.remove(failed);
        let held = keys_in(failed);
        let answer = shell.ask(&format!("failNode({failed})"));
        assert_eq!(answer, format!("ok copied={held} under-replicated=0 lost=0"));
        // At once: whatever is missing now was missing when it answered.
        assert_copies(&ports, 4, &pairs, 2);
    }
    shell.expect(&[("put(4,40)", "capacity exceeded"), ("get(3)", "30")]);
}

#[test]
fn what_was_promised_fits_after_failures_too() {
    let mut shell = Shell::up(5, 4, 2, &[]);
    let mut ports: Vec<u16> = shell.ports(5).collect();
    let mut pairs = BTreeMap::new();
    for (keys, failed) in [(3, 4), (5, 0)] {
        for key in pairs.len() as i64..keys {
            shell.expect(&[(&format!("put({key},{key})"), "ok replicas=2 target=2")]);
            pairs.insert(key, key);
        }
        shell.ask(&format!("failNode({})", ports.remove(failed)));
    }
    assert_eq!(
        fill(&mut shell, &mut pairs),
        6,
        "three servers with four places each"
    );
    assert_copies(&ports, 4, &pairs, 2);
}

/// Stores `keys` keys from 0 on.
#[track_caller]
fn store(shell: &mut Shell, keys: i64, answer: &str) -> BTreeMap<i64, i64> {
    let pairs: BTreeMap<i64, i64> = (0..keys).map(|key| (key, key * 10)).collect();
    for (key, value) in &pairs {
        shell.expect(&[(&format!("put({key},{value})"), answer)]);
    }
    pairs
}

#[test]
fn a_copy_moves_where_a_repair_has_no_other_room() {
    // When the fourth fails, the only free place is on a server that has the key already.
    let mut shell = Shell::up(4, 2, 2, &[]);
    let pairs = store(&mut shell, 3, "ok replicas=2 target=2");
    let failed = shell.base_port + 3;
    let answer = shell.ask(&format!("failNode({failed})"));
    assert!(answer.ends_with(" under-replicated=0 lost=0"), "{answer}");
    let ports: Vec<u16> = shell.ports(3).collect();
    assert_copies(&ports, 2, &pairs, 2);
    assert!(
        ports.iter().all(|port| keys_in(*port) == 2),
        "the places are all taken"
    );
}

#[test]
fn a_copy_moves_where_a_new_key_has_no_other_room() {
    // After the failures three places are free, on two servers.
    let mut shell = Shell::up(6, 3, 3, &[]);
    let mut pairs = store(&mut shell, 3, "ok replicas=3 target=3");
    for server in [3, 4] {
        let failed = shell.base_port + server;
        let answer = shell.ask(&format!("failNode({failed})"));
        assert!(answer.ends_with(" under-replicated=0 lost=0"), "{answer}");
    }
    let ports = [0, 1, 2, 5].map(|server| shell.base_port + server);
    let with_room = ports.iter().filter(|port| keys_in(**port) < 3);
    assert_eq!(with_room.count(), 2, "too few for three copies");
    shell.expect(&[
        ("put(3,30)", "ok replicas=3 target=3"),
        ("put(4,40)", "capacity exceeded"),
    ]);
    pairs.insert(3, 30);
    assert_copies(&ports, 3, &pairs, 3);
}

#[test]
fn what_has_no_room_stays_under_replicated_and_is_listed() {
    // For each server as the failed one.
    let (servers, capacity) = (4_u16, 3);
    for failed in 0..servers {
        let mut shell = Shell::up(servers, capacity, 2, &[]);
        let mut pairs = BTreeMap::new();
        assert_eq!(fill(&mut shell, &mut pairs), 6);
        shell.ask(&format!("failNode({})", shell.base_port + failed));
        let ports: Vec<u16> = shell
            .ports(servers)
            .filter(|port| *port != shell.base_port + failed)
            .collect();
        let taken: u64 = ports.iter().map(|port| keys_in(*port)).sum();
        assert_eq!(taken, 9, "nine places, twelve copies");
        let status = shell.status();
        assert_eq!(
            (&status["under_replicated"], &status["lost"]),
            (&3.into(), &0.into())
        );
        assert_eq!(status["under_replicated_keys"].as_array().map(Vec::len), Some(3));
        shell.expect(&[("put(100,1)", "capacity exceeded")]);
        for (key, value) in pairs {
            assert_eq!(shell.ask(&format!("get({key})")), value.to_string());
        }
    }
}

#[test]
fn lost_is_not_absent_and_a_lost_key_can_be_put_again() {
    let mut shell = Shell::up(2, 5, 1, &[]);
    let (first, second) = (shell.base_port, shell.base_port + 1);
    shell.expect(&[
        ("put(1,10)", "ok replicas=1 target=1"),
        ("put(2,20)", "ok replicas=1 target=1"),
    ]);
    assert_eq!((copies([first], 1), copies([second], 2)), (vec![10], vec![20]));
    shell.expect(&[
        (
            &format!("failNode({first})"),
            "ok copied=0 under-replicated=0 lost=1",
        ),
        (
            &format!("failNode({first})"),
            &format!("error: the server on port {first} is already dead"),
        ),
        ("get(1)", "lost"),
        ("get(2)", "20"),
        ("get(3)", "not found"),
    ]);
    assert_eq!(shell.status()["lost_keys"], serde_json::json!([1]));
    shell.expect(&[
        ("put(1,11)", "ok replicas=1 target=1"),
        ("get(1)", "11"),
        (
            &format!("failNode({second})"),
            "ok copied=0 under-replicated=0 lost=2",
        ),
        ("get(1)", "lost"),
        ("get(3)", "not found"),
        ("put(3,30)", "unavailable"),
        ("get(3)", "not found"),
    ]);
}

#[test]
fn with_fewer_servers_than_copies_puts_are_degraded_and_a_strict_sharder_refuses_them() {
    for is_strict in [false, true] {
        let mut shell = Shell::up(3, 3, 2, if is_strict { &["--strict"] } else { &[] });
        let last = shell.base_port + 2;
        shell.expect(&[("put(1,10)", "ok replicas=2 target=2")]);
        for port in shell.ports(2) {
            assert!(shell.ask(&format!("failNode({port})")).ends_with(" lost=0"));
        }
        if is_strict {
            for put in ["put(1,11)", "put(2,20)"] {
                let answer = shell.ask(put);
                assert!(answer.starts_with("error: only 1 of the 2 servers"), "{answer}");
            }
            shell.expect(&[("get(1)", "10"), ("get(2)", "not found")]);
            assert_eq!((copies([last], 1), keys_in(last)), (vec![10], 1));
        } else {
            shell.expect(&[
                ("put(1,11)", "ok replicas=1 target=2 degraded"),
                ("put(2,20)", "ok replicas=1 target=2 degraded"),
                ("get(1)", "11"),
                ("get(2)", "20"),
            ]);
            assert_eq!(shell.status()["under_replicated"], 2);
        }
    }
}

#[test]
fn the_server_itself_refuses_a_key_for_which_it_has_no_room() {
    let mut shell = Shell::up(2, 2, 2, &[]);
    shell.expect(&[("put(1,10)", "ok replicas=2 target=2")]);
    // A foreign key that the sharder does not know takes the last place of one of them.
    let second = shell.base_port + 1;
    let _: () = redis::cmd("SET")
        .arg("stranger")
        .arg(1)
        .query(&mut inside(second))
        .expect("is set");
    shell.expect(&[("put(2,20)", "capacity exceeded"), ("get(2)", "not found")]);
    assert_eq!(
        copies(shell.ports(2), 2),
        [0; 0],
        "nothing is left on the other one"
    );
    assert_eq!(keys_in(second), 2);
    shell.expect(&[("put(1,11)", "ok replicas=2 target=2"), ("get(1)", "11")]);
    assert_eq!(copies(shell.ports(2), 1), [11, 11]);
}
