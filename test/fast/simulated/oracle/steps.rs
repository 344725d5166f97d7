//! Tests the workload's promises to the oracle.

use crate::support::history::{Action, Answer, OpId, Outcome, Phase, Reply};
use crate::support::workload::{Shape, Workload, spread_keys};

const NODES: usize = 4;

fn written(payload: &str) -> Reply {
    Reply {
        outcome: Outcome::Ok(Answer::Written {
            created: false,
            replicas: 1,
            stamp: None,
        }),
        payload: payload.into(),
    }
}

fn lonely() -> Shape {
    Shape {
        lanes: 1,
        puts: 1.0,
        session_ends: 0.0,
        ..Shape::default()
    }
}

#[test]
fn a_session_threads_its_payload() {
    let mut workload = Workload::new(7, lonely());
    let first = workload.next(0, NODES).expect("begins");
    assert_eq!((first.payload.as_str(), &first.after[..]), ("", &[][..]));
    let (id, session) = (first.id, first.session);
    workload.finished(0, first, vec![written("p1")], 0, 1);
    let second = workload.next(0, NODES).expect("goes on");
    assert_eq!((second.payload.as_str(), second.after), ("p1", vec![id]));
    assert_eq!(second.session, session);
}

#[test]
fn a_refusal_changes_nothing_and_an_unknown_write_ends_the_session() {
    let mut workload = Workload::new(7, lonely());
    let first = workload.next(0, NODES).expect("begins");
    let session = first.session;
    workload.finished(0, first, vec![Reply::refused("starting")], 0, 1);
    let second = workload.next(0, NODES).expect("goes on");
    assert_eq!(second.session, session);
    workload.finished(0, second, vec![Reply::unknown("timeout")], 2, 3);
    let third = workload.next(0, NODES).expect("goes on");
    assert_ne!(third.session, session);
}

/// Each operation of a batch has the payload of the last success before it.
#[test]
fn a_batch_threads_its_payload_and_so_does_its_session() {
    let shape = Shape {
        batches: 1.0,
        ..lonely()
    };
    let batch_with = |replies: Vec<Reply>| {
        let mut workload = Workload::new(7, shape.clone());
        let step = workload.next(0, NODES).expect("begins");
        assert_eq!((step.id, step.operations.len()), (OpId(1), 2));
        workload.finished(0, step, replies, 0, 1);
        let next = workload.next(0, NODES).expect("goes on");
        assert_eq!(next.id, OpId(3));
        let second = workload.history().events[1].clone();
        assert_eq!(second.id, OpId(2));
        (second.payload_in, second.after, next.payload, next.after)
    };
    let (one, other) = (|| "p1".to_owned(), || "p2".to_owned());
    assert_eq!(
        batch_with(vec![written("p1"), written("p2")]),
        (one(), vec![OpId(1)], other(), vec![OpId(2)])
    );
    assert_eq!(
        batch_with(vec![Reply::refused("busy"), written("p2")]),
        (String::new(), vec![], other(), vec![OpId(2)])
    );
    assert_eq!(
        batch_with(vec![written("p1"), Reply::refused("busy")]),
        (one(), vec![OpId(1)], one(), vec![OpId(1)])
    );
}

#[test]
fn payloads_are_handed_over_with_their_operations() {
    let shape = Shape {
        lanes: 2,
        hand_overs: 1.0,
        ..lonely()
    };
    let mut workload = Workload::new(7, shape);
    let joined = (0..40).any(|turn| {
        let step = workload.next(turn % 2, NODES).expect("goes on");
        let joins = step.after.len() == 2 && step.payload.split(',').count() == 2;
        let payload = format!("p{}", step.id.0);
        workload.finished(turn % 2, step, vec![written(&payload)], 0, 1);
        joins
    });
    assert!(joined);
}

#[test]
fn a_seed_repeats_its_run() {
    let steps = |seed| -> Vec<_> {
        let mut workload = Workload::new(seed, Shape::default());
        let turns = (0..60).map(|turn| {
            let step = workload.next(turn % 6, NODES).expect("goes on");
            workload.finished(turn % 6, step.clone(), vec![written("p")], 0, 1);
            step
        });
        turns.collect()
    };
    assert_eq!(steps(1), steps(1));
    assert_ne!(steps(1), steps(2));
}

#[test]
fn it_ends_when_used_up_or_stopped() {
    let shape = Shape {
        operations: 2,
        ..lonely()
    };
    let mut workload = Workload::new(7, shape);
    for _ in 0..2 {
        let step = workload.next(0, NODES).expect("two are asked for");
        workload.finished(0, step, vec![written("p")], 0, 1);
    }
    assert_eq!(workload.next(0, NODES), None);

    let mut stopped = Workload::new(7, lonely());
    stopped.stop();
    assert_eq!(stopped.next(0, NODES), None);
}

#[test]
fn at_the_end_everybody_reads_everything_everywhere() {
    let shape = lonely();
    let keys = shape.keys.len();
    let mut workload = Workload::new(7, shape);
    let step = workload.next(0, NODES).expect("begins");
    workload.finished(0, step, vec![written("p1")], 0, 1);
    let steps = workload.final_steps(NODES);
    assert_eq!(steps.len(), 2 * keys * NODES);
    assert!(
        steps
            .iter()
            .all(|step| step.phase == Phase::Final && step.operations[0].action == Action::Get)
    );
    let with_payload = steps.iter().filter(|step| step.after == [OpId(1)]);
    assert_eq!(with_payload.count(), keys * NODES);
}

#[test]
fn the_payload_of_a_session_that_is_over_is_read_at_the_end() {
    let shape = Shape {
        session_ends: 1.0,
        blank_starts: 1.0,
        ..lonely()
    };
    let keys = shape.keys.len();
    let mut workload = Workload::new(7, shape);
    let step = workload.next(0, NODES).expect("begins");
    workload.finished(0, step, vec![written("p1")], 0, 1);
    let next = workload.next(0, NODES).expect("another session begins");
    assert_eq!(next.after, []);
    let steps = workload.final_steps(NODES);
    let with_payload: Vec<_> = steps.iter().filter(|step| step.after == [OpId(1)]).collect();
    assert_eq!(with_payload.len(), keys);
    assert!(with_payload.iter().all(|step| step.session != next.session));
}

#[test]
fn keys_are_spread_over_the_slots() {
    let keys = spread_keys(3, 4);
    let run_of = |key: &String| causeway::names::Slot::of(key).index() * 3 / 16_384;
    for run in 0..3 {
        assert_eq!(
            keys.iter().filter(|key| run_of(key) == run).count(),
            4,
            "{keys:?}"
        );
    }
}
