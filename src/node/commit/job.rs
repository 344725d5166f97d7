//! The jobs of the committer, and its answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::names::{Epoch, Member, MemberId};
use crate::protocol::causality::Record;
use crate::protocol::placement::{SlotSet, View};
use crate::protocol::replication::{
    ChangeAttempt, Cleared, Closed, Confirm, Ending, ExchangeRequest, ExchangeResponse, Marks, NoExchange,
    NoReturn, NotDone, NotHere, Operations, Outcome, Push, Return, Stored, Write,
};
use crate::protocol::view_change::{Ballot, Vote};
use crate::wire::peer::{Answer, Known};

/// Why a job was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotStored {
    NotHere(NotHere),
    NoExchange(NoExchange),
    /// The storage refused it for this reason: nothing of it is stored, and nothing will be.
    Failed(String),
    /// The storage failed in the middle: it is unknown whether the job is stored.
    InDoubt,
    /// The node stops, or the view has moved on.
    Stopped,
}

impl From<NotDone> for NotStored {
    fn from(reason: NotDone) -> Self {
        match reason {
            NotDone::NoExchange(reason) => Self::NoExchange(reason),
            NotDone::MovedOn => Self::Stopped,
        }
    }
}

/// The channel for the answer to a job.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, NotStored>>;

/// Operations that are stored here.
#[derive(Debug)]
pub(crate) struct OperationsStored {
    pub outcomes: Vec<Outcome>,
    /// Resolves when the siblings have the last write among them, or do not answer in time.
    pub settled: Option<oneshot::Receiver<Result<Stored, NotStored>>>,
}

/// Records that a sibling pushes.
#[derive(Debug)]
pub(crate) struct PushJob {
    pub from: MemberId,
    pub push: Push,
    pub arrived: Instant,
    pub reply: oneshot::Sender<Answer>,
}

/// Everything that changes a node's durable state, or must read it between two changes.
#[derive(Debug)]
pub(crate) enum Job {
    Write {
        write: Write,
        arrived: Instant,
        reply: Reply<Stored>,
    },
    Operations {
        asked: Operations,
        arrived: Instant,
        reply: Reply<OperationsStored>,
    },
    Push(PushJob),
    /// Answers an exchange from the published state.
    Give {
        ask: ExchangeRequest,
        reply: oneshot::Sender<Result<(ExchangeResponse, Vec<Record>), NoExchange>>,
    },
    /// Applies what an exchange brought. A hand-over counts only in the attempt that asked for it.
    Take {
        ask: ExchangeRequest,
        given: ExchangeResponse,
        records: Vec<Record>,
        attempt: Option<ChangeAttempt>,
        reply: Reply<()>,
    },
    /// Stores records of slots that are on their way here.
    Stage {
        attempt: ChangeAttempt,
        records: Vec<Record>,
        reply: Reply<()>,
    },
    /// Drops the records of a copy that does not count any more.
    Unstage {
        attempt: ChangeAttempt,
        slots: SlotSet,
        reply: Reply<()>,
    },
    /// Drops slots that moved away and that all owners confirmed in this epoch.
    Drop {
        epoch: Epoch,
        slots: SlotSet,
        reply: Reply<()>,
    },
    /// Takes the records that a removed member returns, as new writes.
    Adopt {
        returned: Return,
        reply: oneshot::Sender<Result<(), NoReturn>>,
    },
    /// Confirms what a removed member keeps. Readers stop waiting for that member.
    Confirm {
        confirm: Confirm,
        reply: oneshot::Sender<Answer>,
    },
    /// Gives up what these removed members keep, and the writes of these epochs of lost lines: their time is up.
    Expire {
        removed: BTreeSet<MemberId>,
        lost: BTreeSet<Epoch>,
    },
    /// Ends this life, whose disk went back in time.
    End {
        life: Member,
        ending: Ending,
    },
    /// No member that answers has seen this member further than its disk shows.
    Proven,
    /// Lays the records of some slots aside, because this life has ended.
    LayAside {
        slots: SlotSet,
        reply: Reply<()>,
    },
    /// Drops what an earlier life left behind: other members have it.
    HandedOver {
        name: MemberId,
        reply: Reply<()>,
    },
    /// Stores how far this node has seen other members' logs.
    Marks {
        marks: Marks,
        reply: Reply<()>,
    },
    /// Begins a new life with an empty store. Only the pages that are laid aside stay, under this name.
    Leave {
        life: Member,
        name: MemberId,
        reply: Reply<()>,
    },
    Promise {
        epoch: Epoch,
        ballot: Ballot,
        reply: oneshot::Sender<Vote>,
    },
    Accept {
        epoch: Epoch,
        ballot: Ballot,
        view: Arc<View>,
        reply: oneshot::Sender<Vote>,
    },
    Learn {
        known: Known,
        reply: Reply<()>,
    },
    Seal {
        target: Epoch,
        reply: Reply<()>,
    },
    Activate {
        target: Epoch,
        reply: Reply<()>,
    },
    Close(Closed),
    /// No owner waits for these removed members any more, nor for these epochs of lost lines.
    Settle {
        removed: BTreeSet<MemberId>,
        lost: BTreeSet<Epoch>,
    },
    /// Drops tombstones that no replica needs any more.
    Forget(Vec<Record>),
    /// Replaces records whose clients claimed dependencies that do not exist.
    Clear {
        records: Vec<Cleared>,
        reply: Reply<()>,
    },
}

