//! Has the replica decide each job, and pairs its result with the reply channel of the job's sender.
//!
//! Apart from the replica, which knows neither channels nor clocks, and from the committer, because it is a list: one
//! entry for each kind of job.

use std::sync::Arc;

use tokio::time::Instant;

use crate::config::{Limits, millis};
use crate::node::commit::job::{After, Job, NotStored, PushJob, Reply};
use crate::node::identity::Me;
use crate::node::time::walls::Time;
use crate::planted::{self, Fault};
use crate::protocol::placement::View;
use crate::protocol::replication::{
    ChangeAttempt, NotHere, Pushed, Replica, ReplicaState, Return, ReturnTime,
};
use crate::protocol::view_change::Acceptors;
use crate::store::Resident;
use crate::wire::SharedView;
use crate::wire::peer::{Answer, Known};

/// The outcome of a job.
#[derive(Debug)]
pub(super) enum Decision {
    /// Decided. The sender gets this answer when the batch is stored, or is refused with the batch.
    Then(After),
    /// Cannot be decided yet: an earlier number is missing, or a view change is under way.
    Later(Job),
}

/// Decides the jobs of one batch.
#[derive(Debug)]
pub(super) struct Decider<'a> {
    me: &'a Me,
    limits: &'a Limits,
    pub replica: Replica<'a, Resident>,
    /// When the client that has waited longest asked: it decides how long the siblings may take.
    pub oldest: Option<Instant>,
}

impl<'a> Decider<'a> {
    pub(super) fn new(
        me: &'a Me,
        resident: &'a Resident,
        limits: &'a Limits,
        state: ReplicaState,
        acceptors: Acceptors,
        attempt: ChangeAttempt,
    ) -> Self {
        let wall_ms = me.trusted_wall_ms();
        Self {
            me,
            limits,
            replica: Replica::new(state, acceptors, attempt, resident, &me.clock, wall_ms),
            oldest: None,
        }
    }

    /// Decides a job.
    pub(super) fn decide(&mut self, job: Job) -> Decision {
        let replica = &mut self.replica;
        let after = match job {
            Job::Write {
                write,
                arrived,
                reply,
            } => match replica.write(&write) {
                Err(NotHere::Sealed) => {
                    return Decision::Later(Job::Write {
                        write,
                        arrived,
                        reply,
                    });
                }
                Err(not_here) => refuse(reply, not_here),
                Ok(stored) => {
                    self.note_arrival(arrived);
                    After::Written(reply, stored)
                }
            },
            Job::Operations {
                asked,
                arrived,
                reply,
            } => match replica.operations(&asked) {
                Err(NotHere::Sealed) => {
                    return Decision::Later(Job::Operations {
                        asked,
                        arrived,
                        reply,
                    });
                }
                Err(not_here) => refuse(reply, not_here),
                Ok((outcomes, last)) => {
                    self.note_arrival(arrived);
                    After::Operations(reply, outcomes, last)
                }
            },
            Job::Push(job) => return self.push(job),
            Job::Take {
                ask,
                given,
                records,
                attempt,
                reply,
            } => {
                let taken = replica.take(&ask, &given, records, attempt);
                After::Done(reply, taken.map_err(NotStored::from))
            }
            Job::Stage {
                attempt,
                records,
                reply,
            } => After::Done(reply, replica.stage(attempt, records).map_err(NotStored::from)),
            Job::Unstage {
                attempt,
                slots,
                reply,
            } => {
                replica.unstage(attempt, &slots);
                done(reply)
            }
            Job::Drop { epoch, slots, reply } => {
                replica.drop_kept(epoch, &slots);
                done(reply)
            }
            Job::Adopt { returned, reply } => {
                let time = return_time(self.me, self.limits, &returned);
                After::Adopted(reply, replica.adopt(&returned, &time))
            }
            Job::Confirm { confirm, reply } => {
                After::Answered(reply, Answer::Confirmed(replica.confirm(&confirm)))
            }
            Job::Expire { removed, lost } => {
                replica.expire(&removed, lost);
                After::Nothing
            }
            Job::End { life, ending } => {
                replica.end(&life, ending);
                After::Nothing
            }
            Job::Proven => {
                replica.prove();
                After::Nothing
            }
            Job::LayAside { slots, reply } => {
                After::Done(reply, replica.lay_aside(&slots).map_err(NotStored::from))
            }
            Job::HandedOver { name, reply } => {
                replica.forget_leftover(name);
                done(reply)
            }
            Job::Marks { marks, reply } => {
                replica.remember(marks);
                done(reply)
            }
            Job::Leave { life, name, reply } => {
                After::Done(reply, replica.leave(life, name).map_err(NotStored::from))
            }
            Job::Promise { epoch, ballot, reply } => After::Voted(reply, replica.promise(epoch, &ballot)),
            Job::Accept {
                epoch,
                ballot,
                view,
                reply,
            } => After::Voted(reply, replica.accept(epoch, &ballot, &view)),
            Job::Learn { known, reply } => {
                let Known {
                    views, lost, closed, ..
                } = known;
                replica.learn(&shared(views), &shared(lost), &closed, self.me.time().likely_ms);
                done(reply)
            }
            Job::Seal { target, reply } => {
                replica.seal(target);
                done(reply)
            }
            Job::Activate { target, reply } => {
                replica.activate(target);
                done(reply)
            }
            Job::Close(closed) => {
                replica.close(closed);
                After::Nothing
            }
            Job::Settle { removed, lost } => {
                replica.settle(&removed, lost);
                After::Nothing
            }
            Job::Forget(tombstones) => {
                replica.forget(&tombstones);
                After::Nothing
            }
            Job::Clear { records, reply } => {
                replica.clear(records);
                done(reply)
            }
            Job::Give { .. } => unreachable!("given from published state, before the batch is begun"),
        };
        Decision::Then(after)
    }

