//! Whether this node's disk is the one that it left: asks those who may have seen it further, and remembers how
//! far others were seen.
//!
//! What a greeting says is judged in `identity`; here are the memory, and the second after a start in which nothing is
//! done until the others were asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::names::{Member, MemberId, NodeId};
use crate::node::Node;
use crate::node::commit::job::Job;
use crate::protocol::replication::{Ending, Facts, Mark};
use crate::wire::notes::Marks;
use crate::wire::peer::Question;

/// How long a node that starts asks the members before it serves: if nobody who could know answers, a lone
/// survivor must serve all the same.
const PROOF_LIMIT: Duration = Duration::from_secs(1);

/// What the disk may take to say so.
const STORE_TIME: Duration = Duration::from_millis(250);

/// How soon a member that cannot be reached yet is asked again.
const PROOF_PAUSE: Duration = Duration::from_millis(50);

/// How often it is stored how far others have come.
const REMEMBER_PAUSE: Duration = Duration::from_secs(1);

/// Earlier lives of one node that are remembered: the disk of an ended life can be put back.
const LIVES_MAX: usize = 4;

/// With so many remembered, no stranger is.
const STRANGERS_MAX: usize = 1024;

/// How far others have come.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    marks: Marks,
    /// It differs from what is stored.
    changed: bool,
}

impl Remembered {
    /// What was stored.
    pub(crate) fn recall(&self, marks: Marks) {
        self.0.lock().marks = marks;
    }

    /// A frame of a member arrived, so that it has read our greeting and took no offence: only now may a later run
    /// replace the one that is remembered. A greeting alone shows nothing, for the answer to it may be lost, and
    /// what the member should have heard with it.
    ///
    /// Streams outlive views, so members that no view lists yet are remembered, too; but not any number of them.
    pub(crate) fn note(&self, member: &Member, mark: Mark, is_listed: impl FnOnce() -> bool) {
        let mut state = self.0.lock();
        let is_full = state.marks.len() >= STRANGERS_MAX;
        match state.marks.get_mut(member) {
            Some(known) if (known.run, known.position) >= (mark.run, mark.position) => return,
            Some(known) => *known = mark,
            None if is_full && !is_listed() => return,
            None => state.begin(member, mark),
        }
        state.changed = true;
    }

    /// How far the lives of a node have come.
    pub(crate) fn of_node(&self, node: &NodeId) -> Vec<(MemberId, Mark)> {
        let state = self.0.lock();
        lives_of(&state.marks, node)
            .map(|(life, mark)| (life.id(), *mark))
            .collect()
    }

    /// The disk refused them.
    fn are_not_stored(&self) {
        self.0.lock().changed = true;
    }

    fn to_store(&self) -> Option<Marks> {
        let mut state = self.0.lock();
        std::mem::take(&mut state.changed).then(|| state.marks.clone())
    }
}

impl State {
    /// A life that was not heard of before; of the node's earlier ones, the last few are remembered.
    fn begin(&mut self, life: &Member, mark: Mark) {
        self.marks.insert(life.clone(), mark);
        let lives: Vec<Member> = lives_of(&self.marks, &life.node)
            .map(|(life, _)| life.clone())
            .collect();
        for old in lives.iter().rev().skip(LIVES_MAX) {
            self.marks.remove(old);
        }
    }
}

/// The lives of a node, the oldest first.
fn lives_of<'a>(
    marks: &'a BTreeMap<Member, Mark>,
    node: &'a NodeId,
) -> impl Iterator<Item = (&'a Member, &'a Mark)> {
    marks.iter().filter(move |(life, _)| life.node == *node)
}

impl Node {
    /// Asks at first whether this disk is the one that this life left; ends the life whenever somebody shows that
    /// it is not.
    pub(crate) async fn prove_disk(self: Arc<Self>) {
        if self.me.facts().is_unproven {
            tokio::select! {
                biased;
                () = self.me.disk_is_old.notified() => self.me.disk_is_old.notify_one(),
                () = self.ask_who_may_know() => self.insist(|| Job::Proven, |facts| !facts.is_unproven).await,
            }
        }
        loop {
            self.me.disk_is_old.notified().await;
            let (life, ending) = (self.me.member(), Ending::WentBack);
            let end = || Job::End {
                life: life.clone(),
                ending,
            };
            let is_over = |facts: &Facts| facts.me != life || facts.ended.is_some();
            self.insist(end, is_over).await;
        }
    }

    /// Waits while it is asked whether this disk is the one that its life left: clients are not told within that
    /// time that nobody serves. Answers how long that took.
    pub(crate) async fn proven(&self) -> Duration {
        if !self.me.is_unproven() {
            return Duration::ZERO;
        }
        let began = Instant::now();
        let proven = async {
            let mut published = self.me.published.count();
            while self.me.is_unproven() {
                published = self.me.published.beyond(published).await;
            }
        };
        let _ = timeout(PROOF_LIMIT + STORE_TIME, proven).await;
        began.elapsed()
    }

    /// Has something stored. The disk may refuse the batch in which it is said: then it is said again.
    async fn insist(&self, say: impl Fn() -> Job, is_stored: impl Fn(&Facts) -> bool) {
        while !is_stored(&self.me.facts()) {
            let published = self.me.published.count();
            self.commit.enqueue(say()).await;
            let _ = timeout(PROOF_PAUSE, self.me.published.beyond(published)).await;
        }
    }

    /// Greets every member: what each of them knows of us comes with its own greeting.
    async fn ask_who_may_know(&self) {
        let deadline = Instant::now() + PROOF_LIMIT;
        let facts = self.me.facts();
        let members = facts.view().into_iter().flat_map(|view| view.members());
        let others = members.filter(|member| member.node != self.me.node);
        let greeted = others.map(async |member| {
            while self
                .peers
                .call(&member.node, Question::Ping, PROOF_LIMIT)
                .await
                .is_err()
            {
                sleep(PROOF_PAUSE).await;
            }
        });
        let _ = timeout_at(deadline, join_all(greeted)).await;
    }

    /// Stores now and then how far others have come, for as long as the node runs.
    pub(crate) async fn remember_others(self: Arc<Self>) {
        loop {
            sleep(REMEMBER_PAUSE).await;
            if let Some(marks) = self.me.marks.to_store()
                && self.commit.remember(marks).await.is_err()
            {
                self.me.marks.are_not_stored();
            }
        }
    }
}
