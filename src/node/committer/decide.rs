//! Has the draft decide each job, and pairs its result with the reply channel of the job's sender.
//!
//! Apart from the draft, which knows no channels, and from the committer, because it is a list: one entry for each
//! kind of job.

use super::draft::{Draft, Pushed};
use crate::node::commit::job::{After, Job, NotStored, PushJob, Reply};
use crate::planted::{self, Fault};
use crate::protocol::replication::NotHere;
use crate::wire::peer::Answer;

/// The outcome of a job.
#[derive(Debug)]
pub(super) enum Decision {
    /// Decided. The sender gets this answer when the batch is stored, or is refused with the batch.
    Then(After),
    /// Cannot be decided yet: an earlier number is missing, or a view change is under way.
    Later(Job),
}

pub(super) fn decide(draft: &mut Draft<'_>, job: Job) -> Decision {
    let after = match job {
        Job::Write(write, reply) => match draft.write(&write) {
            Err(NotHere::Sealed) => return Decision::Later(Job::Write(write, reply)),
            Err(not_here) => refuse(reply, not_here),
            Ok(stored) => After::Written(reply, stored),
        },
        Job::Operations(asked, reply) => match draft.operations(&asked) {
            Err(NotHere::Sealed) => return Decision::Later(Job::Operations(asked, reply)),
            Err(not_here) => refuse(reply, not_here),
            Ok((outcomes, last)) => After::Operations(reply, outcomes, last),
        },
        Job::Push(job) => return push(draft, job),
        Job::Take {
            ask,
            given,
            records,
            attempt,
            reply,
        } => After::Done(reply, draft.take(&ask, &given, records, attempt)),
        Job::Stage {
            attempt,
            records,
            reply,
        } => After::Done(reply, draft.stage(attempt, records)),
        Job::Unstage {
            attempt,
            slots,
            reply,
        } => {
            draft.unstage(attempt, &slots);
            done(reply)
        }
        Job::Drop { epoch, slots, reply } => {
            draft.drop_kept(epoch, &slots);
            done(reply)
        }
        Job::Adopt { returned, reply } => After::Adopted(reply, draft.adopt(&returned)),
        Job::Confirm { confirm, reply } => After::Answered(reply, draft.confirm(&confirm)),
        Job::Expire { removed, lost } => {
            draft.expire(&removed, lost);
            After::Nothing
        }
        Job::End { life, ending } => {
            draft.end(&life, ending);
            After::Nothing
        }
        Job::Proven => {
            draft.state.is_unproven = false;
            After::Nothing
        }
        Job::LayAside { slots, reply } => After::Done(reply, draft.lay_aside(&slots)),
        Job::HandedOver { name, reply } => {
            draft.forget_leftover(name);
            done(reply)
        }
        Job::Marks { marks, reply } => {
            draft.remember(marks);
            done(reply)
        }
        Job::Leave { life, name, reply } => After::Done(reply, draft.leave(life, name)),
        Job::Promise { epoch, ballot, reply } => After::Voted(reply, draft.promise(epoch, &ballot)),
        Job::Accept {
            epoch,
            ballot,
            view,
            reply,
        } => After::Voted(reply, draft.accept(epoch, &ballot, &view)),
        Job::Learn { known, reply } => {
            draft.learn(&known);
            done(reply)
        }
        Job::Seal { target, reply } => {
            draft.seal(target);
            done(reply)
        }
        Job::Activate { target, reply } => {
            draft.activate(target);
            done(reply)
        }
        Job::Close(closed) => {
            draft.close(closed);
            After::Nothing
        }
        Job::Settle { removed, lost } => {
            draft.settle(&removed, lost);
            After::Nothing
        }
        Job::Forget(tombstones) => {
            draft.forget(&tombstones);
            After::Nothing
        }
        Job::Clear { records, reply } => {
            draft.clear(records);
            done(reply)
        }
        Job::Give { .. } => unreachable!("given from published state, before the batch is begun"),
    };
    Decision::Then(after)
}

/// The sender is answered once the batch is stored.
fn done(reply: Reply<()>) -> After {
    After::Done(reply, Ok(()))
}

/// The sender is answered at once: nothing of its job is in the batch.
fn refuse<T>(reply: Reply<T>, not_here: NotHere) -> After {
    let _ = reply.send(Err(NotStored::NotHere(not_here)));
    After::Nothing
}

fn push(draft: &mut Draft<'_>, job: PushJob) -> Decision {
    let answer = match draft.push(job.from, &job.push) {
        Pushed::TooEarly => return Decision::Later(Job::Push(job)),
        Pushed::NotTaken => Answer::NotTaken,
        Pushed::Taken(answer) => answer,
    };
    if planted::is(Fault::AcknowledgedBeforeStored) {
        let _ = job.reply.send(answer);
        return Decision::Then(After::Nothing);
    }
    Decision::Then(After::Answered(job.reply, answer))
}
