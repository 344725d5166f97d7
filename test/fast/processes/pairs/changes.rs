//! Servers that are added and removed while everything is up.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::stage::{Process, Stage};
use crate::support::pairs::{keys, pair, pairs, string};
use crate::support::waiting::{until, wait_for};

const KEYS: usize = 600;

/// The keys that a server stores itself.
fn share(server: &Process) -> BTreeSet<String> {
    let pairs = server.get("/fetch").list();
    let pairs = pairs.iter();
    pairs
        .map(|pair| pair["key"]["data"].as_str().expect("is text").to_owned())
        .collect()
}

/// True if all these keys have this value.
fn hold(proxy: &Process, keys: &[String], value: &str) -> bool {
    let values = proxy.values(keys);
    values.iter().all(|found| found.as_deref() == Some(value))
}

pub(crate) fn add(proxy: &Process, server: &str) -> (u16, Value) {
    let reply = proxy.ask("POST", "/servers", &json!({"server": server}));
    (reply.status, reply.json())
}

pub(crate) fn remove(proxy: &Process, server: &str) -> (u16, Value) {
    let reply = proxy.ask("DELETE", &format!("/servers/{server}"), &json!({}));
    (reply.status, reply.json())
}

#[test]
fn proxy_and_servers_may_be_started_in_any_order() {
    let stage = Stage::new();
    let proxy = stage.proxy(8080, &[0, 1]);
    let set = pairs(&keys("k", 20), "1");
    assert_eq!(proxy.ask("PUT", "/set", &set).status, 400, "nobody can take them");
    assert_eq!(proxy.get("/fetch").status, 503);
    let _second = stage.data_server(9002);
    let partly = wait_for("a part of the keys", || {
        let reply = proxy.ask("PUT", "/set", &set);
        (reply.status == 206).then_some(reply.json())
    });
    let failed = partly["keys_failed"].as_array().expect("is a list").len();
    assert_eq!(partly["keys_added"], json!(20 - failed));
    let _first = stage.data_server(9001);
    until("all keys", || proxy.ask("PUT", "/set", &set).status == 200);
    assert_eq!(proxy.len(), 20);
}

#[test]
fn a_server_that_joins_takes_its_share_and_one_that_leaves_gives_it_back() {
    let stage = Stage::new();
    let servers = stage.data_servers::<4>();
    let proxy = stage.proxy(8080, &[0, 1, 2]);
    let all = keys("k", KEYS);
    proxy.set(&pairs(&all, "1"));
    let before: Vec<_> = servers.iter().map(share).collect();
    assert_eq!(before.iter().map(BTreeSet::len).sum::<usize>(), KEYS);
    let (status, said) = add(&proxy, &servers[3].address);
    assert_eq!(status, 200, "{said}");
    let after: Vec<_> = servers.iter().map(share).collect();
    for (before, after) in before[..3].iter().zip(&after[..3]) {
        assert!(
            after.is_subset(before),
            "no key came to a server that was there before"
        );
    }
    let moved = after[3].len();
    assert!(moved.abs_diff(KEYS / 4) < KEYS / 10, "{moved} keys moved");
    assert_eq!(said["keys_moved"], json!(moved));
    assert_eq!(after.iter().map(BTreeSet::len).sum::<usize>(), KEYS);
    assert!(hold(&proxy, &all, "1"));
    let (status, said) = remove(&proxy, &servers[3].address);
    assert_eq!((status, &said["keys_moved"]), (200, &json!(moved)), "{said}");
    let back: Vec<_> = servers.iter().map(share).collect();
    assert_eq!(back, before);
    assert!(hold(&proxy, &all, "1"));
}

#[test]
fn changes_that_make_no_sense_are_refused() {
    let stage = Stage::new();
    let servers = stage.data_servers::<1>();
    let proxy = stage.proxy(8080, &[0]);
    let code = |(status, body): (u16, Value)| (status, body["code"].as_str().unwrap_or("").to_owned());
    assert_eq!(
        code(add(&proxy, &servers[0].address)),
        (409, "already_there".into())
    );
    assert_eq!(code(add(&proxy, &stage.address(9))), (503, "unavailable".into()));
    assert_eq!(code(add(&proxy, "nowhere")), (400, "bad_request".into()));
    assert_eq!(code(remove(&proxy, &stage.address(9))), (404, "not_there".into()));
    assert_eq!(
        code(remove(&proxy, &servers[0].address)),
        (409, "last_server".into())
    );
    assert_eq!(
        code(add(&servers[0], &stage.address(9))),
        (409, "not_a_proxy".into())
    );
    for body in ["", "[]", "{}", "{\"server\":1}"] {
        assert_eq!(
            proxy
                .try_ask("POST", "/servers", body)
                .expect("is answered")
                .status,
            400
        );
    }
    assert_eq!(proxy.get("/servers").json(), json!([servers[0].address]));
}

