//! Tests two processes that replicate, started from configuration files as people start them: values are
//! unchanged and fresh at the other process at once, whichever starts first and whichever is killed.

mod frozen;
mod process;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::running::{assert_ends, causeway};
use crate::support::stopping::StopOnDrop;
use crate::support::waiting::until;
use process::{Process, pair, serving};

#[test]
fn values_come_back_as_they_are_at_the_other_process_at_once() {
    let (_folder, one, other) = serving();
    let every_byte: Vec<u8> = (0..=255).cycle().take(4096).collect();
    let large = vec![b'x'; 1024 * 1024];
    for (key, value, kind) in [
        ("json", &br#""value""#[..], "application/json"),
        ("object", br#"{"a": [1, 2]}"#, "application/json"),
        ("text", b"a line\n", "application/octet-stream"),
        ("empty", b"", "application/octet-stream"),
        ("bytes", &every_byte, "application/octet-stream"),
        ("large", &large, "application/octet-stream"),
        ("a/b", b"slash", "application/octet-stream"),
        ("a%20b%C3%A9", b"blank", "application/octet-stream"),
    ] {
        one.set(key, value);
        for process in [&other, &one] {
            process.assert_has(key, value);
            let reply = process
                .ask("GET", &format!("/get/{key}"), b"")
                .expect("is answered");
            assert_eq!(reply.header("content-type"), Some(kind), "{key}");
        }
    }
    let reply = other.ask("PUT", "/set/put", b"1").expect("is answered");
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"OK\n"[..]));
    one.assert_has("put", b"1");
    for (path, method, status) in [
        ("/get/nothing", "GET", 404),
        ("/get/", "GET", 400),
        ("/get", "GET", 400),
        ("/set/", "POST", 400),
        ("/set", "POST", 400),
        ("/set/x", "GET", 405),
        ("/get/x", "POST", 405),
    ] {
        let reply = other.ask(method, path, b"v").expect("is answered");
        assert_eq!(reply.status, status, "{method} {path}");
    }
    let too_large = other
        .ask("POST", "/set/x", &vec![b'x'; 1024 * 1024 + 1])
        .expect("is answered");
    assert_eq!(too_large.status, 413);
}

#[test]
fn every_write_is_read_at_the_other_process_and_the_second_one_wins() {
    let (_folder, one, other) = serving();
    for round in 0..300 {
        let key = format!("k{}", round % 7);
        let (writer, reader) = if round % 2 == 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        let value = format!("value {round}");
        writer.set(&key, value.as_bytes());
        reader.assert_has(&key, value.as_bytes());
        writer.assert_has(&key, value.as_bytes());
    }
}

#[test]
fn either_may_be_started_first() {
    for second_first in [false, true] {
        let (_folder, mut one, mut other) = pair();
        let (early, late) = if second_first {
            (&mut other, &mut one)
        } else {
            (&mut one, &mut other)
        };
        early.start();
        // It answers at once, with any status: keys are served when both met, or one may serve alone.
        until("it listens", || early.ask("GET", "/livez", b"").is_ok());
        late.start();
        early.until_serving();
        late.until_serving();
        early.set("k", b"1");
        late.assert_has("k", b"1");
        late.set("k", b"2");
        early.assert_has("k", b"2");
    }
}

#[test]
fn two_that_became_strangers_say_so_until_one_starts_anew() {
    let (folder, mut one, mut other) = serving();
    one.set("k", b"of both");
    one.kill();
    other.kill();
    let of_one = folder.path().join(format!("n{}", one.port));
    std::fs::remove_dir_all(&of_one).expect("is there");
    // The one with the smallest address may serve alone: it cannot know that the other has data.
    one.start();
    one.until_serving();
    one.set("k", b"of one");
    other.start();
    for process in [&one, &other] {
        until("they have met", || {
            let reply = process.ask("GET", "/get/k", b"");
            reply.is_ok_and(|reply| reply.status == 503 && reply.lossy().contains("other_cluster"))
        });
    }
    one.kill();
    until("the other serves alone", || {
        other
            .ask("GET", "/get/k", b"")
            .is_ok_and(|reply| reply.status == 200)
    });
    std::fs::remove_dir_all(&of_one).expect("is there");
    one.start();
    one.until_serving();
    one.assert_has("k", b"of both");
    one.set("k", b"of both again");
    other.assert_has("k", b"of both again");
}

