//! When the client repeats a request, and when it must not: against nodes that play a script.
#![expect(
    clippy::disallowed_types,
    reason = "the scripted nodes listen on sockets of their own"
)]

use std::cell::RefCell;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::wire::public::OperationAsked;

/// What a scripted node does with one request.
#[derive(Debug, Clone, Copy)]
enum Act {
    Answer(&'static str, &'static str),
    /// Answers, keeps the connection for a moment, and closes it although it said it would not.
    AnswerAndClose(&'static str, &'static str),
    HangUp,
    SayNothing,
}

struct Node {
    id: NodeId,
    listener: TcpListener,
    script: Vec<Act>,
    /// The first line of each request that arrived, and the payload it carried.
    asked: RefCell<Vec<String>>,
}

impl Node {
    async fn with(script: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("has an address");
        Self {
            id: address.to_string().parse().expect("is a node"),
            listener,
            script: script.to_vec(),
            asked: RefCell::default(),
        }
    }

    async fn play(&self) {
        let mut script = self.script.iter().copied();
        loop {
            let (mut stream, _) = self.listener.accept().await.expect("a connection");
            while let Some(request) = request(&mut stream).await {
                self.asked.borrow_mut().push(request);
                let (status, body, stays) = match script.next().unwrap_or(Act::HangUp) {
                    Act::Answer(status, body) => (status, body, true),
                    Act::AnswerAndClose(status, body) => (status, body, false),
                    Act::HangUp => break,
                    Act::SayNothing => continue,
                };
                let length = body.len();
                let reply = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
                stream
                    .write_all(reply.as_bytes())
                    .await
                    .expect("the client listens");
                if !stays {
                    break;
                }
            }
        }
    }
}

