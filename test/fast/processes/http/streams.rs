//! Peers' streams: opened by the dialer, accepted by the server, frames both ways, all kinds of end.

use bytes::{Bytes, BytesMut};
use causeway::net::stream::HttpDialer;
use causeway::net::{DialError, Dialer, FRAME_BYTES_MAX, Pipe};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::rig::{Client, Rig, patiently};

const UPGRADE: &str =
    "GET /causeway/peer HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: causeway-peer/1\r\n\r\n";

async fn dial(address: impl std::fmt::Display) -> Result<Pipe, DialError> {
    let node = address.to_string().parse().expect("is a node");
    patiently(HttpDialer::default().dial(node)).await
}

/// Both ends of a stream: the caller's and the callee's.
async fn stream(rig: &Rig) -> (Pipe, Pipe) {
    let calling = dial(rig.address).await.expect("is answered");
    (calling, rig.met().await)
}

/// A client that has opened a stream and may send arbitrary bytes.
async fn stranger(rig: &Rig) -> (Client, Pipe) {
    let mut client = rig.client().await;
    client.send(UPGRADE).await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 101 "));
    (client, rig.met().await)
}

#[tokio::test]
async fn frames_go_both_ways_in_order_and_whole() {
    let rig = Rig::start().await;
    let (mut calling, mut called) = stream(&rig).await;
    for length in [0, 1, 8191, 8192, 8193, 70_000, FRAME_BYTES_MAX] {
        let frame = Bytes::from(vec![7; length]);
        calling.sender.send(frame.clone()).await.expect("is open");
        assert!(
            patiently(called.receiver.recv()).await == Some(frame.clone()),
            "{length}"
        );
        called.sender.send(frame.clone()).await.expect("is open");
        assert!(
            patiently(calling.receiver.recv()).await == Some(frame),
            "{length}"
        );
    }
}

#[tokio::test]
async fn a_hundred_thousand_small_frames_arrive() {
    const FRAMES: u32 = 100_000;
    let rig = Rig::start().await;
    let (calling, mut called) = stream(&rig).await;
    let sending = async {
        for number in 0..FRAMES {
            calling
                .sender
                .send(Bytes::copy_from_slice(&number.to_le_bytes()))
                .await
                .expect("is open");
        }
    };
    let receiving = async {
        for number in 0..FRAMES {
            assert_eq!(
                called.receiver.recv().await.as_deref(),
                Some(&number.to_le_bytes()[..])
            );
        }
    };
    patiently(async { tokio::join!(sending, receiving) }).await;
}

#[tokio::test]
async fn what_was_sent_before_hanging_up_arrives() {
    let rig = Rig::start().await;
    let (calling, mut called) = stream(&rig).await;
    for _ in 0..20 {
        calling
            .sender
            .send(Bytes::from_static(b"last words"))
            .await
            .expect("is open");
    }
    drop(calling);
    for _ in 0..20 {
        assert!(patiently(called.receiver.recv()).await.is_some());
    }
    assert_eq!(patiently(called.receiver.recv()).await, None);
    patiently(called.sender.closed()).await;
}

#[tokio::test]
async fn dropping_either_half_at_either_side_ends_both_and_leaves_no_task() {
    let rig = Rig::start().await;
    for case in 0..4 {
        let carriers = TaskTracker::new();
        let node = rig.address.to_string().parse().expect("is a node");
        let calling = patiently(HttpDialer::new(carriers.clone()).dial(node))
            .await
            .expect("is answered");
        let called = rig.met().await;
        let (here, mut there) = if case % 2 == 0 {
            (calling, called)
        } else {
            (called, calling)
        };
        let Pipe { sender, receiver } = here;
        let kept: Box<dyn std::any::Any> = if case < 2 {
            drop(receiver);
            Box::new(sender)
        } else {
            drop(sender);
            Box::new(receiver)
        };
        assert_eq!(patiently(there.receiver.recv()).await, None, "{case}");
        patiently(there.sender.closed()).await;
        drop((kept, there));
        carriers.close();
        patiently(carriers.wait()).await;
    }
}

#[tokio::test]
async fn a_stream_outlives_the_listener_that_it_came_through() {
    let rig = Rig::start().await;
    let (calling, mut called) = stream(&rig).await;
    rig.stop.cancel();
    patiently(rig.server).await.expect("ends");
    calling
        .sender
        .send(Bytes::from_static(b"still here"))
        .await
        .expect("is open");
    assert_eq!(
        patiently(called.receiver.recv()).await.as_deref(),
        Some(&b"still here"[..])
    );
}

