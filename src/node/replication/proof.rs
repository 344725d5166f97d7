//! Detects a disk that went back in time, by asking the members that may have seen this node further.
//!
//! `identity` judges each greeting and remembers how far others were seen. This file covers the second
//! after a start in which the node asks the others before it serves.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::node::commit::job::Job;
use crate::node::replication::Replication;
use crate::protocol::replication::{Ending, ReplicaState};
use crate::wire::peer::Question;

/// How long a starting node asks the members before it serves. A lone survivor must serve even if no
/// member that could know answers.
const PROOF_LIMIT: Duration = Duration::from_secs(1);

/// How long the disk may take to store the result.
const STORE_TIME: Duration = Duration::from_millis(250);

/// How soon an unreachable member is asked again.
const PROOF_PAUSE: Duration = Duration::from_millis(50);

/// How often the marks of other members are stored.
const REMEMBER_PAUSE: Duration = Duration::from_secs(1);

impl Replication {
    /// Asks first whether this disk is the one that this life left; ends the life whenever a member shows
    /// that it is not.
    pub(crate) async fn prove_disk(self: Arc<Self>) {
        if self.shared.me.state().is_unproven {
            tokio::select! {
                biased;
                () = self.shared.me.disk_is_old.notified() => self.shared.me.disk_is_old.notify_one(),
                () = self.ask_who_may_know() => self.insist(|| Job::Proven, |state| !state.is_unproven).await,
            }
        }
        loop {
            self.shared.me.disk_is_old.notified().await;
            let (life, ending) = (self.shared.me.member(), Ending::WentBack);
            let end = || Job::End {
                life: life.clone(),
                ending,
            };
            let is_over = |state: &ReplicaState| state.me != life || state.ended.is_some();
            self.insist(end, is_over).await;
        }
    }

    /// Waits until the disk is proven, for a limited time: clients are not refused meanwhile. Returns how
    /// long that took.
    pub(crate) async fn proven(&self) -> Duration {
        if !self.shared.me.is_unproven() {
            return Duration::ZERO;
        }
        let began = Instant::now();
        let proven = async {
            let mut published = self.shared.me.published.count();
            while self.shared.me.is_unproven() {
                published = self.shared.me.published.beyond(published).await;
            }
        };
        let _ = timeout(PROOF_LIMIT + STORE_TIME, proven).await;
        began.elapsed()
    }

    /// Enqueues a job until its effect is stored, because the disk may refuse the batch that contains it.
    async fn insist(&self, say: impl Fn() -> Job, is_stored: impl Fn(&ReplicaState) -> bool) {
        while !is_stored(&self.shared.me.state()) {
            let published = self.shared.me.published.count();
            self.shared.commit.enqueue(say()).await;
            let _ = timeout(PROOF_PAUSE, self.shared.me.published.beyond(published)).await;
        }
    }

    /// Calls every member: the member's greeting tells what it knows of this node.
    async fn ask_who_may_know(&self) {
        let deadline = Instant::now() + PROOF_LIMIT;
        let state = self.shared.me.state();
        let members = state.view().into_iter().flat_map(|view| view.members());
        let others = members.filter(|member| member.node != self.shared.me.node);
        let greeted = others.map(async |member| {
            while self
                .shared
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

    /// Stores the changed marks of other members regularly, for as long as the node runs.
    pub(crate) async fn remember_others(self: Arc<Self>) {
        loop {
            sleep(REMEMBER_PAUSE).await;
            if let Some(marks) = self.shared.me.marks.take_changed()
                && self.shared.commit.remember(marks).await.is_err()
            {
                self.shared.me.marks.note_refused();
            }
        }
    }
}