impl Job {
    /// Answers that nothing of it was done. Only for jobs that clients wait for.
    pub(crate) fn refuse(self, reason: NotStored) {
        match self {
            Self::Write { reply, .. } => drop(reply.send(Err(reason))),
            Self::Operations { reply, .. } => drop(reply.send(Err(reason))),
            _ => {}
        }
    }

    /// True for jobs after which this node may be in another epoch, or in another life. Later writes are numbered in
    /// another log, and other siblings acknowledge them.
    fn may_begin_epoch(&self) -> bool {
        matches!(
            self,
            Self::Activate { .. } | Self::Learn { .. } | Self::Leave { .. } | Self::End { .. } | Self::Proven
        )
    }

    /// True for jobs about all records of some slots: thousands of records, where other jobs concern one.
    pub(crate) fn is_bulky(&self) -> bool {
        matches!(
            self,
            Self::Stage { .. } | Self::Unstage { .. } | Self::Drop { .. } | Self::LayAside { .. }
        )
    }
}

/// Splits jobs into batches. No batch writes to the logs of two epochs.
pub(crate) fn batches(jobs: Vec<Job>) -> Vec<Vec<Job>> {
    let mut batches: Vec<Vec<Job>> = Vec::new();
    for job in jobs {
        let last = batches.last_mut().filter(|batch| {
            let ends_with = batch.last().is_some_and(Job::may_begin_epoch);
            ends_with == job.may_begin_epoch()
        });
        match last {
            Some(batch) => batch.push(job),
            None => batches.push(vec![job]),
        }
    }
    batches
}

/// The answer that a sender gets when the batch is stored.
#[derive(Debug)]
pub(crate) enum After {
    Nothing,
    Written(Reply<Stored>, Stored),
    /// The last write among them, if there is one.
    Operations(Reply<OperationsStored>, Vec<Outcome>, Option<Stored>),
    Answered(oneshot::Sender<Answer>, Answer),
    Done(Reply<()>, Result<(), NotStored>),
    Voted(oneshot::Sender<Vote>, Vote),
    Adopted(oneshot::Sender<Result<(), NoReturn>>, Result<(), NoReturn>),
}

impl After {
    /// Answers that the batch is not stored: nothing of it happened.
    pub(crate) fn refuse(self, reason: &NotStored) {
        match self {
            Self::Nothing => {}
            Self::Written(reply, _) => drop(reply.send(Err(reason.clone()))),
            Self::Operations(reply, ..) => drop(reply.send(Err(reason.clone()))),
            Self::Answered(reply, _) => drop(reply.send(Answer::NotTaken)),
            Self::Done(reply, _) => drop(reply.send(Err(reason.clone()))),
            Self::Voted(reply, _) => drop(reply.send(Vote::NotVoting)),
            Self::Adopted(reply, _) => drop(reply.send(Err(NoReturn::NotNow))),
        }
    }
}
