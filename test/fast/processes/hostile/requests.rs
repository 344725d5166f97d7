//! Sends requests with one mistake or many to a node that has data to lose.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::process::Process;

const ROUNDS: usize = 800;

/// Each would change something if it were correct, or nearly does.
const REQUESTS: [&str; 8] = [
    "PUT /kv-store/kept HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\nval=stolen",
    "PUT /kv-store/kept HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"val\":[\"stolen\"]}",
    "PUT /kv-store/kept HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nval=stolen",
    "PUT /kv-store/kept HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nval=stolen",
    "DELETE /kv-store/kept?causal_payload=AS5V-QEBof4mqG4AAN740A HTTP/1.1\r\n\r\n",
    "PUT /kv-store/update_view?type=remove&force=yes&ip_port=127.0.0.1:1 HTTP/1.1\r\n\r\n",
    "PUT /kv-store/update_view?type=add&ip_port=127.0.0.1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "PUT /kv-store/a%FFb?val=stolen HTTP/1.1\r\n\r\n",
];

/// Replaces, removes or repeats bytes.
fn spoiled(rng: &mut StdRng, request: &str) -> Vec<u8> {
    let mut bytes = request.as_bytes().to_vec();
    for _ in 0..rng.random_range(0..4) {
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..4) {
            0 => bytes[at] = rng.random(),
            1 => bytes.truncate(at.max(1)),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, bytes[at]),
        }
        if bytes.is_empty() {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// Sends the request, and returns all that comes until the connection ends.
async fn told(process: &Process, request: &[u8]) -> String {
    let mut socket = process.connect_from(2).await;
    // The server may stop reading before the end.
    let _ = socket.write_all(request).await;
    let _ = socket.shutdown().await;
    let mut reply = Vec::new();
    let _ = socket.read_to_end(&mut reply).await;
    String::from_utf8_lossy(&reply).into_owned()
}

#[tokio::test]
async fn requests_that_are_refused_or_hung_up_on_change_nothing() {
    let process = Process::start();
    process.ask("PUT", "/kv-store/kept", "val=here");
    let mut state = process.state();
    let mut rng = StdRng::seed_from_u64(1);
    let mut refused = 0;
    for round in 0..ROUNDS {
        let request = spoiled(&mut rng, REQUESTS[round % REQUESTS.len()]);
        let reply = told(&process, &request).await;
        let shown = String::from_utf8_lossy(&request);
        assert!(
            reply.is_empty() || reply.starts_with("HTTP/1.1 "),
            "{shown}\n{reply}"
        );
        if reply.contains("HTTP/1.1 2") {
            // The mistakes happened to make it correct.
            process.ask("PUT", "/kv-store/kept", "val=here");
            state = process.state();
            continue;
        }
        refused += 1;
        assert_eq!(process.state(), state, "{shown}\n{reply}");
    }
    assert!(refused > ROUNDS * 3 / 4, "{refused} were refused");
    assert!(!process.log().contains("panicked"), "{}", process.log());
}
