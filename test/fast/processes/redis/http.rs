//! The same sharder over HTTP: its replies, its errors, many concurrent clients, and its end.

use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::rig::{Shell, copies};
use crate::support::ports::free_ports;
use crate::support::request::Request;
use crate::support::waiting::wait_for;

/// A shell whose sharder is served over HTTP too, on the last port of its block.
struct Served {
    shell: Shell,
    address: String,
}

impl Served {
    fn start() -> Self {
        let base_port = free_ports();
        let address = format!("127.0.0.1:{}", base_port + 15);
        let shell = Shell::on(base_port, &["--http", &address]);
        let served = Self { shell, address };
        wait_for("HTTP", || TcpStream::connect(&served.address).ok());
        served
    }

    fn ask(&self, method: &str, target: &str, json: &str) -> (u16, Value) {
        ask(&self.address, method, target, json)
    }
}

fn ask(address: &str, method: &str, target: &str, json: &str) -> (u16, Value) {
    let request = Request::new(method, target).body("application/json", json);
    let reply = request.send(address).expect("is answered");
    (reply.status, reply.json())
}

#[test]
fn the_operations_and_their_errors_are_json() {
    let served = Served::start();
    let base_port = served.shell.base_port;
    let ports: Vec<u16> = served.shell.ports(3).collect();
    let failed = |code: &str| json!({ "result": "error", "code": code });
    for (method, target, body, status, expected) in [
        ("GET", "/status", "", 409, failed("not_up")),
        ("PUT", "/put?key=1&value=2", "", 409, failed("not_up")),
        (
            "POST",
            "/bringUp",
            r#"{"n":3,"capacity":0,"level":2}"#,
            400,
            failed("bad_argument"),
        ),
        (
            "POST",
            "/bringUp",
            r#"{"n":3,"capacity":2,"level":2}"#,
            200,
            json!({ "result": "success", "ports": ports }),
        ),
        (
            "POST",
            "/bringUp?n=3&capacity=2&level=2",
            "",
            409,
            failed("already_up"),
        ),
        (
            "PUT",
            "/put?key=1&value=10",
            "",
            200,
            json!({ "replicas": 2, "target": 2, "degraded": false }),
        ),
        (
            "POST",
            "/put",
            r#"{"key":2,"value":-20}"#,
            200,
            json!({ "result": "success" }),
        ),
        ("PUT", "/put?key=3&value=30", "", 200, json!({ "replicas": 2 })),
        ("PUT", "/put?key=4&value=40", "", 507, failed("capacity_exceeded")),
        ("PUT", "/put?key=4", "", 400, failed("bad_argument")),
        (
            "GET",
            "/get?key=2",
            "",
            200,
            json!({ "result": "success", "key": 2, "value": -20 }),
        ),
        ("GET", "/get?key=4", "", 404, failed("key_not_found")),
        ("GET", "/get?key=x", "", 400, failed("bad_argument")),
        ("GET", "/put?key=1&value=2", "", 405, failed("bad_method")),
        ("GET", "/nothing", "", 404, failed("not_found")),
        ("GET", "/", "", 200, json!({ "result": "success" })),
        ("POST", "/failNode?port=1", "", 400, failed("bad_argument")),
    ] {
        assert_reply(&served, (method, target, body), status, &expected);
    }
    // Three keys, and room for two on each server: after the second failure, one key has no room.
    for (server, lost) in [(0, 0), (1, 1), (2, 2)] {
        let target = format!("/failNode?port={}", base_port + server);
        let (status, reply) = served.ask("POST", &target, "");
        assert_eq!((status, &reply["lost"]), (200, &lost.into()), "{reply}");
    }
    assert_reply(&served, ("GET", "/get?key=1", ""), 410, &failed("lost"));
    assert_reply(
        &served,
        ("PUT", "/put?key=1&value=1", ""),
        503,
        &failed("unavailable"),
    );
    let (_, status) = served.ask("GET", "/status", "");
    assert_eq!(
        (&status["live"], &status["lost"], &status["keys"]),
        (&0.into(), &3.into(), &0.into())
    );
}

/// The reply contains at least what is expected.
#[track_caller]
fn assert_reply(served: &Served, (method, target, body): (&str, &str, &str), status: u16, expected: &Value) {
    let (got, reply) = served.ask(method, target, body);
    assert_eq!(got, status, "{method} {target}: {reply}");
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&reply[name], value, "{method} {target}: {reply}");
    }
    let is_error = reply["result"] == "error";
    assert_eq!(is_error, reply["error"].is_string(), "{reply}");
}

#[test]
fn each_path_names_its_methods_and_the_home_page_the_paths() {
    let served = Served::start();
    for (method, status) in [("OPTIONS", 204), ("DELETE", 405)] {
        let request = Request::new(method, "/get?key=1");
        let reply = request.send(&served.address).expect("is answered");
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
    }
    let (_, home) = served.ask("GET", "/", "");
    let lines = home["endpoints"].as_array().expect("is a list");
    assert!(lines.contains(&json!("GET, POST /get?key=<integer>")), "{home}");
}

#[test]
fn puts_of_one_key_at_once_leave_equal_copies() {
    let mut served = Served::start();
    served.shell.bring_up(4, 10, 3);
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for client in 0..8_i64 {
                let address = &served.address;
                scope.spawn(move || {
                    for round in 0..10 {
                        let key = round % 3;
                        let value = client * 100 + round;
                        let (status, reply) =
                            ask(address, "PUT", &format!("/put?key={key}&value={value}"), "");
                        assert_eq!((status, &reply["replicas"]), (200, &3.into()), "{reply}");
                    }
                });
            }
        });
        for key in 0..3 {
            let value: i64 = served
                .shell
                .ask(&format!("get({key})"))
                .parse()
                .expect("is a number");
            assert_eq!(copies(served.shell.ports(4), key), [value; 3], "key {key}");
        }
    }
}

#[test]
fn it_serves_on_when_the_commands_end_and_ends_when_it_is_told() {
    let mut served = Served::start();
    served.shell.bring_up(2, 3, 2);
    served.shell.expect(&[("put(1,10)", "ok replicas=2 target=2")]);
    served.shell.close_input();
    for _ in 0..20 {
        let (status, reply) = served.ask("GET", "/get?key=1", "");
        assert_eq!((status, &reply["value"]), (200, &10.into()));
    }
    served.shell.signal(Signal::TERM);
    served.shell.assert_ended(0);

    for input_ends in [true, false] {
        let mut served = Served::start();
        served.shell.bring_up(2, 3, 2);
        if input_ends {
            served.shell.close_input();
        }
        served.shell.signal(Signal::HUP);
        served.shell.assert_ended(0);
    }

    let mut served = Served::start();
    served.shell.bring_up(2, 3, 2);
    served.shell.tell("get(1); quit\n");
    assert_eq!(served.shell.answer(), "not found");
    served.shell.assert_ended(0);
}

#[test]
fn a_taken_address_is_named_and_no_command_is_carried_out() {
    let served = Served::start();
    let mut second = Shell::start(&["--http", &served.address]);
    assert_eq!(second.ended().code(), Some(1));
    second.assert_ended(1);
}
