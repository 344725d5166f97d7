//! Arbitrary bytes on a socket: every stream gets answers and then an end, or only an end, and the next
//! client is served.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::rig::{Rig, patiently};

const GET: &str = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";

/// Pieces of requests, valid and invalid, so that their borders fall everywhere.
fn pieces() -> BoxedStrategy<Vec<u8>> {
    let lines = vec![
        "GET /x HTTP/1.1\r\n",
        "PUT /x HTTP/1.1\r\n",
        "PUT /x HTTP/1.0\r\n",
        "GET /causeway/peer HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: causeway-peer/1\r\n",
        "GET  /x\r\n",
        "Host: x\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        " folded\r\n",
        ": no name\r\n",
        "\r\n",
        "\n",
        "hello",
        "5\r\nhello\r\n",
        "5;extension=\"\r\n\"\r\nhello\r\n",
        "fffffffffffffff\r\n",
        "-1\r\n",
        "0\r\n\r\n",
        "0\r\nTrailer: x\r\n\r\n",
    ];
    prop_oneof![
        9 => prop::sample::select(lines).prop_map(|line| line.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..30),
        1 => (1usize..90_000, any::<u8>()).prop_map(|(count, byte)| vec![byte; count]),
    ]
    .boxed()
}

#[test]
fn any_bytes_are_answered_or_hung_up_on_and_the_next_client_is_served() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let rig = runtime.block_on(Rig::start());
    // The failure message suffices: it contains the pieces.
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let tried = runner.run(&vec(pieces(), 0..12), |pieces| {
        let reply = runtime.block_on(rig.told(&pieces.concat()));
        // A stream to a peer is silent before the greeting; all else is HTTP, of the requested version.
        prop_assert!(reply.is_empty() || reply.starts_with("HTTP/1."), "{}", reply);
        let next = runtime.block_on(patiently(rig.tell(GET)));
        prop_assert!(next.ends_with("GET /x "), "{}", next);
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}
