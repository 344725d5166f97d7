//! Processes that are frozen with SIGSTOP for longer than the others wait for them, and thaw. Sets made
//! meanwhile are visible at once, also to a client whose request waited in the frozen process's socket.

use super::process::{Process, serving, three_serving};
use crate::support::waiting::wait_for;

fn members_agree(processes: &[&Process]) {
    for process in processes {
        process.until_away(0);
    }
}

/// Sets at a process whose siblings are frozen. The first push to them waits in their sockets and shows
/// that they do not answer; later ones are not even sent.
fn set_alone(process: &Process, value: &str) {
    process.set("k", b"old");
    process.set("k", value.as_bytes());
}

/// Sends a get to each frozen process, thaws all of them, and expects the value from each.
#[track_caller]
fn assert_have_when_they_go_on(frozen: &[&Process], value: &str) {
    let sent = frozen.iter().map(|process| process.begin("GET", "/get/k", b""));
    let sent: Vec<_> = sent.map(|sent| sent.expect("the machine takes it")).collect();
    frozen.iter().for_each(|process| process.go_on());
    for (process, stream) in frozen.iter().zip(sent) {
        let reply = stream.reply().expect("is answered").expect(200);
        assert_eq!(reply.lossy(), value, "at {}", process.port);
    }
}

#[test]
fn a_process_that_goes_on_sees_what_was_set_meanwhile() {
    let (_folder, one, other) = serving();
    for round in 0..6 {
        let (frozen, stays) = if round % 2 == 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        members_agree(&[frozen, stays]);
        frozen.freeze();
        stays.until_away(1);
        let value = format!("value {round}");
        set_alone(stays, &value);
        assert_have_when_they_go_on(&[frozen], &value);
        // And the other way round.
        let value = format!("later {round}");
        frozen.set("k", value.as_bytes());
        stays.assert_has("k", value.as_bytes());
    }
}

#[test]
fn two_of_three_that_go_on_see_what_only_the_third_took() {
    let (_folder, three) = three_serving();
    for round in 0..6 {
        let writer = &three[round % 3];
        let frozen: Vec<&Process> = three.iter().filter(|one| one.port != writer.port).collect();
        members_agree(&three.each_ref());
        frozen.iter().for_each(|process| process.freeze());
        writer.until_away(2);
        let value = format!("value {round}");
        set_alone(writer, &value);
        assert_have_when_they_go_on(&frozen, &value);
    }
}

/// Each considers the other frozen when the get comes: the process that thaws last was awake while the
/// other was frozen.
#[test]
fn a_process_that_believes_the_other_away_asks_it_all_the_same() {
    let (_folder, one, other) = serving();
    for round in 0..4 {
        let (last, first) = if round % 2 == 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        members_agree(&[last, first]);
        first.freeze();
        last.until_away(1);
        last.freeze();
        first.go_on();
        first.until_away(1);
        let value = format!("value {round}");
        set_alone(first, &value);
        assert_have_when_they_go_on(&[last], &value);
    }
}

#[test]
fn a_killed_process_sees_at_once_what_was_set_while_it_was_dead() {
    let (_folder, mut one, mut other) = serving();
    for round in 0..6 {
        let (killed, stays) = if round % 2 == 0 {
            (&mut one, &other)
        } else {
            (&mut other, &one)
        };
        killed.kill();
        let value = format!("value {round}");
        set_alone(stays, &value);
        killed.start();
        // As soon as it serves at all.
        let reply = wait_for("it serves", || {
            let reply = killed.ask("GET", "/get/k", b"").ok()?;
            (reply.status != 503).then_some(reply)
        });
        assert_eq!((reply.status, reply.lossy()), (200, value), "round {round}");
        members_agree(&[killed, stays]);
    }
}

/// If a process waited for its sibling, the client's time would run out.
#[test]
fn a_frozen_or_dead_sibling_holds_nobody_up() {
    let (_folder, one, mut other) = serving();
    let serves_alone = |value: &str| {
        for _ in 0..3 {
            one.set("k", value.as_bytes());
            one.assert_has("k", value.as_bytes());
        }
    };
    other.freeze();
    serves_alone("beside a frozen one");
    other.go_on();
    other.assert_has("k", b"beside a frozen one");
    other.kill();
    serves_alone("beside a dead one");
}