#[test]
fn two_that_go_by_each_others_address_say_so_until_their_files_are_put_right() {
    let (_folder, mut one, mut other) = pair();
    one.goes_by(other.port, &[one.port]);
    other.goes_by(one.port, &[other.port]);
    one.start();
    other.start();
    for process in [&one, &other] {
        let hint = format!(
            "whose IPPORT is localhost:{}",
            one.port + other.port - process.port
        );
        until("it says which address is wrong", || {
            let reply = process.ask("GET", "/get/k", b"");
            reply.is_ok_and(|reply| reply.status == 503 && reply.lossy().contains(&hint))
        });
    }
    one.kill();
    other.kill();
    one.goes_by(one.port, &[other.port]);
    other.goes_by(other.port, &[one.port]);
    one.start();
    other.start();
    one.until_serving();
    other.until_serving();
    one.set("k", b"v");
    other.assert_has("k", b"v");
}

/// For each key, the last acknowledged value, and unacknowledged ones that may have replaced it.
type Written = BTreeMap<String, (String, Vec<String>)>;

/// Writers that go on until told to stop.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    answered: AtomicUsize,
}

impl Load {
    fn write(&self, process: &Process, name: &str) -> Written {
        let mut written = Written::new();
        for number in 0..50_000 {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let (key, value) = (format!("{name}{}", number % 13), number.to_string());
            let reply = process.ask("POST", &format!("/set/{key}"), value.as_bytes());
            match reply.map(|reply| reply.status) {
                Ok(200) => {
                    written.insert(key, (value, Vec::new()));
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(503) => {}
                _ => written.entry(key).or_default().1.push(value),
            }
        }
        written
    }

    fn until_answered(&self, more: usize) {
        let goal = self.answered.load(Ordering::Relaxed) + more;
        until("writes are answered", || {
            self.answered.load(Ordering::Relaxed) >= goal
        });
    }
}

#[test]
fn what_was_answered_is_there_after_either_was_killed_under_load() {
    let (_folder, mut one, mut other) = serving();
    for round in 0..4 {
        let load = Load::default();
        let (killed, stays) = if round % 2 == 0 {
            (&mut one, &other)
        } else {
            (&mut other, &one)
        };
        let written = std::thread::scope(|scope| {
            let to_be_killed = killed.to_be_asked();
            let load = &load;
            let at_both = [
                scope.spawn(move || load.write(&to_be_killed, &format!("killed{round}-"))),
                scope.spawn(move || load.write(stays, &format!("stays{round}-"))),
            ];
            let stopping = StopOnDrop(&load.stop);
            load.until_answered(100);
            killed.kill();
            load.until_answered(50);
            killed.start();
            killed.until_serving();
            load.until_answered(50);
            drop(stopping);
            at_both.map(|writer| writer.join().expect("writes"))
        });
        for (key, (value, open)) in written.into_iter().flatten() {
            let seen = [&one, &other].map(|process| process.ask("GET", &format!("/get/{key}"), b""));
            let [at_one, at_other] = seen.map(|reply| reply.expect("is answered"));
            assert!(at_one.body == at_other.body, "{key} differs");
            let (status, body) = (at_one.status, at_one.lossy());
            let is_there = status == 200 && (body == value || open.contains(&body));
            let was_never_answered = status == 404 && value.is_empty();
            assert!(
                is_there || was_never_answered,
                "{key}: {status} {body:?}, {value:?} was answered"
            );
        }
    }
}

#[test]
fn writers_at_both_processes_agree_in_the_end() {
    let (_folder, one, other) = serving();
    std::thread::scope(|scope| {
        for (name, process) in [
            ("one", &one),
            ("other", &other),
            ("third", &one),
            ("fourth", &other),
        ] {
            scope.spawn(move || {
                for number in 0..100 {
                    process.set(
                        &format!("hot{}", number % 5),
                        format!("{name} {number}").as_bytes(),
                    );
                }
            });
        }
    });
    for key in (0..5).map(|number| format!("/get/hot{number}")) {
        let seen = [&one, &other].map(|process| process.ask("GET", &key, b"").expect("is answered"));
        let [at_one, at_other] = seen.map(|reply| (reply.status, reply.body));
        assert_eq!(at_one, at_other, "{key}");
    }
}

#[test]
fn a_mistaken_file_is_refused_with_every_mistake() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.toml");
    std::fs::write(
        &path,
        "port = 70000\npeers = \"localhost:1\"\nreplication_factor = 0\nprot = 1\n",
    )
    .expect("is written");
    let output = causeway(&["serve", "--config", path.to_str().expect("is text")]);
    let mistakes = [
        "port must be",
        "peers must be",
        "replication_factor must be",
        "there is no setting prot",
    ];
    assert_ends(&output, 64, &mistakes);
}
