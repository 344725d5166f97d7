//! Calls the committer: one call for each command, which returns when the command is stored or refused.
//!
//! Apart from the committer, so that no other module handles its queue and its reply channels, and so that every
//! caller can tell a stored command from a refused one.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::names::{Epoch, Member, MemberId};
use crate::node::commit::job::{Job, NotStored, Reply};
use crate::protocol::causality::Record;
use crate::protocol::placement::{SlotSet, View};
use crate::protocol::replication::{
    ChangeAttempt, Cleared, Confirm, ExchangeRequest, ExchangeResponse, Marks, NoReturn, Return,
};
use crate::protocol::view_change::{Ballot, Vote};
use crate::wire::peer::{Answer, Known};

/// A handle on the committer's queue.
#[derive(Debug, Clone)]
pub(crate) struct Commit(mpsc::Sender<Job>);

impl Commit {
    pub(crate) fn new(queue: mpsc::Sender<Job>) -> Self {
        Self(queue)
    }

    /// Puts a job into the queue; waits when it is full.
    pub(crate) async fn enqueue(&self, job: Job) {
        // The committer is gone only when the node stops. Then a caller that waits for an answer gets none.
        let _ = self.0.send(job).await;
    }

    /// The committer's answer; none if the node stops.
    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(job(reply)).await;
        answer.await.ok()
    }

    async fn store(&self, job: impl FnOnce(Reply<()>) -> Job) -> Result<(), NotStored> {
        self.ask(job).await.unwrap_or(Err(NotStored::Stopped))
    }

    /// See [`Job::Seal`].
    pub(crate) async fn seal(&self, target: Epoch) -> Result<(), NotStored> {
        self.store(|reply| Job::Seal { target, reply }).await
    }

    /// See [`Job::Activate`].
    pub(crate) async fn activate(&self, target: Epoch) -> Result<(), NotStored> {
        self.store(|reply| Job::Activate { target, reply }).await
    }

    /// See [`Job::Learn`].
    pub(crate) async fn learn(&self, known: Known) -> Result<(), NotStored> {
        self.store(|reply| Job::Learn { known, reply }).await
    }

    /// See [`Job::Promise`].
    pub(crate) async fn promise(&self, epoch: Epoch, ballot: Ballot) -> Vote {
        let vote = self.ask(|reply| Job::Promise { epoch, ballot, reply }).await;
        vote.unwrap_or(Vote::NotVoting)
    }

    /// See [`Job::Accept`].
    pub(crate) async fn accept(&self, epoch: Epoch, ballot: Ballot, view: Arc<View>) -> Vote {
        let accept = |reply| Job::Accept {
            epoch,
            ballot,
            view,
            reply,
        };
        self.ask(accept).await.unwrap_or(Vote::NotVoting)
    }

    /// See [`Job::Stage`].
    pub(crate) async fn stage(&self, attempt: ChangeAttempt, records: Vec<Record>) -> Result<(), NotStored> {
        let stage = |reply| Job::Stage {
            attempt,
            records,
            reply,
        };
        self.store(stage).await
    }

    /// See [`Job::Unstage`].
    pub(crate) async fn unstage(&self, attempt: ChangeAttempt, slots: SlotSet) -> Result<(), NotStored> {
        self.store(|reply| Job::Unstage {
            attempt,
            slots,
            reply,
        })
        .await
    }

    /// See [`Job::Give`].
    pub(crate) async fn give(&self, ask: ExchangeRequest) -> Option<(ExchangeResponse, Vec<Record>)> {
        self.ask(|reply| Job::Give { ask, reply }).await?.ok()
    }

    /// See [`Job::Take`].
    pub(crate) async fn take(
        &self,
        ask: ExchangeRequest,
        given: ExchangeResponse,
        records: Vec<Record>,
        attempt: Option<ChangeAttempt>,
    ) -> Result<(), NotStored> {
        let take = |reply| Job::Take {
            ask,
            given,
            records,
            attempt,
            reply,
        };
        self.store(take).await
    }

    /// See [`Job::Drop`].
    pub(crate) async fn drop_kept(&self, epoch: Epoch, slots: SlotSet) -> Result<(), NotStored> {
        self.store(|reply| Job::Drop { epoch, slots, reply }).await
    }

    /// See [`Job::Adopt`].
    pub(crate) async fn adopt(&self, returned: Return) -> Result<(), NoReturn> {
        let adopted = self.ask(|reply| Job::Adopt { returned, reply }).await;
        adopted.unwrap_or(Err(NoReturn::NotNow))
    }

    /// See [`Job::Confirm`].
    pub(crate) async fn confirm(&self, confirm: Confirm) -> Answer {
        let confirmed = self.ask(|reply| Job::Confirm { confirm, reply }).await;
        confirmed.unwrap_or(Answer::NotTaken)
    }

    /// See [`Job::LayAside`].
    pub(crate) async fn lay_aside(&self, slots: SlotSet) -> Result<(), NotStored> {
        self.store(|reply| Job::LayAside { slots, reply }).await
    }

    /// See [`Job::HandedOver`].
    pub(crate) async fn handed_over(&self, name: MemberId) -> Result<(), NotStored> {
        self.store(|reply| Job::HandedOver { name, reply }).await
    }

    /// See [`Job::Leave`].
    pub(crate) async fn leave(&self, life: Member, name: MemberId) -> Result<(), NotStored> {
        self.store(|reply| Job::Leave { life, name, reply }).await
    }

    /// See [`Job::Marks`].
    pub(crate) async fn remember(&self, marks: Marks) -> Result<(), NotStored> {
        self.store(|reply| Job::Marks { marks, reply }).await
    }

    /// See [`Job::Clear`].
    pub(crate) async fn clear(&self, records: Vec<Cleared>) -> Result<(), NotStored> {
        self.store(|reply| Job::Clear { records, reply }).await
    }
}

/// Logs that a step is not stored. For steps that are retried until they are.
pub(crate) fn log_unstored(step: &str, stored: Result<(), NotStored>) {
    if let Err(reason) = stored {
        tracing::debug!(?reason, "not stored; retrying: {step}");
    }
}
