//! A real node among peers that greet and answer as a test tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::config::{Config, Limits, StoreKind};
use crate::names::{ClusterId, Dot, Epoch, Incarnation, Log, Member, NodeId};
use crate::net::{DialError, Dialer, PIPE_FRAMES, Pipe};
use crate::node::committer::Committer;
use crate::node::{Machine, Node, Parts, Tasks};
use crate::protocol::causality::{Record, VersionVector};
use crate::protocol::placement::{SlotSet, View};
use crate::protocol::replication::{Mark, ReplicaState, Return};
use crate::protocol::view_change::Acceptor;
use crate::store::{Batch, Engine, Recovered, StoreError};
use crate::wire::notes;
use crate::wire::peer::{
    Answer, Body, Frame, Greeting, Question, Start, decode_frame, decode_greeting, encode_frame,
    encode_greeting,
};
use crate::wire::pieces::{Joiner, PIECE_BYTES, cut};

pub(super) const CLUSTER: ClusterId = ClusterId(1);

/// Long enough for whatever a node does by itself.
pub(crate) const SOON: Duration = Duration::from_secs(3);

/// Node `number` in one of its lives.
pub(crate) fn life(number: u64, life: u64) -> Member {
    Member {
        node: format!("n{number}:80").parse().expect("is a node"),
        incarnation: Incarnation {
            started_ms: 1,
            random: life,
        },
    }
}

/// What a removed member returns: one record, which is all that these slots have.
pub(super) fn returned(from: &Member, record: Record, slots: SlotSet) -> Return {
    Return {
        from: from.clone(),
        left: None,
        records: vec![record],
        slots,
        kept: Vec::new(),
        claimed: VersionVector::default(),
    }
}

/// The dot with this number in a member's log of the first epoch.
pub(crate) fn dot(member: &Member, number: u64) -> Dot {
    let log = Log {
        epoch: Epoch::FIRST,
        member: member.id(),
    };
    Dot { log, number }
}

/// What node 0 knows in the first view of `count` nodes, all in their first life.
pub(crate) fn first_view(count: u64, replicas: u32) -> ReplicaState {
    let members: Vec<Member> = (0..count).map(|number| life(number, 1)).collect();
    let nodes: BTreeSet<NodeId> = members.iter().map(|member| member.node.clone()).collect();
    let up = members
        .into_iter()
        .map(|member| (member.node, member.incarnation));
    let view = View::first(CLUSTER, replicas, &nodes, &up.collect());
    let mut state = ReplicaState::new(life(0, 1));
    state.learn(&view.into());
    state.activate(Epoch::FIRST);
    state
}

/// The member that the view lists, and another life at its address.
pub(super) fn listed_and_stranger() -> [Member; 2] {
    [life(1, 1), life(1, 2)]
}

pub(super) fn start() -> Start {
    Start {
        replicas: None,
        view: None,
    }
}

/// Answers pings, and nothing else.
pub(crate) fn idle(question: &Question) -> Option<Answer> {
    match question {
        Question::Ping => Some(Answer::Pong),
        _ => None,
    }
}

/// What an actor answers; none if it stays silent.
type Words = Box<dyn Fn(&Question) -> Option<Answer> + Send + Sync>;

/// A peer that greets in some life, and answers every question in the same way.
pub(crate) struct Actor {
    pub(super) greets_as: Member,
    pub(super) boot: u64,
    /// True for a question after which the stream breaks, answered or not.
    hangs_up_after: Box<dyn Fn(&Question) -> bool + Send + Sync>,
    words: Words,
    /// Instead of silence, the actor sends a piece of an answer to another question.
    pub(crate) sends_long_answers: bool,
}

impl Actor {
    pub(crate) fn new(
        greets_as: &Member,
        words: impl Fn(&Question) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self {
            greets_as: greets_as.clone(),
            boot: 7,
            hangs_up_after: Box::new(|_| false),
            words: Box::new(words),
            sends_long_answers: false,
        }
    }

