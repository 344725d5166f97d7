//! Tests a reader that is preempted after it judged by the state and before it looks into the map, while
//! the committer moves slots away, drops them, and copies them back.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures_util::future::BoxFuture;

use crate::config::{Config, Limits, StoreKind};
use crate::names::{ClusterId, Dot, Epoch, Incarnation, Key, Log, Member, NodeId, Slot};
use crate::net::{DialError, Dialer, Pipe};
use crate::node::outcome::{Found, Refusal};
use crate::node::{Committer, Machine, Node, PAGE_KEYS_MAX, Parts, Tasks};
use crate::protocol::causality::{Payload, Record, Timestamp, VersionVector};
use crate::protocol::placement::{SlotSet, View, next};
use crate::protocol::replication::{NotHere, ReplicaState};
use crate::store::MemoryEngine;
use crate::wire::peer::{Answer, CopyPlace, Declined, Listing};

thread_local! {
    static MEANWHILE: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// Called where a reading thread is preempted: runs the closure that was given to `meanwhile`.
pub(crate) fn happen_now() {
    if let Some(happen) = MEANWHILE.take() {
        happen();
    }
}

/// Runs `happen` on a thread of its own when this thread is between its two looks.
fn meanwhile(happen: impl FnOnce() + Send + 'static) {
    let on_its_own_thread = move || thread::scope(|scope| drop(scope.spawn(happen)));
    MEANWHILE.set(Some(Box::new(on_its_own_thread)));
}

#[derive(Debug)]
struct Nobody;

impl Dialer for Nobody {
    fn dial(&self, _node: NodeId) -> BoxFuture<'static, Result<Pipe, DialError>> {
        Box::pin(std::future::pending())
    }
}

fn member(number: u64) -> Member {
    let incarnation = Incarnation {
        started_ms: 1,
        random: 0,
    };
    Member {
        node: format!("n{number}:80").parse().expect("is a node"),
        incarnation,
    }
}

fn view(count: u64) -> View {
    let nodes: BTreeSet<NodeId> = (0..count).map(|number| member(number).node).collect();
    let up = (0..count).map(|number| (member(number).node, member(number).incarnation));
    View::first(ClusterId(1), 1, &nodes, &up.collect())
}

/// Node 0, alone in its view: it owns all slots.
fn owning() -> ReplicaState {
    let mut state = ReplicaState::new(member(0));
    state.learn(&view(1).into());
    state.activate(Epoch(1));
    state
}

/// The same in the next view.
fn owning_in_next(mut state: ReplicaState) -> ReplicaState {
    let view = next::admit(state.view().expect("is active"), &[]);
    let epoch = view.epoch;
    state.learn(&view.into());
    state.activate(epoch);
    state
}

/// Node 0 when it owns nothing.
fn gone() -> ReplicaState {
    ReplicaState::new(member(0))
}

fn record(name: &str, number: u64) -> Record {
    let log = Log {
        epoch: Epoch(1),
        member: member(0).id(),
    };
    let (key, dot) = (key(name), Dot { log, number });
    Record::new(
        &key,
        Some(b"v"),
        dot,
        Timestamp(number),
        &VersionVector::default(),
    )
}

fn key(name: &str) -> Key {
    Key::new(name).expect("is a key")
}

/// A node with a state and records of its own, and its committer.
struct Stage {
    node: Arc<Node>,
    committer: Committer,
}

impl Stage {
    async fn new(state: ReplicaState, records: &[Record]) -> Self {
        let config = Config {
            node: member(0).node,
            listen: "127.0.0.1:0".parse().expect("is an address"),
            replicas: None,
            view: None,
            store: StoreKind::Memory,
            limits: Limits::default(),
        };
        let parts = Parts {
            world: Arc::new(Machine),
            dialer: Arc::new(Nobody),
            engine: Arc::new(MemoryEngine),
            tasks: Tasks::on_this_runtime(),
        };
        let (node, committer) = Node::start(&config, parts).await.expect("starts");
        Slot::all().for_each(|slot| node.shared.resident.index(slot));
        let mut stage = Self { node, committer };
        stage.publish(state, records, &[]);
        stage
    }

    fn publish(&mut self, state: ReplicaState, records: &[Record], forgotten: &[Record]) {
        let before = self.node.shared.me.state();
        let forgotten = forgotten.iter().map(|record| record.key().into()).collect();
        self.committer
            .publish(&before, state, records.to_vec(), forgotten);
    }
}

fn all_keys() -> Listing {
    Listing {
        prefix: String::new(),
        after: None,
        limit: PAGE_KEYS_MAX,
        keys_only: true,
    }
}

type Happens = fn(&mut Stage);

/// The slot of the record "k" number 9 moves away.
const DROPPED: Happens = |stage| stage.publish(gone(), &[], &[record("k", 9)]);

