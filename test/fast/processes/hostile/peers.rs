//! Peers that send garbage: each stream is closed, and the log says so once.

use bytes::Bytes;
use causeway::names::{Epoch, Incarnation, Member};
use causeway::net::stream::HttpDialer;
use causeway::net::{Dialer, Pipe};
use causeway::protocol::causality::Timestamp;
use causeway::wire::peer::{
    Body, Frame, Greeting, Question, Shown, decode_frame, decode_greeting, encode_frame, encode_greeting,
};
use tokio::time::timeout;

use super::process::Process;
use crate::support::waiting::until;

const SOON: std::time::Duration = std::time::Duration::from_secs(10);
const CALLS: usize = 40;

/// The log line of a stream that was closed.
const CLOSED: &str = "closed the stream of a peer";

async fn dial(process: &Process) -> Pipe {
    let node = process.address.to_string().parse().expect("is a node");
    HttpDialer::default().dial(node).await.expect("is accepted")
}

fn greeting(clock: Timestamp) -> Bytes {
    encode_greeting(&Greeting {
        member: Member {
            node: "127.0.0.1:9".parse().expect("is a node"),
            incarnation: Incarnation {
                started_ms: 1,
                random: 2,
            },
        },
        boot: 3,
        cluster: None,
        clock,
        time: Shown {
            wall_ms: clock.wall_ms(),
            believed_ms: clock.wall_ms(),
        },
        mark: Default::default(),
        remembers: Vec::new(),
        holds: None,
    })
}

/// The clock that a node sends in its greeting; the tests copy it.
async fn its_clock(process: &Process) -> Timestamp {
    let mut pipe = dial(process).await;
    let stopped_clock = greeting(Timestamp(0));
    pipe.sender.send(stopped_clock).await.expect("is open");
    let answer = timeout(SOON, pipe.receiver.recv()).await;
    let answer = answer.expect("answers or hangs up");
    let answer = decode_greeting(&answer.expect("greets before it judges")).expect("is a greeting");
    answer.clock
}

/// Sends all frames and waits for the stream to end.
async fn is_hung_up_on(pipe: Pipe, frames: &[Bytes]) {
    for frame in frames {
        // The stream may be closed before the last frame.
        let _ = pipe.sender.send(frame.clone()).await;
    }
    to_the_end(pipe).await;
}

/// Waits for the stream to end; by then the log says why.
async fn to_the_end(mut pipe: Pipe) {
    let to_the_end = async { while pipe.receiver.recv().await.is_some() {} };
    timeout(SOON, to_the_end).await.expect("is closed");
}

fn frame(clock: Timestamp, epoch: Epoch, question: Question) -> Bytes {
    encode_frame(&Frame {
        id: 1,
        clock,
        epoch,
        position: u64::MAX,
        body: Body::Ask(question),
    })
}

fn times(log: &str, part: &str) -> usize {
    log.lines().filter(|line| line.contains(part)).count()
}

#[tokio::test]
async fn each_kind_of_nonsense_ends_its_stream_and_is_logged_once() {
    let process = Process::start();
    process.ask("PUT", "/kv-store/kept", "val=here");
    let state = process.state();
    let clock = its_clock(&process).await;
    let before = times(&process.log(), CLOSED);
    let nonsense = Bytes::from_static(b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    let other_version = Bytes::from_static(b"\x63 another version");
    let from_the_future = frame(Timestamp(u64::MAX), Epoch(1), Question::Ping);
    let kinds = [
        vec![nonsense.clone()],
        vec![other_version],
        vec![greeting(clock), nonsense.clone()],
        vec![greeting(clock), from_the_future],
    ];
    for (kind, frames) in kinds.iter().enumerate() {
        for _ in 0..CALLS {
            is_hung_up_on(dial(&process).await, frames).await;
        }
        // The process logs in a thread of its own, which a busy machine may delay.
        until("the log says why", || {
            times(&process.log(), CLOSED) > before + kind
        });
        let log = process.log();
        assert_eq!(times(&log, CLOSED), before + kind + 1, "{log}");
    }
    assert_eq!(process.state(), state);
}

#[tokio::test]
async fn a_stream_that_says_nothing_is_closed() {
    let process = Process::start();
    let pipe = dial(&process).await;
    is_hung_up_on(pipe, &[]).await;
    assert_eq!(times(&process.log(), CLOSED), 0);
}

/// Well-formed questions with extreme numbers: each gets an answer or the end of the stream, and the
/// node goes on.
#[tokio::test]
async fn questions_about_the_end_of_the_numbers_are_answered() {
    let process = Process::start();
    process.ask("PUT", "/kv-store/kept", "val=here");
    let state = process.state();
    let clock = its_clock(&process).await;
    let end = Epoch(u64::MAX);
    let questions = [
        Question::Ping,
        Question::Meet,
        Question::Page {
            ticket: u64::MAX,
            page: u32::MAX,
        },
        Question::Copy {
            target: end,
            slots: causeway::protocol::placement::SlotSet::all(),
            from: causeway::wire::peer::CopyPlace {
                slot: u16::MAX,
                after: Some("\u{10ffff}".into()),
            },
        },
        Question::Holdings(causeway::protocol::placement::SlotSet::all()),
        Question::Push(causeway::protocol::replication::Push {
            epoch: Epoch(1),
            first: u64::MAX,
            after: u64::MAX,
            records: Vec::new(),
            stable: u64::MAX,
        }),
        Question::Promise {
            epoch: end,
            ballot: causeway::protocol::view_change::Ballot {
                round: u64::MAX,
                proposer: "127.0.0.1:9".parse().expect("is a node"),
                attempt: u64::MAX,
            },
            start: None,
        },
        Question::Get {
            key: causeway::names::Key::new("kept").expect("is a key"),
            payload: causeway::protocol::causality::Payload {
                epoch: end,
                ..Default::default()
            },
            patience_ms: 0,
        },
        Question::Admit { left: Vec::new() },
    ];
    for question in questions {
        let mut pipe = dial(&process).await;
        let shown = format!("{question:?}");
        pipe.sender.send(greeting(clock)).await.expect("is open");
        pipe.sender
            .send(frame(clock, end, question))
            .await
            .expect("is open");
        let greeted = timeout(SOON, pipe.receiver.recv()).await.expect("greets");
        decode_greeting(&greeted.expect("greets")).expect("is a greeting");
        let answer = timeout(SOON, pipe.receiver.recv()).await;
        let answer = answer.unwrap_or_else(|_| panic!("{shown} was not answered"));
        if let Some(answer) = answer {
            decode_frame(&answer).expect("is a frame");
        }
    }
    assert_eq!(process.state(), state);
}