    pub(crate) fn hangs_up_after(
        mut self,
        is_last: impl Fn(&Question) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.hangs_up_after = Box::new(is_last);
        self
    }
}

/// The actor at each address.
#[derive(Default)]
pub(crate) struct Cast {
    tasks: Mutex<Option<Tasks>>,
    actors: Mutex<BTreeMap<NodeId, Arc<Actor>>>,
    pub(crate) asked: Mutex<Vec<Question>>,
}

impl std::fmt::Debug for Cast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cast")
    }
}

impl Cast {
    pub(crate) fn puts(&self, actor: Actor, at: &NodeId) {
        self.actors.lock().insert(at.clone(), Arc::new(actor));
    }
}

/// Cheap to clone, so that a dialer can hand itself to its streams.
#[derive(Debug, Clone)]
struct Stage(Arc<Cast>);

impl Dialer for Stage {
    fn dial(&self, node: NodeId) -> BoxFuture<'static, Result<Pipe, DialError>> {
        let actor = self.0.actors.lock().get(&node).cloned();
        let Some(actor) = actor else {
            return Box::pin(ready(Err(DialError::Refused("connection refused".to_owned()))));
        };
        let (ours, theirs) = pipes();
        let tasks = self.0.tasks.lock().clone().expect("the node has begun");
        let cast = Arc::clone(&self.0);
        tasks.spawn(async move {
            // The node may hang up at any time.
            let _ = play(&cast, &actor, theirs).await;
        });
        Box::pin(ready(Ok(ours)))
    }
}

fn pipes() -> (Pipe, Pipe) {
    let (sender, there) = mpsc::channel(PIPE_FRAMES);
    let (back, receiver) = mpsc::channel(PIPE_FRAMES);
    let theirs = Pipe {
        sender: back,
        receiver: there,
    };
    (Pipe { sender, receiver }, theirs)
}

async fn play(cast: &Cast, actor: &Actor, mut pipe: Pipe) -> Option<()> {
    let greeting = decode_greeting(&pipe.receiver.recv().await?).ok()?;
    pipe.sender
        .send(encode_greeting(&Greeting {
            member: actor.greets_as.clone(),
            boot: actor.boot,
            ..greeting
        }))
        .await
        .ok()?;
    let mut joiner = Joiner::default();
    loop {
        let Some(message) = joiner.take(pipe.receiver.recv().await?).ok()? else {
            continue;
        };
        let frame = decode_frame(&message).ok()?;
        let Body::Ask(question) = frame.body else {
            return None;
        };
        cast.asked.lock().push(question.clone());
        if let Some(answer) = (actor.words)(&question) {
            let body = Body::Answer(answer);
            pipe.sender
                .send(encode_frame(&Frame { body, ..frame }))
                .await
                .ok()?;
        } else if actor.sends_long_answers {
            let piece = cut(vec![0; 2 * PIECE_BYTES].into(), frame.id).next()?;
            pipe.sender.send(piece).await.ok()?;
        }
        if (actor.hangs_up_after)(&question) {
            return None;
        }
    }
}

/// A disk that holds this state.
#[derive(Debug)]
pub(super) struct Disk(pub(super) ReplicaState);

impl Engine for Disk {
    fn commit<'a>(&'a self, _batch: &'a Batch) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }

    fn recover(&self) -> Result<Recovered, StoreError> {
        let notes = [
            notes::member_note(&self.0.me),
            notes::vector_note(&self.0),
            notes::acceptors_note(&BTreeMap::<Epoch, Acceptor>::new()),
        ];
        let notes = notes.into_iter().chain(notes::standing_notes(&self.0));
        Ok(Recovered {
            notes: notes
                .map(|(name, bytes)| (name, bytes.expect("is written")))
                .collect(),
            ..Recovered::default()
        })
    }

