//! Well-formed requests, and malformed heads.

use super::rig::{Rig, patiently};

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    for path in ["/a", "/b", "/c"] {
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        let reply = client.until(&format!("GET {path} ")).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    }
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_their_order() {
    let rig = Rig::start().await;
    let requests: String = (0..100)
        .map(|n| format!("GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .collect();
    let replies = rig.tell(requests).await;
    let paths: Vec<_> = replies
        .split("GET /")
        .skip(1)
        .filter_map(|rest| rest.split(' ').next())
        .collect();
    assert_eq!(paths, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_next_request_to_arrive() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    client
        .send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHo")
        .await;
    client.until("GET /a ").await;
    client.send("st: x\r\n\r\n").await;
    client.until("GET /b ").await;
}

#[tokio::test]
async fn a_client_that_closed_its_sending_side_still_gets_its_answer() {
    let rig = Rig::start().await;
    rig.host.held.add_permits(1);
    let reply = rig.tell("GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(reply.ends_with("GET /held "), "{reply}");
}

#[tokio::test]
async fn an_old_client_is_answered_and_its_connection_closed() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    client.send("GET /old HTTP/1.0\r\n\r\n").await;
    assert!(client.rest().await.ends_with("GET /old "));
}

#[tokio::test]
async fn head_has_the_length_and_not_the_body() {
    let rig = Rig::start().await;
    let reply = rig.tell("HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(
        reply.contains("content-length: 8\r\n") && reply.ends_with("\r\n\r\n"),
        "{reply}"
    );
}

#[tokio::test]
async fn what_is_no_request_is_refused_or_hung_up_on_and_the_next_one_served() {
    let rig = Rig::start().await;
    let long_header = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    let long_path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    for (bytes, status) in [
        (&b"nonsense\r\n\r\n"[..], "400"),
        (b"GET / HTTP/9.9\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "400"),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting",
            "400",
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "(not HTTP/2)"),
        (b"\0\0\0\0\0\0\0\0\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nHost", ""),
        (b"", ""),
        (long_header.as_bytes(), "431"),
        (many_headers.as_bytes(), "431"),
        (long_path.as_bytes(), "4"),
    ] {
        let reply = rig.tell(bytes).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
        assert!(
            reply.is_empty() || reply.starts_with("HTTP/1.1 4"),
            "{shown}: {reply}"
        );
        assert!(status.is_empty() || reply.contains(status), "{shown}: {reply}");
    }
    assert_eq!(rig.host.begun.available_permits(), 0);
    assert!(
        rig.tell("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .ends_with("GET /x ")
    );
}

/// The body of the last reply.
fn error(replies: &str) -> serde_json::Value {
    let (head, body) = replies.rsplit_once("\r\n\r\n").expect("has a head");
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{replies}"
    );
    assert!(head.contains("content-type: application/json"), "{replies}");
    serde_json::from_str(body).unwrap_or_else(|_| panic!("is no JSON: {replies}"))
}

#[tokio::test]
async fn what_is_no_request_is_answered_as_every_error_is() {
    let rig = Rig::start().await;
    let long_header = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    for (request, status, code) in [
        ("nonsense\r\n\r\n", "HTTP/1.1 400 ", "bad_request"),
        (
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "HTTP/1.1 400 ",
            "bad_request",
        ),
        (&long_header, "HTTP/1.1 431 ", "head_too_large"),
        (&many_headers, "HTTP/1.1 431 ", "head_too_large"),
    ] {
        let replies = rig.told(request.as_bytes()).await;
        assert!(replies.starts_with(status), "{replies}");
        let told = error(&replies);
        assert_eq!(
            (&told["result"], &told["code"]),
            (&"error".into(), &code.into()),
            "{replies}"
        );
        // Behind a valid request, on the same connection.
        let both = format!("GET /a HTTP/1.1\r\nHost: x\r\n\r\n{request}");
        let replies = rig.told(both.as_bytes()).await;
        assert!(
            replies.contains("GET /a ") && replies.contains(status),
            "{replies}"
        );
        assert_eq!(error(&replies)["code"], code);
    }
}

#[tokio::test]
async fn a_value_that_looks_like_a_refusal_is_handed_out_as_it_is() {
    let rig = Rig::start().await;
    let value = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    // Long replies are written in pieces of 64 KiB: here each of them ends like a refusal.
    let piece = format!("{}{value}", "v".repeat(64 * 1024 - value.len()));
    let long = format!("{}and more", piece.repeat(8)).split_off("PUT /whole ".len());
    for value in [value.to_owned(), long] {
        let request = format!(
            "PUT /whole HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{value}",
            value.len()
        );
        for count in 1..4 {
            let replies = rig.tell(request.repeat(count)).await;
            let echoed = format!("PUT /whole {value}");
            assert!(
                replies.matches(&echoed).count() == count,
                "{count} of {} bytes",
                value.len()
            );
            assert!(replies.ends_with(&echoed), "{count} of {} bytes", value.len());
        }
    }
}

#[tokio::test]
async fn what_would_be_passed_over_never_comes_to_the_host() {
    let rig = Rig::start().await;
    for (method, header, body, code) in [
        ("PUT", "If-Match: x", "v", "not_offered"),
        ("PUT", "If-None-Match: *", "v", "not_offered"),
        ("DELETE", "If-Match: x", "", "not_offered"),
        ("PUT", "Content-Range: bytes 0-1/2", "v", "not_offered"),
        ("PUT", "Content-Encoding: gzip", "v", "bad_encoding"),
        ("POST", "Content-Encoding: br", "v", "bad_encoding"),
    ] {
        let request = format!(
            "{method} /x HTTP/1.1\r\nHost: x\r\n{header}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let replies = rig.tell(&request).await;
        assert_eq!(error(&replies)["code"], code, "{header}: {replies}");
    }
    assert_eq!(rig.host.begun.available_permits(), 0);
    let coded = "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nv\r\n0\r\n\r\n";
    assert!(rig.tell(coded).await.starts_with("HTTP/1.1 4"));
    let plain = "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Encoding: identity\r\nContent-Length: 1\r\n\r\nv";
    assert!(rig.tell(plain).await.ends_with("PUT /x v"));
}

#[tokio::test]
async fn a_client_that_vanishes_in_the_middle_leaves_the_server_serving() {
    let rig = Rig::start().await;
    for part in [
        "GE",
        "GET /a HTTP/1.1\r\nHos",
        "PUT /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
    ] {
        let mut client = rig.client().await;
        client.send(part).await;
        // With unread bytes on both sides this is a reset, the most abrupt end.
        client.socket.set_zero_linger().expect("is a socket");
        drop(client);
    }
    assert!(
        rig.tell("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .ends_with("GET /x ")
    );
}

#[tokio::test]
async fn when_told_to_stop_it_finishes_what_it_began() {
    let rig = Rig::start().await;
    let (mut busy, mut idle, mut half) = (rig.client().await, rig.client().await, rig.client().await);
    busy.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await;
    idle.send("GET /idle HTTP/1.1\r\nHost: x\r\n\r\n").await;
    idle.until("GET /idle ").await;
    half.send("GET /half HTTP/1.1\r\n").await;
    rig.begun(2).await;
    rig.stop.cancel();
    assert_eq!(idle.rest().await, "");
    rig.host.held.add_permits(1);
    let reply = busy.rest().await;
    assert!(
        reply.contains("connection: close") && reply.ends_with("GET /held "),
        "{reply}"
    );
    patiently(rig.server).await.expect("ends");
    assert!(tokio::net::TcpStream::connect(rig.address).await.is_err());
}