/// The slot moves away, and an unfinished copy brings an older record of the key.
const STAGED: Happens = |stage| {
    DROPPED(stage);
    stage.publish(gone(), &[record("k", 2)], &[]);
};

/// The slot moves away and comes back.
const REGAINED: Happens = |stage| {
    STAGED(stage);
    let state = owning_in_next(owning());
    stage.publish(state, &[record("k", 9)], &[]);
};

async fn stage() -> Stage {
    Stage::new(owning(), &[record("k", 9)]).await
}

fn number_of(found: &Result<Found, Refusal>) -> Option<u64> {
    found.as_ref().ok().map(|found| found.record.dot().number)
}

#[tokio::test]
async fn a_read_whose_slot_moves_while_the_thread_is_preempted_is_judged_anew() {
    for (happens, read_elsewhere) in [(DROPPED, true), (STAGED, true), (REGAINED, false)] {
        let mut stage = stage().await;
        let node = Arc::clone(&stage.node);
        meanwhile(move || happens(&mut stage));
        let read = node.requests.read_here(&key("k"), &Payload::default());
        if read_elsewhere {
            assert!(matches!(read, Err(NotHere::NotOwner)), "{read:?}");
        } else {
            let found = read.expect("is owned again");
            assert_eq!(number_of(&found), Some(9), "{found:?}");
        }
    }
}

#[tokio::test]
async fn a_listing_whose_slots_move_while_the_thread_is_preempted_is_judged_anew() {
    for (happens, listed_elsewhere) in [(DROPPED, true), (STAGED, true), (REGAINED, false)] {
        let mut stage = stage().await;
        let node = Arc::clone(&stage.node);
        meanwhile(move || happens(&mut stage));
        match node
            .requests
            .answer_list(&SlotSet::all(), &all_keys(), &Payload::default(), u32::MAX)
        {
            Answer::Declined(Declined::NotOwner) => assert!(listed_elsewhere),
            Answer::Listed { items, payload, .. } => {
                assert!(!listed_elsewhere);
                assert_eq!((items.len(), payload.epoch), (1, Epoch(2)));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_page_of_a_copy_whose_slots_are_dropped_meanwhile_is_declined() {
    let kept = || {
        let mut state = owning();
        let next = next::add(state.view().expect("is active"), &member(1)).expect("can be added");
        state.learn(&next.into());
        state
    };
    let page = |stage: &Stage| {
        stage
            .node
            .replication
            .copy_page(&member(1), Epoch(2), &SlotSet::all(), &CopyPlace::default())
    };
    let mut stage = Stage::new(kept(), &[record("k", 9)]).await;
    assert!(matches!(page(&stage), Answer::Copied { .. }));
    let node = Arc::clone(&stage.node);
    meanwhile(move || DROPPED(&mut stage));
    let page = node
        .replication
        .copy_page(&member(1), Epoch(2), &SlotSet::all(), &CopyPlace::default());
    assert!(matches!(page, Answer::Declined(Declined::Gone)), "{page:?}");
}

#[tokio::test]
async fn a_key_that_is_dropped_and_stored_again_in_one_batch_is_there() {
    let mut stage = stage().await;
    stage.publish(owning(), &[record("k", 10)], &[record("k", 9)]);
    let found = stage.node.requests.read_here(&key("k"), &Payload::default());
    assert_eq!(number_of(&found.expect("is owned")), Some(10));
}

/// Real threads, without a hook: at every moment of the committer, a reader finds a key or learns that it
/// must ask elsewhere.
#[tokio::test]
async fn no_moment_of_publishing_shows_a_slot_half_dropped() {
    const ROUNDS: usize = 300;
    let records: Vec<Record> = (1..200)
        .map(|number| record(&format!("k{number}"), number))
        .collect();
    let mut state = owning();
    let mut stage = Stage::new(state.clone(), &records).await;
    let (node, is_over) = (Arc::clone(&stage.node), AtomicBool::new(false));
    thread::scope(|scope| {
        let read = || {
            while !is_over.load(Ordering::Relaxed) {
                for name in ["k1", "k150"] {
                    let read = node.requests.read_here(&key(name), &Payload::default());
                    let is_lost = matches!(read, Ok(Err(Refusal::KeyNotFound { .. })));
                    assert!(!is_lost, "{read:?}");
                }
            }
        };
        let list = || {
            while !is_over.load(Ordering::Relaxed) {
                let listed =
                    node.requests
                        .answer_list(&SlotSet::all(), &all_keys(), &Payload::default(), u32::MAX);
                if let Answer::Listed { items, .. } = listed {
                    assert_eq!(items.len(), records.len());
                }
            }
        };
        scope.spawn(read);
        scope.spawn(list);
        for _ in 0..ROUNDS {
            stage.publish(gone(), &[], &records);
            state = owning_in_next(state);
            stage.publish(state.clone(), &records, &[]);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
