//! Tests the two commands: their help, their errors, their end.

use std::net::TcpListener;

use rustix::process::Signal;

use serde_json::json;

use super::stage::Stage;
use crate::support::pairs::pair;
use crate::support::running::{assert_ends, causeway, printed};

#[test]
fn every_mistake_is_named_at_once() {
    let mistakes = |arguments: &[&str], parts: &[&str]| assert_ends(&causeway(arguments), 64, parts);
    mistakes(
        &["proxy", "--listen", "8o8o", "--servers", "a,b:1,c:0"],
        &["3 mistakes", "--listen: ", "\"a\" has no port", "c:0"],
    );
    mistakes(&["proxy"], &["a mistake", "--servers: no data server is named"]);
    mistakes(
        &["data-server", "--listen", "nowhere"],
        &["a mistake", "--listen: "],
    );
    mistakes(&["data-server", "--servers", "a:1"], &["--servers"]);
}

#[test]
fn help_says_what_can_be_given_and_what_holds_otherwise() {
    for (command, parts) in [
        (
            "proxy",
            [
                "--listen",
                "--servers",
                "[default: 127.0.0.1:8080]",
                "0.0.0.0:8080",
            ],
        ),
        (
            "data-server",
            [
                "--listen",
                "--data-dir",
                "[default: 127.0.0.1:9001]",
                "causeway-pairs",
            ],
        ),
    ] {
        let output = causeway(&[command, "--help"]);
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(0));
        parts
            .iter()
            .for_each(|part| assert!(text.contains(part), "{part} in {text}"));
    }
}

#[test]
fn both_end_when_they_are_told_to_and_free_their_port() {
    for signal in [Signal::TERM, Signal::INT] {
        let stage = Stage::new();
        let [mut server] = stage.data_servers::<1>();
        let mut proxy = stage.proxy(8080, &[0]);
        proxy.set(&json!([pair("a", "1")]));
        for process in [&mut proxy, &mut server] {
            process.signal(signal);
            assert_eq!(process.ended().code(), Some(0));
            TcpListener::bind(&process.address).expect("the port is free");
        }
        assert_eq!(stage.data_server(9001).len(), 1, "what was set is still there");
    }
}
