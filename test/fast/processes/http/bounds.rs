//! The bounds of what one client may take from the others.

use std::time::Duration;

use super::rig::{Client, LONG_BYTES, Rig, patiently};

const GET: &str = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
const HELD: &str = "GET /held HTTP/1.1\r\nHost: x\r\n\r\n";
const SOON: Duration = Duration::from_millis(30);

/// As many as fit into 1,024 file descriptors, since this process has both ends.
const IDLE_CONNECTIONS: usize = 450;

#[tokio::test]
async fn idle_connections_keep_nobody_waiting() {
    let rig = Rig::start().await;
    let mut idle: Vec<Client> = Vec::new();
    for count in 0..IDLE_CONNECTIONS {
        let mut client = rig.client().await;
        // Some send nothing, some have begun, some wait between two requests.
        client.send(["", "GET /x HT", GET][count % 3]).await;
        idle.push(client);
    }
    assert!(rig.tell(GET).await.ends_with("GET /x "));
    idle[1].send("TP/1.1\r\nHost: x\r\n\r\n").await;
    idle[1].until("GET /x ").await;
    rig.stop.cancel();
    patiently(rig.server).await.expect("ends");
}

#[tokio::test]
async fn one_request_too_many_is_told_to_come_back() {
    let rig = Rig::with(|bounds| bounds.requests_max = 2).await;
    let (mut first, mut second) = (rig.client().await, rig.client().await);
    first.send(HELD).await;
    second.send(HELD).await;
    rig.begun(2).await;
    let refused = rig.tell(GET).await;
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1"),
        "{refused}"
    );
    assert!(refused.contains(r#""code":"overloaded""#), "{refused}");
    rig.host.held.add_permits(2);
    first.until("GET /held ").await;
    second.until("GET /held ").await;
    assert!(rig.tell(GET).await.ends_with("GET /x "));
}

#[tokio::test]
async fn one_connection_too_many_waits_until_another_is_idle() {
    let rig = Rig::with(|bounds| bounds.connections_max = 1).await;
    let mut first = rig.client().await;
    first.send(HELD).await;
    rig.begun(1).await;
    let mut second = rig.client().await;
    second.send(GET).await;
    rig.host.held.add_permits(1);
    first.until("GET /held ").await;
    second.until("GET /x ").await;
    assert_eq!(first.rest().await, "");
}

/// Connections that stay silent in every way, while others are served.
#[tokio::test]
async fn silent_connections_shut_nobody_out() {
    let rig = Rig::with(|bounds| bounds.connections_max = 4).await;
    let mut silent = Vec::new();
    for part in ["", GET, "GET /x HTTP/1.1\r\nHost:", "\r\n"] {
        let mut client = rig.client().await;
        client.send(part).await;
        if part == GET {
            client.until("GET /x ").await;
        }
        silent.push(client);
    }
    for _ in 0..8 {
        let mut client = rig.client().await;
        client.send(GET).await;
        client.until("GET /x ").await;
        silent.push(client);
    }
}

#[tokio::test]
async fn a_client_that_sends_nothing_whole_is_hung_up_on() {
    let rig = Rig::with(|bounds| bounds.quiet_max = SOON).await;
    for part in ["", "GET /x HTTP/1.1\r\nHost:"] {
        let mut client = rig.client().await;
        client.send(part).await;
        assert_eq!(client.rest().await, "");
    }
    let mut idle = rig.client().await;
    idle.send(GET).await;
    idle.until("GET /x ").await;
    assert_eq!(idle.rest().await, "");
}

#[tokio::test]
async fn a_request_that_takes_longer_than_quiet_connections_last_is_answered() {
    let rig = Rig::with(|bounds| bounds.quiet_max = Duration::from_millis(1)).await;
    let mut client = rig.client().await;
    client.send(HELD).await;
    rig.begun(1).await;
    // By then the server has checked the connection several times.
    tokio::time::timeout(SOON, client.until("GET /held "))
        .await
        .expect_err("is held");
    rig.host.held.add_permits(1);
    client.until("GET /held ").await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let rig = Rig::with(|bounds| bounds.body_deadline = SOON).await;
    let mut client = rig.client().await;
    client
        .send("PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    let reply = client.rest().await;
    assert!(
        reply.starts_with("HTTP/1.1 408 ") && reply.contains("body_too_slow"),
        "{reply}"
    );
}

#[tokio::test]
async fn a_request_that_does_not_end_does_not_keep_the_server_from_ending() {
    let rig = Rig::with(|bounds| bounds.drain_deadline = SOON).await;
    let mut client = rig.client().await;
    client.send(HELD).await;
    rig.begun(1).await;
    rig.stop.cancel();
    patiently(rig.server).await.expect("ends");
    assert_eq!(client.rest().await, "");
}

/// Sends `next` repeatedly and reads nothing, until the server closes the connection.
async fn until_hung_up(client: &mut Client, next: &str, pause: Duration) {
    let nagging = async {
        while tokio::io::AsyncWriteExt::write_all(&mut client.socket, next.as_bytes())
            .await
            .is_ok()
        {
            tokio::time::sleep(pause).await;
        }
    };
    patiently(nagging).await;
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_for_ever_is_hung_up_on() {
    let rig = Rig::with(|bounds| bounds.quiet_max = SOON).await;
    let mut client = rig.client().await;
    client.send("GET /x HTTP/1.1\r\nHost: x\r\nLong: ").await;
    until_hung_up(&mut client, "x", SOON / 6).await;
    assert_eq!(rig.host.begun.available_permits(), 0);
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_for_ever_is_given_up() {
    let rig = Rig::with(|bounds| bounds.body_deadline = SOON).await;
    for framing in [
        "Content-Length: 90000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n",
    ] {
        let mut client = rig.client().await;
        client
            .send(format!("PUT /x HTTP/1.1\r\nHost: x\r\n{framing}"))
            .await;
        let byte = if framing.starts_with('C') {
            "x"
        } else {
            "1\r\nx\r\n"
        };
        until_hung_up(&mut client, byte, SOON / 6).await;
    }
    assert_eq!(rig.host.begun.available_permits(), 0);
    assert!(rig.tell(GET).await.ends_with("GET /x "));
}

#[tokio::test]
async fn a_client_that_asks_for_ever_and_reads_no_answer_is_hung_up_on() {
    let rig = Rig::with(|bounds| bounds.quiet_max = SOON).await;
    let mut client = rig.client().await;
    let many = GET.repeat(1000);
    // The client's own side fills up sooner or later; then nothing moves until the end.
    until_hung_up(&mut client, &many, Duration::ZERO).await;
    assert!(rig.tell(GET).await.ends_with("GET /x "));
}

/// A client that reads nothing of a long reply does not hold its memory for ever.
#[tokio::test]
async fn a_client_that_takes_nothing_of_a_long_reply_is_hung_up_on() {
    let rig = Rig::with(|bounds| bounds.reply_deadline = SOON).await;
    const ASK: &str = "GET /long HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut client = rig.client().await;
    client.send(ASK).await;
    until_hung_up(&mut client, "x", SOON / 6).await;
    assert!(client.rest().await.len() < LONG_BYTES);
    let patient = Rig::start().await;
    assert!(patient.tell(ASK).await.len() > LONG_BYTES);
}

#[tokio::test]
async fn bodies_that_are_too_much_together_are_refused_and_small_requests_are_not() {
    let body = "v".repeat(400_000);
    let rig = Rig::with(|bounds| bounds.bodies_bytes_max = 1_000_000).await;
    let whole = format!(
        "PUT /held HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (mut first, mut second) = (rig.client().await, rig.client().await);
    first.send(&whole).await;
    second.send(&whole).await;
    rig.begun(2).await;
    let refused = rig.tell(&whole).await;
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains(r#""code":"overloaded""#),
        "{refused}"
    );
    assert!(rig.tell(GET).await.ends_with("GET /x "));
    rig.host.held.add_permits(3);
    first.until("400000 bytes").await;
    second.until("400000 bytes").await;
    // The memory that was taken is returned.
    assert!(rig.tell(&whole).await.ends_with("400000 bytes"));
}
