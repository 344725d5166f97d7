//! Names that lead to the same server, to another server than before, or to one that is still starting.

use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::json;

use super::changes::{add, remove};
use super::stage::{Process, Stage, ask, port};
use crate::support::pairs::{asked, keys, pairs};
use crate::support::ports::free_ports;
use crate::support::waiting::wait_for;

/// A data server that listens on all addresses, and two names of it.
fn server_with_two_names(stage: &Stage) -> (u16, [String; 2]) {
    // Not a port that the kernel assigns to clients: it must be free everywhere until the start.
    let port = free_ports();
    (port, [stage.address(port), format!("127.0.0.1:{port}")])
}

#[test]
fn two_names_of_one_server_are_a_mistake_in_the_arguments() {
    let stage = Stage::new();
    let (port, names) = server_with_two_names(&stage);
    let _server = stage.data_server_everywhere(port);
    let mut proxy = stage.start_proxy(8080, &names.join(","));
    assert_eq!(proxy.ended().code(), Some(64));
    let said = stage.said_on(8080);
    assert!(names.iter().all(|name| said.contains(name)), "{said}");
    assert!(said.contains("lead to one data server"), "{said}");
}

#[test]
fn no_list_is_begun_with_two_names_of_a_server_that_comes_later() {
    let stage = Stage::new();
    let (port, names) = server_with_two_names(&stage);
    let proxy = stage.start_proxy(8080, &names.join(","));
    proxy.wait_until_alive();
    let server = stage.data_server_everywhere(port);
    let said = wait_for("a refusal of the names", || {
        let reply = proxy.get("/servers");
        (reply.status == 409).then_some(reply.json())
    });
    assert_eq!(said["code"], "named_twice", "{said}");
    let reply = proxy.ask("PUT", "/set", &pairs(&keys("k", 20), "1"));
    assert_eq!(reply.status, 400, "{reply}");
    assert_eq!(server.len(), 0);
    let own = server.get("/servers").json();
    assert_eq!(own, json!([format!("0.0.0.0:{port}")]), "it is in no list");
}

#[test]
fn a_server_is_not_added_by_another_name_before_or_after_a_restart() {
    let stage = Stage::new();
    let (port, names) = server_with_two_names(&stage);
    let server = stage.data_server_everywhere(port);
    let proxy = stage.start_proxy(8080, &names[0]);
    proxy.wait_until_alive();
    let all = keys("k", 20);
    proxy.set(&pairs(&all, "1"));
    let refused = |proxy: &Process| {
        let (status, said) = add(proxy, &names[1]);
        assert_eq!((status, &said["code"]), (409, &json!("already_there")), "{said}");
        let text = said["error"].as_str().expect("is text");
        assert!(names.iter().all(|name| text.contains(name)), "{text}");
        assert_eq!(proxy.len(), 20);
    };
    refused(&proxy);
    server.kill();
    proxy.kill();
    let _server = stage.data_server_everywhere(port);
    let proxy = stage.start_proxy(8080, &names[0]);
    proxy.wait_until_alive();
    refused(&proxy);
}

#[test]
fn a_name_that_leads_to_another_server_makes_keys_unavailable_and_not_missing() {
    let stage = Stage::new();
    let [first, second] = stage.data_servers::<2>();
    let proxy = stage.proxy(8080, &[0, 1]);
    let all = keys("k", 40);
    proxy.set(&pairs(&all, "1"));
    for server in [first, second] {
        server.kill();
    }
    let swapped = [
        stage.data_server_with(port(0), port(1)),
        stage.data_server_with(port(1), port(0)),
    ];
    let reply = proxy.ask("POST", "/fetch", &asked(&all));
    assert_eq!(reply.status, 503, "{reply}");
    assert_eq!(proxy.ask("PUT", "/set", &pairs(&all, "2")).status, 400);
    let (status, said) = remove(&proxy, &stage.address(port(0)));
    assert_eq!(
        (status, &said["code"]),
        (409, &json!("would_lose_keys")),
        "{said}"
    );
    let leads_to = format!("leads to {}", stage.address(port(1)));
    assert!(
        said["error"].as_str().expect("is text").contains(&leads_to),
        "{said}"
    );
    for server in swapped {
        server.kill();
    }
    let _servers = stage.data_servers::<2>();
    assert_eq!(proxy.values(&all), vec![Some("1".to_owned()); 40]);
}

/// Accepts this many connections at an address without a server yet, and closes them and the address.
fn refuse(listener: TcpListener, connections: usize) {
    let accepted: Vec<TcpStream> = listener.incoming().take(connections).flatten().collect();
    assert_eq!(accepted.len(), connections);
}

#[test]
fn a_server_that_is_only_starting_is_waited_for() {
    let stage = Stage::new();
    let [_first, second] = stage.data_servers::<2>();
    let proxy = stage.proxy(8080, &[0, 1]);
    let all = keys("k", 40);
    proxy.set(&pairs(&all, "1"));

    let third = stage.address(port(2));
    let way = format!("/servers/{}", second.address);
    let listener = TcpListener::bind(&third).expect("is free");
    thread::scope(|scope| {
        let adding = scope.spawn(|| add(&proxy, &third));
        refuse(listener, 1);
        let _third = stage.data_server(port(2));
        let (status, said) = adding.join().expect("is answered");
        assert_eq!(status, 200, "{said}");

        let address = second.address.clone();
        second.kill();
        let listener = TcpListener::bind(&address).expect("is free");
        let removing = scope.spawn(|| ask(&proxy.address, "DELETE", &way, ""));
        refuse(listener, 4);
        let _second = stage.data_server(port(1));
        let reply = removing.join().expect("ends").expect("is answered");
        assert_eq!(reply.status, 200, "{reply}");
        assert_eq!(proxy.values(&all), vec![Some("1".to_owned()); 40]);
    });
}