#[test]
fn several_proxies_agree_at_once_on_a_change_that_one_of_them_made() {
    let stage = Stage::new();
    let servers = stage.data_servers::<3>();
    let (one, other) = (stage.proxy(8080, &[0, 1]), stage.proxy(8081, &[1, 0]));
    let all = keys("k", 100);
    one.set(&pairs(&all, "1"));
    assert!(hold(&other, &all, "1"));
    assert_eq!(add(&one, &servers[2].address).0, 200);
    other.set(&pairs(&all, "2"));
    assert!(hold(&one, &all, "2"));
    assert_eq!(other.get("/servers").json(), one.get("/servers").json());
    assert_eq!(remove(&other, &servers[0].address).0, 200);
    one.set(&pairs(&all, "3"));
    assert!(hold(&other, &all, "3"));
    assert_eq!(servers[0].len(), 0, "its keys moved off");
    // A proxy that was started with a list of former servers finds their successors.
    let late = stage.proxy(8082, &[0]);
    assert_eq!(late.get("/servers").json(), one.get("/servers").json());
    assert_eq!(late.len(), 100);
}

#[test]
fn keys_are_read_and_written_and_stay_deleted_while_they_move() {
    let stage = Stage::new();
    let servers = stage.data_servers::<3>();
    let proxy = stage.proxy(8080, &[0, 1]);
    let (kept, written, deleted) = (keys("kept", 400), keys("written", 100), keys("deleted", 100));
    for keys in [&kept, &written, &deleted] {
        proxy.set(&pairs(keys, "old"));
    }
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            for _ in 0..3 {
                assert_eq!(add(&proxy, &servers[2].address).0, 200);
                assert_eq!(remove(&proxy, &servers[2].address).0, 200);
            }
        });
        for (write, delete) in written.iter().zip(&deleted) {
            proxy.set(&json!([pair(write, "new")]));
            let reply = proxy.ask("POST", "/delete", &json!([string(delete)]));
            assert_eq!(reply.json(), json!({"keys_deleted": 1, "keys_failed": []}));
            let asked = [kept[7].clone(), write.clone(), delete.clone()];
            let found = proxy.values(&asked);
            assert_eq!(found, [Some("old".into()), Some("new".into()), None]);
        }
        while !mover.is_finished() {
            assert_eq!(proxy.len(), kept.len() + written.len());
        }
    });
    assert_eq!(proxy.len(), kept.len() + written.len());
    assert!(hold(&proxy, &written, "new"));
}

#[test]
fn what_a_server_had_before_it_was_in_any_list_finds_its_place() {
    let stage = Stage::new();
    let servers = stage.data_servers::<2>();
    let all = keys("k", 60);
    servers[0].set(&pairs(&all, "own"));
    let proxy = stage.proxy(8080, &[0, 1]);
    until("its keys at their owners", || {
        servers[0].len() < 60 && servers[0].len() + servers[1].len() == 60
    });
    assert!(hold(&proxy, &all, "own"));
}

#[test]
fn a_dead_server_is_given_up_only_on_demand_and_brings_nothing_back() {
    let stage = Stage::new();
    let [first, second] = stage.data_servers::<2>();
    let proxy = stage.proxy(8080, &[0, 1]);
    let all = keys("k", 40);
    proxy.set(&pairs(&all, "old"));
    let lost = second.len();
    let address = second.address.clone();
    second.kill();
    let (status, said) = remove(&proxy, &address);
    assert_eq!(
        (status, said["code"].as_str()),
        (409, Some("would_lose_keys")),
        "{said}"
    );
    assert_eq!(remove(&proxy, &format!("{address}?force=true")).0, 200);
    assert_eq!(proxy.get("/servers").json(), json!([first.address]));
    assert_eq!(proxy.len(), 40 - lost);
    let _second = stage.data_server(9002);
    assert_eq!(add(&proxy, &address).0, 200);
    assert_eq!(proxy.len(), 40 - lost, "what was given up stays so");
}