/// The next request: its first line and its payload. None when the client closes.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("a head is text");
    let field = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        fields
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
    };
    let length = field("content-length").map_or(0, |length| length.parse().expect("is a number"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    Some(field("causal-payload").map_or(line.clone(), |payload| format!("{line} {payload}")))
}

/// Does some work while the nodes play.
async fn while_playing<T>(nodes: &[&Node], work: impl Future<Output = T>) -> T {
    let playing = futures_util::future::join_all(nodes.iter().map(|node| node.play()));
    tokio::select! {
        done = work => done,
        _ = playing => unreachable!("nodes play for ever"),
    }
}

/// An address where nothing listens.
async fn nowhere() -> NodeId {
    Node::with(&[]).await.id
}

fn client(nodes: &[&NodeId]) -> Client {
    Client::new(nodes.iter().map(|node| (*node).clone()).collect()).with_timeout(Duration::from_millis(300))
}

fn key() -> Key {
    Key::new("k").expect("is a key")
}

const STORED: Act = Act::Answer(
    "201 Created",
    r#"{"partition_id":0,"causal_payload":"p1","replicas":2}"#,
);
const FOUND: Act = Act::Answer(
    "200 OK",
    r#"{"value":"v","partition_id":0,"causal_payload":"p2"}"#,
);
const MISSING: Act = Act::Answer(
    "404 Not Found",
    r#"{"code":"key_not_found","causal_payload":"p3"}"#,
);
const STARTING: Act = Act::Answer("503 Service Unavailable", r#"{"code":"starting","error":"wait"}"#);

#[tokio::test]
async fn a_write_moves_on_where_nothing_listens() {
    let good = Node::with(&[STORED]).await;
    let client = client(&[&nowhere().await, &good.id]);
    let mut session = Session::default();
    let written = while_playing(&[&good], client.put(&key(), "v".into(), &mut session)).await;
    let written = written.expect("is stored");
    assert_eq!(
        (written.created, written.partition_id, written.replicas),
        (true, 0, Some(2))
    );
    assert_eq!(session.payload(), "p1");
}

#[tokio::test]
async fn a_write_that_may_have_arrived_is_not_repeated() {
    for act in [Act::HangUp, Act::SayNothing] {
        let (lost, good) = (Node::with(&[act]).await, Node::with(&[STORED]).await);
        let client = client(&[&lost.id, &good.id]);
        let mut session = Session::default();
        let outcome = while_playing(&[&lost, &good], client.put(&key(), "v".into(), &mut session)).await;
        assert!(
            matches!(outcome, Err(ClientError::UnknownOutcome(_))),
            "{outcome:?}"
        );
        assert_eq!((lost.asked.borrow().len(), good.asked.borrow().len()), (1, 0));
        assert!(session.is_fresh());
    }
}

#[tokio::test]
async fn a_read_is_asked_of_the_next_node_whatever_happened() {
    for act in [Act::HangUp, Act::SayNothing, STARTING] {
        let (bad, good) = (Node::with(&[act]).await, Node::with(&[FOUND, FOUND]).await);
        let client = client(&[&bad.id, &good.id]);
        let mut session = Session::default();
        let twice = async {
            let found = client.get(&key(), &mut session).await.expect("is found");
            assert_eq!(found.value, b"v");
            client.get(&key(), &mut session).await.expect("is found")
        };
        while_playing(&[&bad, &good], twice).await;
        assert_eq!(
            bad.asked.borrow().len(),
            1,
            "the one that answered is asked first from then on"
        );
        assert_eq!(
            *good.asked.borrow(),
            ["GET /kv-store/key/k", "GET /kv-store/key/k p2"]
        );
    }
}

#[tokio::test]
async fn a_kept_connection_that_died_costs_no_write() {
    let Act::Answer(status, body) = STORED else {
        unreachable!()
    };
    let node = Node::with(&[Act::AnswerAndClose(status, body), STORED]).await;
    let client = client(&[&node.id]);
    let mut session = Session::default();
    let twice = async {
        client
            .put(&key(), "v".into(), &mut session)
            .await
            .expect("is stored");
        // The node closes the connection while no task drives it.
        tokio::task::yield_now().await;
        client.put(&key(), "w".into(), &mut session).await
    };
    while_playing(&[&node], twice)
        .await
        .expect("is stored over a new connection");
    assert_eq!(
        *node.asked.borrow(),
        ["PUT /kv-store/key/k", "PUT /kv-store/key/k p1"]
    );
}

#[tokio::test]
async fn a_missing_key_is_depended_upon_and_a_refusal_is_not() {
    let node = Node::with(&[MISSING, STARTING]).await;
    let client = client(&[&node.id]);
    let mut session = Session::default();
    let both = async {
        let missing = client.delete(&key(), &mut session).await;
        assert!(matches!(missing, Err(ClientError::NoSuchKey(_))), "{missing:?}");
        client.delete(&key(), &mut session).await
    };
    let refused = while_playing(&[&node], both).await.expect_err("is refused");
    assert_eq!(refused.to_string(), format!("wait (503 from {})", node.id));
    assert_eq!(session.payload(), "p3");
}

#[tokio::test]
async fn keys_are_escaped_and_values_are_bytes() {
    let base64 = Act::Answer(
        "200 OK",
        r#"{"value_base64":"/w==","partition_id":0,"causal_payload":""}"#,
    );
    let node = Node::with(&[base64]).await;
    let client = client(&[&node.id]);
    let key = Key::new("a/b é").expect("is a key");
    let mut session = Session::default();
    let found = while_playing(&[&node], client.get(&key, &mut session))
        .await
        .expect("is found");
    assert_eq!(found.value, [0xff]);
    assert_eq!(*node.asked.borrow(), ["GET /kv-store/key/a%2Fb%20%C3%A9"]);
}

#[tokio::test]
async fn an_answer_of_something_else_is_said_to_be_that() {
    let node = Node::with(&[Act::Answer("200 OK", "<html>")]).await;
    let client = client(&[&node.id]);
    let outcome = while_playing(&[&node], client.status()).await;
    assert!(matches!(outcome, Err(ClientError::Garbled { .. })), "{outcome:?}");
}

fn view_change(kind: ViewChangeKind, dry_run: bool) -> ViewChange {
    let node = "[::1]:80".parse().expect("is a node");
    ViewChange { node, kind, dry_run }
}

#[tokio::test]
async fn view_changes_are_asked_for_and_their_replies_are_read() {
    let added = r#"{"result":"success","partition_id":-1,"number_of_partitions":2,"role":"proxy","epoch":5}"#;
    let removed = r#"{"result":"success","number_of_partitions":1,"epoch":6,"warning":"gone"}"#;
    let previewed = r#"{"result":"success","dry_run":true,"before":{"partitions":[["a:1"]],"proxies":[]},
        "after":{"partitions":[["a:1"]],"proxies":["b:1"]},"slots_moved":0,"keys_moved":0,"slots_given_up":0}"#;
    let node = Node::with(&[added, removed, previewed, added].map(|body| Act::Answer("200 OK", body))).await;
    let client = client(&[&node.id]);
    let (forced, dry) = (ViewChangeKind::Remove { force: true }, true);
    let all = async {
        let added = client.change_view(&view_change(ViewChangeKind::Add, false)).await;
        let removed = client.change_view(&view_change(forced, false)).await;
        let previewed = client.change_view(&view_change(ViewChangeKind::Add, dry)).await;
        let changed = client.change_view(&view_change(forced, dry)).await;
        (added, removed, previewed, changed)
    };
    let (added, removed, previewed, changed) = while_playing(&[&node], all).await;
    let Ok(ViewChanged::Changed(added, _)) = added else {
        panic!("{added:?}");
    };
    assert_eq!(
        (added.partition_id, added.number_of_partitions, added.epoch),
        (Some(-1), 2, 5)
    );
    let Ok(ViewChanged::Changed(removed, _)) = removed else {
        panic!("{removed:?}");
    };
    assert_eq!(
        (removed.partition_id, removed.warning.as_deref()),
        (None, Some("gone"))
    );
    let Ok(ViewChanged::Preview(preview, _)) = previewed else {
        panic!("{previewed:?}");
    };
    assert_eq!(
        (preview.before.proxies.len(), preview.after.proxies.len()),
        (0, 1)
    );
    assert!(
        matches!(changed, Err(ClientError::Garbled { .. })),
        "a change is no dry run: {changed:?}"
    );
    let target = "PUT /kv-store/update_view?type=";
    let node_in_query = "ip_port=%5B%3A%3A1%5D%3A80";
    let expected = [
        "add&IP",
        "remove&IP&force=true",
        "add&IP&dry_run=true",
        "remove&IP&force=true&dry_run=true",
    ];
    let expected = expected.map(|query| format!("{target}{}", query.replace("IP", node_in_query)));
    assert_eq!(*node.asked.borrow(), expected);
}

#[tokio::test]
async fn a_view_change_that_may_have_begun_is_not_repeated() {
    let (lost, good) = (Node::with(&[Act::HangUp]).await, Node::with(&[STARTING]).await);
    let add = view_change(ViewChangeKind::Add, false);
    let asking = client(&[&lost.id, &good.id]);
    let outcome = while_playing(&[&lost, &good], asking.change_view(&add)).await;
    assert!(
        matches!(outcome, Err(ClientError::UnknownOutcome(_))),
        "{outcome:?}"
    );
    let asking = client(&[&good.id]);
    let outcome = while_playing(&[&good], asking.change_view(&add)).await;
    assert!(matches!(outcome, Err(ClientError::Refused(_))), "{outcome:?}");
    assert_eq!((lost.asked.borrow().len(), good.asked.borrow().len()), (1, 1));
}

fn get_of(key: &str) -> OperationAsked {
    OperationAsked {
        op: "get".into(),
        key: key.into(),
        val: None,
        val_base64: None,
    }
}

/// Each answer has room for one of three values.
#[tokio::test]
async fn values_for_which_an_answer_had_no_room_are_asked_for_again() {
    const TOO_LARGE: &str =
        r#"{"status":413,"result":"error","error":"no room","msg":"","code":"answer_too_large"}"#;
    let found = |value: &str| format!(r#"{{"status":200,"result":"success","msg":"","value":"{value}"}}"#);
    let reply = |results: &[&str], payload: &str| -> &'static str {
        let results = results.join(",");
        format!(r#"{{"result":"success","msg":"","results":[{results}],"causal_payload":"{payload}"}}"#)
            .leak()
    };
    let (a, b) = (found("1"), found("2"));
    let node = Node::with(&[
        Act::Answer("207 Multi-Status", reply(&[&a, TOO_LARGE, TOO_LARGE], "AQ_1")),
        Act::Answer("207 Multi-Status", reply(&[&b, TOO_LARGE], "AQ_2")),
        // A node that makes no progress does not keep its client.
        Act::Answer("207 Multi-Status", reply(&[TOO_LARGE], "AQ_3")),
    ])
    .await;
    let client = Client::new(vec![node.id.clone()]);
    let mut session = Session::default();
    let operations = [get_of("a"), get_of("b"), get_of("c")];
    let done = tokio::select! {
        done = client.batch(&operations, &mut session) => done,
        () = node.play() => unreachable!("plays on"),
    };
    let (outcomes, reply) = done.expect("is answered");
    let told: Vec<String> = outcomes
        .iter()
        .map(|one| match one {
            OperationDone::Found(found) => String::from_utf8_lossy(&found.value).into_owned(),
            OperationDone::Refused(reply) => reply.code().unwrap_or_default().to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["1", "2", "answer_too_large"]);
    let asked = node.asked.borrow();
    assert_eq!(asked.len(), 3);
    assert!(
        asked[1].contains("AQ_1") && asked[2].contains("AQ_2"),
        "{asked:?}"
    );
    assert_eq!(reply.body["results"][1]["value"], "2");
    assert_eq!(reply.body["causal_payload"], "AQ_3");
    assert_eq!(session.payload(), "AQ_3");
}
