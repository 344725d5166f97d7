//! Whether this node's disk is the one that it left: asks those who may have seen it further.
//!
//! `identity` judges what a greeting says, and also remembers how far others were seen; here is the second after
//! a start in which nothing is done until the others were asked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::node::Node;
use crate::node::commit::job::Job;
use crate::protocol::replication::{Ending, ReplicaState};
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

impl Node {
    /// Asks at first whether this disk is the one that this life left; ends the life whenever somebody shows that
    /// it is not.
    pub(crate) async fn prove_disk(self: Arc<Self>) {
        if self.me.state().is_unproven {
            tokio::select! {
                biased;
                () = self.me.disk_is_old.notified() => self.me.disk_is_old.notify_one(),
                () = self.ask_who_may_know() => self.insist(|| Job::Proven, |state| !state.is_unproven).await,
            }
        }
        loop {
            self.me.disk_is_old.notified().await;
            let (life, ending) = (self.me.member(), Ending::WentBack);
            let end = || Job::End {
                life: life.clone(),
                ending,
            };
            let is_over = |state: &ReplicaState| state.me != life || state.ended.is_some();
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
    async fn insist(&self, say: impl Fn() -> Job, is_stored: impl Fn(&ReplicaState) -> bool) {
        while !is_stored(&self.me.state()) {
            let published = self.me.published.count();
            self.commit.enqueue(say()).await;
            let _ = timeout(PROOF_PAUSE, self.me.published.beyond(published)).await;
        }
    }

    /// Greets every member: what each of them knows of us comes with its own greeting.
    async fn ask_who_may_know(&self) {
        let deadline = Instant::now() + PROOF_LIMIT;
        let state = self.me.state();
        let members = state.view().into_iter().flat_map(|view| view.members());
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
            if let Some(marks) = self.me.marks.take_changed()
                && self.commit.remember(marks).await.is_err()
            {
                self.me.marks.note_refused();
            }
        }
    }
}