#[tokio::test]
async fn a_peer_that_does_not_read_slows_its_sender_and_nothing_grows() {
    let rig = Rig::start().await;
    let (calling, called) = stream(&rig).await;
    let frame = Bytes::from(vec![0; FRAME_BYTES_MAX]);
    let mut sent = 0;
    let flood = async {
        while calling.sender.send(frame.clone()).await.is_ok() {
            sent += 1;
        }
    };
    let stalled = tokio::time::timeout(std::time::Duration::from_millis(300), flood).await;
    assert!(stalled.is_err() && sent < 300, "{sent} frames were taken");
    drop(called);
    patiently(calling.sender.closed()).await;
}

#[tokio::test]
async fn frames_that_come_with_the_upgrade_are_not_lost() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    client
        .send([UPGRADE.as_bytes(), b"\x02\0\0\0hi\x03\0\0\0y"].concat())
        .await;
    let mut called = rig.met().await;
    assert_eq!(
        patiently(called.receiver.recv()).await.as_deref(),
        Some(&b"hi"[..])
    );
    client.send(b"ou").await;
    assert_eq!(
        patiently(called.receiver.recv()).await.as_deref(),
        Some(&b"you"[..])
    );
}

#[tokio::test]
async fn nonsense_ends_the_stream_and_nothing_else() {
    let rig = Rig::start().await;
    for nonsense in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\xff\xff\xff\xff",
        b"\x01\0\x80\0",
    ] {
        let (mut client, mut called) = stranger(&rig).await;
        client.send(nonsense).await;
        assert_eq!(patiently(called.receiver.recv()).await, None);
        client.rest().await;
    }
    let (mut client, mut called) = stranger(&rig).await;
    client.send(b"\x05\0\0\0hel").await;
    drop(client);
    assert_eq!(patiently(called.receiver.recv()).await, None);
    stream(&rig).await;
}

#[tokio::test]
async fn only_a_peer_that_asks_for_the_protocol_gets_a_stream() {
    let rig = Rig::start().await;
    for request in [
        UPGRADE.replace("causeway-peer/1", "websocket"),
        UPGRADE.replace("/causeway/peer", "/x"),
        UPGRADE.replace("GET", "PUT"),
        "GET /causeway/peer HTTP/1.1\r\nHost: x\r\n\r\n".into(),
    ] {
        assert!(rig.tell(&request).await.starts_with("HTTP/1.1 200 "), "{request}");
    }
}

#[tokio::test]
async fn a_peer_of_another_version_is_told_which_one_this_is() {
    let rig = Rig::start().await;
    let reply = rig
        .tell(UPGRADE.replace("causeway-peer/1", "causeway-peer/2"))
        .await;
    assert!(reply.starts_with("HTTP/1.1 426 "), "{reply}");
    let version = format!("causeway-version: {}\r\n", env!("CARGO_PKG_VERSION"));
    assert!(
        reply.contains(&version) && reply.contains("upgrade: causeway-peer/1\r\n"),
        "{reply}"
    );
}

#[tokio::test]
async fn a_dialer_says_why_there_is_no_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("is bound");
    for (answer, reason) in [
        (
            &b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..],
            "404 Not Found",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n", "200 OK"),
        (b"220 mail ready\r\n", "does not answer as a node"),
        (&[b'x'; 9000], "does not answer as a node"),
        (b"", "does not answer as a node"),
    ] {
        let answering = async {
            let (mut socket, _) = listener.accept().await.expect("is called");
            let mut request = BytesMut::new();
            while !request.ends_with(b"\r\n\r\n") {
                let read = tokio::io::AsyncReadExt::read_buf(&mut socket, &mut request).await;
                assert!(read.expect("reads") > 0, "the dialer hung up in its request");
            }
            let _ = socket.write_all(answer).await;
        };
        let (dialled, ()) = tokio::join!(dial(address), answering);
        let error = dialled.expect_err("is refused").to_string();
        assert!(
            error.contains(reason) && error.contains(&address.to_string()),
            "{error}"
        );
    }
    drop(listener);
    let error = dial(address).await.expect_err("nobody listens").to_string();
    assert!(error.contains("cannot be reached"), "{error}");
}