    fn note_arrival(&mut self, arrived: Instant) {
        let oldest = self.oldest.get_or_insert(arrived);
        *oldest = arrived.min(*oldest);
    }

    fn push(&mut self, job: PushJob) -> Decision {
        let answer = match self.replica.push(job.from, &job.push) {
            Pushed::TooEarly => return Decision::Later(Job::Push(job)),
            Pushed::NotTaken => Answer::NotTaken,
            Pushed::Taken { epoch, held } => Answer::Held { epoch, held },
        };
        if planted::is(Fault::AcknowledgedBeforeStored) {
            let _ = job.reply.send(answer);
            return Decision::Then(After::Nothing);
        }
        Decision::Then(After::Answered(job.reply, answer))
    }
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

fn shared(views: Vec<SharedView>) -> Vec<Arc<View>> {
    views.into_iter().map(|view| view.0).collect()
}

/// The age of a removal, as this node's clocks show it.
fn return_time(me: &Me, limits: &Limits, returned: &Return) -> ReturnTime {
    let believes_wall = planted::is(Fault::DoubtedClockRefuses);
    let time = if believes_wall {
        Time::certain(me.wall_ms())
    } else {
        me.time()
    };
    let ages = me.ages.lock();
    let counted = ages.of_removal(returned.name()).filter(|_| !believes_wall);
    let missed_too_much = |left| ages.missed_too_much(left, time, limits.forget_after);
    ReturnTime {
        // A deletion may be forgotten where the clock is ahead by the limit, the removal be noted by a clock that is
        // behind by as much, and a third clock judge.
        limit_ms: millis(limits.forget_after).saturating_sub(3 * millis(limits.clock_limit)),
        counted_ms: counted.map(millis),
        low_ms: time.low_ms,
        likely_ms: time.likely_ms,
        is_doubted: time.is_doubted || !ages.all_told,
        missed_too_much: returned.left.as_ref().is_some_and(missed_too_much),
    }
}