    fn is_durable(&self) -> bool {
        true
    }
}

pub(super) fn config(node: &NodeId) -> Config {
    Config {
        node: node.clone(),
        listen: "0.0.0.0:80".parse().expect("is an address"),
        replicas: None,
        view: None,
        store: StoreKind::Memory,
        limits: Limits::default(),
    }
}

/// Starts node 0 with this state. The test adds its peers later.
pub(crate) async fn node_with(state: ReplicaState) -> (Arc<Node>, Arc<Cast>) {
    let (node, cast, committer) = node_without_committer(state).await;
    node.shared.tasks.spawn(committer.run());
    (node, cast)
}

/// The same, with a committer that the caller must run.
pub(crate) async fn node_without_committer(state: ReplicaState) -> (Arc<Node>, Arc<Cast>, Committer) {
    node_of(&config(&life(0, 1).node), state).await
}

/// The same with other settings.
pub(super) async fn node_of(config: &Config, state: ReplicaState) -> (Arc<Node>, Arc<Cast>, Committer) {
    let cast = Arc::<Cast>::default();
    let tasks = Tasks::on_this_runtime();
    *cast.tasks.lock() = Some(tasks.clone());
    let parts = Parts {
        world: Arc::new(Machine),
        dialer: Arc::new(Stage(Arc::clone(&cast))),
        engine: Arc::new(Disk(state)),
        tasks,
    };
    let started = Node::start(config, parts).await;
    let (node, committer) = started.expect("its notes parse");
    // Its peers are added later: no member can be asked whether the disk is old.
    let proven = ReplicaState {
        is_unproven: false,
        ..(*node.shared.me.state()).clone()
    };
    node.shared.me.publish(proven.clone());
    if proven.active != Epoch::NONE {
        node.epochs.begin_epoch(&proven);
    }
    (node, cast, committer)
}

/// Greets the node as this member, and asks it one question; none if the node hangs up.
pub(super) async fn ask(node: &Arc<Node>, as_member: &Member, question: Question) -> Option<Answer> {
    ask_from(node, as_member, CLUSTER, question).await
}

/// The same as a member of the given cluster.
pub(super) async fn ask_from(
    node: &Arc<Node>,
    as_member: &Member,
    cluster: ClusterId,
    question: Question,
) -> Option<Answer> {
    let (mut ours, _) = greet(node, as_member, cluster, Mark::default()).await?;
    ask_on(&mut ours, node, question).await
}

/// Greets the node as a member with this mark; returns the stream and the node's greeting.
pub(super) async fn greet(
    node: &Arc<Node>,
    as_member: &Member,
    cluster: ClusterId,
    mark: Mark,
) -> Option<(Pipe, Greeting)> {
    let (mut ours, theirs) = pipes();
    node.serve_peer(theirs);
    let greeting = Greeting {
        member: as_member.clone(),
        boot: 7,
        cluster: Some(cluster),
        clock: node.clock_now(),
        time: node.shared.me.shown(),
        mark,
        remembers: Vec::new(),
        holds: None,
    };
    let _ = ours.sender.send(encode_greeting(&greeting)).await;
    let theirs = ours.receiver.recv().await?;
    Some((ours, decode_greeting(&theirs).expect("greets before it judges")))
}

/// Asks one question on a stream on which both have greeted.
pub(super) async fn ask_on(stream: &mut Pipe, node: &Arc<Node>, question: Question) -> Option<Answer> {
    let frame = Frame {
        id: 1,
        clock: node.clock_now(),
        epoch: Epoch::NONE,
        position: 0,
        body: Body::Ask(question),
    };
    let _ = stream.sender.send(encode_frame(&frame)).await;
    let answer = decode_frame(&stream.receiver.recv().await?).expect("is a frame");
    match answer.body {
        Body::Answer(answer) => Some(answer),
        Body::Ask(_) => None,
    }
}
