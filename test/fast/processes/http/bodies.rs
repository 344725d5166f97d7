//! Bodies: in every encoding, of every size, and with every wrong length.

use super::rig::Rig;

/// Larger than any body that the rig's server reads: six times the value and the fields around it.
const TOO_MANY_BYTES: usize = 6 * 100_000 + 64 * 1024 + 1;

fn put(headers: &str, body: &str) -> String {
    format!("PUT /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n{body}")
}

#[tokio::test]
async fn bodies_come_with_a_length_or_in_chunks_and_on_any_method() {
    let rig = Rig::start().await;
    let long = "v".repeat(500_000);
    for (request, body) in [
        (put("Content-Length: 5\r\n", "hello"), "hello"),
        (put("Content-Length: 0\r\n", ""), ""),
        (put("", ""), ""),
        (
            put(
                "Transfer-Encoding: chunked\r\n",
                "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            ),
            "hello",
        ),
        (
            put(
                "Transfer-Encoding: chunked\r\n",
                "1\r\na\r\n0\r\nTrailer: x\r\n\r\n",
            ),
            "a",
        ),
        (put("Content-Length: 500000\r\n", &long), "500000 bytes"),
        (
            put("Content-Length: 5\r\n", "hello").replace("PUT", "GET"),
            "hello",
        ),
        (
            put("Content-Length: 5\r\n", "hello").replace("PUT", "DELETE"),
            "hello",
        ),
    ] {
        let reply = rig.tell(&request).await;
        assert!(
            reply.ends_with(&format!(" /x {body}")),
            "{}: {reply}",
            &request[..90]
        );
    }
}

#[tokio::test]
async fn a_body_is_asked_for_when_the_client_waits_for_that() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    client
        .send(put("Content-Length: 5\r\nExpect: 100-continue\r\n", ""))
        .await;
    assert_eq!(client.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert!(client.rest().await.ends_with("PUT /x hello"));
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_not_asked_for() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    client
        .send(put(
            &format!("Content-Length: {TOO_MANY_BYTES}\r\nExpect: 100-continue\r\n"),
            "",
        ))
        .await;
    let reply = client.rest().await;
    assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
    assert!(reply.contains(r#""code":"value_too_large""#), "{reply}");
}

#[tokio::test]
async fn a_client_that_sends_too_much_without_asking_reads_the_refusal() {
    let rig = Rig::start().await;
    let body = "v".repeat(10 * TOO_MANY_BYTES);
    let length = format!("Content-Length: {}\r\n", body.len());
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for request in [put(&length, &body), put("Transfer-Encoding: chunked\r\n", &chunk)] {
        let reply = rig.tell(&request).await;
        assert!(
            reply.starts_with("HTTP/1.1 413 ") && reply.contains("value_too_large"),
            "{reply}"
        );
    }
    assert_eq!(rig.host.begun.available_permits(), 0);
}

#[tokio::test]
async fn a_length_that_is_a_lie_never_comes_to_the_host() {
    let rig = Rig::start().await;
    for (request, status) in [
        (put("Content-Length: ten\r\n", "hello"), "400"),
        (put("Content-Length: -5\r\n", "hello"), "400"),
        (put("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), "400"),
        (put("Content-Length: 99999999999999999999999\r\n", "hello"), "400"),
        (put("Content-Length: 6\r\n", "hello"), ""),
        (put("Transfer-Encoding: chunked\r\n", "zz\r\nhello"), "400"),
        (
            put("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\nhello"),
            "400",
        ),
        (put("Transfer-Encoding: chunked\r\n", "6\r\nhello"), ""),
        (put("Transfer-Encoding: gzip\r\n", "hello"), "400"),
    ] {
        let reply = rig.tell(&request).await;
        assert!(
            reply.is_empty() || reply.starts_with("HTTP/1.1 400 "),
            "{request}: {reply}"
        );
        assert!(reply.contains(status), "{request}: {reply}");
    }
    assert_eq!(rig.host.begun.available_permits(), 0);
}

#[tokio::test]
async fn bytes_behind_the_body_are_the_next_request() {
    let rig = Rig::start().await;
    let first = "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    let replies = rig
        .tell(format!("{first}GET /y HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    assert!(
        replies.contains("PUT /x hello") && replies.ends_with("GET /y "),
        "{replies}"
    );
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_whole_in_the_end() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    client.socket.set_nodelay(true).expect("is a socket");
    for byte in put("Content-Length: 20\r\n", "a body in many pieces").as_bytes() {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert!(client.rest().await.ends_with("PUT /x a body in many piece"));
}
