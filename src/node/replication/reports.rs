//! The members' reports of what they are done with, and what follows once all have said so: epochs that may be closed
//! and removals that are settled. Pure; `gossip` brings the reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::names::{Epoch, MemberId};
use crate::protocol::replication::{Closed, ReplicaState};
use crate::wire::peer::Gossip;

/// The last report of each member.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<BTreeMap<MemberId, Report>>);

#[derive(Debug, Clone)]
struct Report {
    active: Epoch,
    /// The member lacks nothing of epochs below this one.
    done_below: Epoch,
    /// The run in which it reported this.
    run: u32,
    /// Removed members that it does not wait for.
    does_not_await: BTreeSet<MemberId>,
    /// Epochs of lost lines from which it waits for nothing.
    does_not_await_lost: BTreeSet<Epoch>,
}

impl Reports {
    pub(super) fn note(&self, member: MemberId, gossip: &Gossip) {
        let report = Report {
            active: gossip.epoch,
            done_below: gossip.done_below,
            run: gossip.run,
            does_not_await: gossip.does_not_await.clone(),
            does_not_await_lost: gossip
                .lost
                .iter()
                .filter(|(_, done)| **done)
                .map(|(epoch, _)| *epoch)
                .collect(),
        };
        self.0.lock().insert(member, report);
    }

    /// The reports of all other members, if each of them was made in the epoch that is active here.
    fn of_all(&self, state: &ReplicaState) -> Option<BTreeMap<MemberId, Report>> {
        let reports = self.0.lock();
        let others = state.view()?.members().filter(|member| *member != state.me);
        let said = others.map(|member| {
            let report = reports.get(&member.id())?;
            (report.active == state.active).then(|| (member.id(), report.clone()))
        });
        said.collect()
    }

    /// The epochs that may be closed: every member reported to be done with them, all in the same active
    /// epoch. None when in doubt.
    pub(super) fn conclude(&self, state: &ReplicaState) -> Option<Closed> {
        let said = self.of_all(state)?;
        let below = said.values().map(|report| report.done_below);
        let below = below.chain([state.done_below()]).min()?;
        let runs = said.iter().map(|(id, report)| (*id, report.run));
        (below > state.closed.below).then(|| Closed {
            below,
            at: state.active,
            runs: Arc::new(runs.chain([(state.id, state.runs.current().number)]).collect()),
        })
    }

    /// The removed members and the epochs of lost lines that no owner waits for, if any of them is new.
    pub(super) fn conclude_removals(
        &self,
        state: &ReplicaState,
    ) -> Option<(BTreeSet<MemberId>, BTreeSet<Epoch>)> {
        let view = state.view()?;
        let are_settled = view.removed.keys().all(|id| state.settled.contains(id));
        if are_settled && state.lost.values().all(|lost| lost.is_over) {
            return None;
        }
        let said = self.of_all(state)?;
        let mut removed = state.does_not_await();
        removed.retain(|id| said.values().all(|report| report.does_not_await.contains(id)));
        let mut lost: BTreeSet<Epoch> = state.does_not_await_lost().collect();
        lost.retain(|epoch| {
            said.values()
                .all(|report| report.does_not_await_lost.contains(epoch))
        });
        let is_news =
            !removed.is_subset(&state.settled) || lost.iter().any(|epoch| !state.lost[epoch].is_over);
        is_news.then_some((removed, lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::replication::examples::state;
    use crate::protocol::causality::VersionVector;
    use crate::protocol::placement::examples::member;
    use crate::protocol::placement::next;
    use crate::wire::peer::{Counted, Shown};

    fn said_by(active: u64, done_below: u64, does_not_await: &[MemberId]) -> Gossip {
        Gossip {
            epoch: Epoch(active),
            time: Shown {
                wall_ms: 1,
                believed_ms: 1,
            },
            held: VersionVector::default(),
            stable: VersionVector::default(),
            done_below: Epoch(done_below),
            run: 3,
            closed: Closed::default(),
            does_not_await: does_not_await.iter().copied().collect(),
            lost: BTreeMap::new(),
            counted: Counted::default(),
        }
    }

    #[test]
    fn a_removal_is_settled_when_every_member_says_in_one_epoch_that_it_does_not_wait() {
        let mut state = state();
        let before = state.view().expect("serves").clone();
        let mut view = next::remove(&before, &member(2).node).expect("is listed");
        view.note_removals(&[&before], 1, false);
        state.learn(&Arc::new(view));
        state.activate(Epoch(3));
        // Node 0 takes a share of node 2's slots, which node 2 has not handed over.
        let removed = member(2).id();
        let reports = Reports::default();
        reports.note(member(1).id(), &said_by(3, 0, &[removed]));
        assert_eq!(reports.conclude_removals(&state), None, "it waits itself");
        let owned = state.owned_slots();
        state.note_returned(removed, &BTreeSet::new(), &owned);
        assert_eq!(
            reports.conclude_removals(&state),
            Some((BTreeSet::from([removed]), BTreeSet::new()))
        );
        reports.note(member(1).id(), &said_by(2, 0, &[removed]));
        assert_eq!(reports.conclude_removals(&state), None, "said in another epoch");
        reports.note(member(1).id(), &said_by(3, 0, &[]));
        assert_eq!(reports.conclude_removals(&state), None, "node 1 waits");
        state.settle_removals(&BTreeSet::from([removed]));
        reports.note(member(1).id(), &said_by(3, 0, &[removed]));
        assert_eq!(reports.conclude_removals(&state), None, "is known");
    }

    #[test]
    fn an_epoch_is_closed_when_every_member_says_so_in_the_epoch_that_is_active_here() {
        let state = state();
        let concluded = |said: &[(u64, u64, u64)]| {
            let reports = Reports::default();
            for (number, active, done_below) in said {
                reports.note(member(*number).id(), &said_by(*active, *done_below, &[]));
            }
            reports
                .conclude(&state)
                .map(|closed| (closed.below.0, closed.at.0))
        };
        assert_eq!(state.done_below(), Epoch(2));
        assert_eq!(concluded(&[(1, 2, 2), (2, 2, 2)]), Some((2, 2)));
        let reports = Reports::default();
        for number in [1, 2] {
            reports.note(member(number).id(), &said_by(2, 2, &[]));
        }
        let runs = reports.conclude(&state).expect("all said so").runs;
        let expected = [(0, 0), (1, 3), (2, 3)].map(|(number, run)| (member(number).id(), run));
        assert_eq!(
            *runs,
            expected.into_iter().collect(),
            "the runs in which they said it"
        );
        assert_eq!(concluded(&[(1, 2, 2)]), None, "node 2 has said nothing");
        assert_eq!(concluded(&[(1, 2, 2), (2, 2, 0)]), None, "node 2 is not done");
        // Reports of another epoch say nothing about this one.
        for other in [1, 3] {
            assert_eq!(concluded(&[(1, 2, 2), (2, other, 2)]), None, "epoch {other}");
        }
        let mut behind = state.clone();
        Arc::make_mut(&mut behind.regions)[0].lacks = Epoch(2);
        let reports = Reports::default();
        for number in [1, 2] {
            reports.note(member(number).id(), &said_by(2, 2, &[]));
        }
        assert_eq!(reports.conclude(&behind), None, "node 0 is not done itself");
    }
}
