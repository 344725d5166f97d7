//! Holds writers until their siblings acknowledge, and the numbers that are known stable.
//!
//! `replication::Progress` decides. This file wakes the writers and tells the readers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::names::{Epoch, Log, Member, MemberId};
use crate::node::commit::job::Reply;
use crate::protocol::causality::VersionVector;
use crate::protocol::replication::{Progress, ReplicaState, Step, Stored};

type Waiter = (Reply<Stored>, Stored);

/// The numbers that siblings have acknowledged.
#[derive(Debug)]
pub(crate) struct Acks {
    state: Mutex<State>,
    /// The stable numbers that readers judge by; replaced as a whole.
    stable: ArcSwap<VersionVector>,
    /// Something became stable.
    pub(crate) moved: Notify,
}

#[derive(Debug)]
struct State {
    progress: Progress,
    waiters: BTreeMap<u64, Vec<Waiter>>,
}

impl Acks {
    pub(crate) fn new(own: Log) -> Self {
        let state = State {
            progress: Progress::new(own),
            waiters: BTreeMap::new(),
        };
        Self {
            state: Mutex::new(state),
            stable: ArcSwap::default(),
            moved: Notify::new(),
        }
    }

    /// The numbers that are known stable at this moment.
    pub(crate) fn stable(&self) -> Arc<VersionVector> {
        self.stable.load_full()
    }

    /// Begins an epoch. Writers that still wait in the previous one are answered with the replicas that they have.
    pub(crate) fn begin(&self, own: Log, own_number: u64, siblings: Vec<(MemberId, Step)>) {
        self.update(|state| {
            let all: Vec<_> = std::mem::take(&mut state.waiters).into_iter().collect();
            for (number, waiters) in all {
                answer(&state.progress, number, waiters);
            }
            state.progress.begin(own, own_number, siblings);
        });
    }

    /// Answers waiting writers with the replicas that they have: no acknowledgement counts after the seal.
    pub(crate) fn seal(&self) {
        self.update(|state| state.progress.seal());
    }

    /// Notes that our own log reached `number`; these writers wait until the siblings have it too.
    pub(crate) fn stored(&self, number: u64, writers: Vec<(u64, Waiter)>) {
        self.update(|state| {
            state.progress.stored(number);
            for (number, waiter) in writers {
                state.waiters.entry(number).or_default().push(waiter);
            }
        });
    }

    pub(crate) fn acknowledged(
        &self,
        epoch: Epoch,
        sibling: MemberId,
        held: &VersionVector,
        answers_us: bool,
    ) {
        self.update(|state| state.progress.acknowledged(epoch, sibling, held, answers_us));
    }

    pub(crate) fn fell_behind(&self, epoch: Epoch, sibling: MemberId) {
        self.update(|state| state.progress.fell_behind(epoch, sibling));
    }

    pub(crate) fn rejoins(&self, sibling: MemberId) {
        self.update(|state| state.progress.rejoins(sibling));
    }

    pub(crate) fn learn_stable(&self, stable: &VersionVector) {
        if !self.stable.load().covers(stable) {
            self.update(|state| {
                state.progress.learn_stable(stable);
            });
        }
    }

    /// Takes note of what a member reports as stable in `epoch`, unless that is an epoch of another line.
    pub(crate) fn hear_stable(
        &self,
        replica: &ReplicaState,
        from: &Member,
        epoch: Epoch,
        stable: &VersionVector,
    ) {
        let is_member = replica.view().is_some_and(|view| view.is_member(from));
        let Some(newest) = replica.newest().filter(|newest| is_member && newest.has(epoch)) else {
            return;
        };
        let mut stable = stable.clone();
        stable.retain(|dot| dot.log.epoch >= replica.closed.below && newest.has(dot.log.epoch));
        self.learn_stable(&stable);
    }

    pub(crate) fn forget_below(&self, closed_below: Epoch) {
        self.update(|state| state.progress.forget_below(closed_below));
    }

    /// True if every sibling has acknowledged all of this.
    pub(crate) fn is_held_by_all(&self, held: &VersionVector) -> bool {
        self.state.lock().progress.is_held_by_all(held)
    }

    pub(crate) fn pushed_to(&self) -> Vec<MemberId> {
        self.state.lock().progress.pushed_to().collect()
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let settled = state.progress.settled_number();
        let waiting = match settled.checked_add(1) {
            Some(next) => state.waiters.split_off(&next),
            None => BTreeMap::new(),
        };
        let settled = std::mem::replace(&mut state.waiters, waiting);
        // Before the writers wake, so that their replies leave out what became stable.
        if **self.stable.load() != *state.progress.stable() {
            self.stable.store(Arc::new(state.progress.stable().clone()));
            self.moved.notify_one();
        }
        for (number, waiters) in settled {
            answer(&state.progress, number, waiters);
        }
    }
}

fn answer(progress: &Progress, number: u64, waiters: Vec<Waiter>) {
    let replicas = progress.replicas_of(number);
    for (reply, stored) in waiters {
        // The client may be gone; the write stays.
        let _ = reply.send(Ok(Stored { replicas, ..stored }));
    }
}
