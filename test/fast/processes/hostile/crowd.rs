//! Opens ten thousand connections and abandons them.

use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::process::{PATIENCE, Process};

const CONNECTIONS: usize = 10_000;

/// For all other open files of a process.
const OTHER_DESCRIPTORS: usize = 500;

/// An idle connection's memory limit. It costs 16 KiB in a first crowd. Fragments that crowds leave
/// raise it for later ones: 24 KiB in the fourth round, at most 27 in the fourteenth.
const BYTES_EACH: usize = 32 * 1024;
const ROUNDS: usize = 4;

/// Some send nothing, some have begun a head or a body, some wait between two requests.
const BEGINNINGS: [&str; 4] = [
    "",
    "GET /kv-store/kept HTTP/1.1\r\nHo",
    "PUT /kv-store/kept HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nval=stolen",
    "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
];

/// As many connections as this process and its child may have, up to the wanted number.
fn connections_possible() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .expect("a process may raise it that far");
    let most = limit.maximum.map_or(usize::MAX, |most| most as usize);
    most.saturating_sub(OTHER_DESCRIPTORS).min(CONNECTIONS)
}

async fn crowd(process: &Process, count: usize) -> Vec<TcpStream> {
    let mut crowd = Vec::with_capacity(count);
    for number in 0..count {
        let last_byte = u8::try_from(2 + number % 100).expect("is small");
        let mut socket = process.connect_from(last_byte).await;
        let beginning = BEGINNINGS[number % BEGINNINGS.len()];
        socket.write_all(beginning.as_bytes()).await.expect("is open");
        crowd.push(socket);
    }
    crowd
}

#[tokio::test]
async fn ten_thousand_connections_that_are_left_open_keep_nobody_waiting() {
    let count = connections_possible();
    let process = Process::start();
    process.ask("PUT", "/kv-store/kept", "val=here");
    let state = process.state();
    let (at_first, alone) = (process.resident_bytes(), process.descriptors());
    for round in 0..ROUNDS {
        let crowd = crowd(&process, count).await;
        for _ in 0..20 {
            assert_eq!(process.state(), state);
        }
        let grown = process.resident_bytes().saturating_sub(at_first);
        println!("round {round}: {count} connections, {} KiB more", grown / 1024);
        assert!(
            grown < count * BYTES_EACH,
            "{grown} bytes for {count} connections"
        );
        drop(crowd);
        // The node frees their memory when it has noticed that they are closed.
        let began = Instant::now();
        while process.descriptors() > alone + 10 {
            assert!(
                began.elapsed() < PATIENCE,
                "descriptors of a crowd that left stay open"
            );
            process.state();
        }
    }
}
