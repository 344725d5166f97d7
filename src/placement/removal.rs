//! Members that a view has removed, and what each of them may hold further than anybody else.
//!
//! Apart from `view`, because a removal outlives the views that listed the member: readers that depend on
//! its writes go by the record, long after those views are forgotten.

use std::collections::BTreeMap;

use super::{SlotSet, View};
use crate::names::{Log, Member, MemberId, NodeId};

/// How a member was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub node: NodeId,
    /// By the wall clock of the proposer: until when what the member returns may be taken, and
    /// tombstones must be kept.
    pub at_ms: u64,
    /// By force: nobody waits for what only this member had.
    pub given_up: bool,
    /// The logs that this member may hold further than all who stay: those of the epochs that were not
    /// closed, by members that the new view does not list. With the slots that both owned, since one
    /// slot of a log may have been handed over and another not.
    pub logs: BTreeMap<Log, SlotSet>,
}

impl View {
    /// Notes that the members which this view does not list any more were removed now, and forgets
    /// removals that are older than `keep_ms`. `open` are the views of epochs that are not closed; the
    /// last of them is the one before this view.
    pub fn note_removals(&mut self, open: &[&View], now_ms: u64, keep_ms: u64, given_up: bool) {
        self.removed
            .retain(|_, removal| removal.at_ms.saturating_add(keep_ms) >= now_ms);
        let before = open.last().into_iter().flat_map(|before| before.members());
        let gone: Vec<Member> = before.filter(|member| !self.lists(&member.node)).collect();
        for member in gone {
            let removal = Removal {
                node: member.node.clone(),
                at_ms: now_ms,
                given_up,
                logs: self.logs_held_by(&member, open),
            };
            self.removed.insert(member.id(), removal);
        }
    }

    /// What a member may hold of the logs of members that this view does not list, itself included.
    fn logs_held_by(&self, member: &Member, open: &[&View]) -> BTreeMap<Log, SlotSet> {
        let owned = open.iter().fold(SlotSet::default(), |all, view| {
            all.union(&view.slots_of_member(member))
        });
        let mut logs = BTreeMap::new();
        for view in open {
            for writer in view.members().filter(|writer| !self.is_member(writer)) {
                let slots = view.slots_of_node(&writer.node).intersection(&owned);
                if !slots.is_empty() {
                    let (epoch, member) = (view.epoch, writer.id());
                    logs.insert(Log { epoch, member }, slots);
                }
            }
        }
        logs
    }

    /// Removals that seem to come from the future were noted by a clock that has been set back since: they
    /// count as of now, so that what waits for their age does not wait for years.
    pub fn correct_removals(&mut self, now_ms: u64, limit_ms: u64) {
        let times = self.removed.values_mut().map(|removal| &mut removal.at_ms);
        for at_ms in times.chain([&mut self.raised_ms]) {
            if *at_ms > now_ms.saturating_add(limit_ms) {
                *at_ms = now_ms;
            }
        }
    }

    /// Gives up what only this node had, which was removed. True if anybody may have waited for it.
    pub fn give_up(&mut self, node: &NodeId) -> bool {
        let of_node = self.removed.values_mut().filter(|removal| removal.node == *node);
        of_node.fold(false, |news, removal| {
            news | !std::mem::replace(&mut removal.given_up, true)
        })
    }

    /// When a node left that is no member any more: it was removed, or, if it is listed, it followed a
    /// line of views that was given up. None if that is so long ago that it was forgotten.
    pub fn left_ms(&self, member: &Member) -> Option<u64> {
        if self.is_member(member) {
            Some(self.raised_ms).filter(|raised_ms| *raised_ms > 0)
        } else {
            self.removed.get(&member.id()).map(|removal| removal.at_ms)
        }
    }

    /// The last time that a member left.
    pub fn last_left_ms(&self) -> u64 {
        let removed = self.removed.values().map(|removal| removal.at_ms).max();
        removed.unwrap_or(0).max(self.raised_ms)
    }

    /// The removed members that may return what they hold of a log, with the slots that it concerns.
    pub fn holders_of(&self, log: Log) -> impl Iterator<Item = (MemberId, &SlotSet)> {
        let waited_for = self.removed.iter().filter(|(_, removal)| !removal.given_up);
        waited_for.filter_map(move |(id, removal)| Some((*id, removal.logs.get(&log)?)))
    }
}

#[cfg(test)]
mod tests {
    use crate::names::{Epoch, Log, SLOTS};
    use crate::placement::examples::{first, member, node, reborn};
    use crate::placement::next;

    #[test]
    fn removals_are_noted_with_their_time_and_forgotten_after_a_while() {
        let before = first(2, 4, 1);
        let mut after = next::remove(&before, &node(1)).expect("is listed");
        after.note_removals(&[&before], 1000, 500, false);
        let gone = before.member(&node(1)).expect("was up");
        assert_eq!(after.left_ms(&gone), Some(1000));
        assert_eq!((after.left_ms(&reborn(1, 9)), after.last_left_ms()), (None, 1000));
        // Who never came up had nothing.
        let mut without = next::remove(&after, &node(3)).expect("is listed");
        without.note_removals(&[&after], 1500, 500, false);
        assert_eq!(without.removed.len(), 1);
        let mut later = next::admit(&without, &[]);
        later.note_removals(&[&without], 1501, 500, false);
        assert_eq!((later.left_ms(&gone), later.last_left_ms()), (None, 0));
    }

    #[test]
    fn removals_from_the_future_count_as_of_now() {
        let before = first(2, 4, 1);
        let mut after = next::remove(&before, &node(1)).expect("is listed");
        after.note_removals(&[&before], 1000, 500, false);
        after.raised_ms = 1000;
        after.correct_removals(900, 100);
        assert_eq!(after.last_left_ms(), 1000);
        after.correct_removals(100, 100);
        assert_eq!(after.last_left_ms(), 100);
    }

    #[test]
    fn what_a_removed_node_had_is_given_up_once() {
        let before = first(2, 4, 0);
        let mut after = next::remove(&before, &node(1)).expect("is listed");
        after.note_removals(&[&before], 1000, 500, false);
        assert!(!after.give_up(&node(2)) && after.give_up(&node(1)) && !after.give_up(&node(1)));
        assert!(after.removed.values().all(|removal| removal.given_up));
        let mut forced = next::remove(&before, &node(1)).expect("is listed");
        forced.note_removals(&[&before], 1000, 500, true);
        assert!(!forced.give_up(&node(1)));
    }

    #[test]
    fn a_member_that_is_listed_left_only_with_a_line_that_was_given_up() {
        let mut view = first(2, 4, 0);
        let member = view.member(&node(1)).expect("is up");
        assert_eq!(view.left_ms(&member), None);
        view.raised_ms = 700;
        assert_eq!((view.left_ms(&member), view.last_left_ms()), (Some(700), 700));
    }

    #[test]
    fn a_removal_names_the_logs_that_nobody_who_stays_has_written() {
        // Node 1 lost its disk in epoch 1; node 0, which may have its writes, is removed in epoch 3.
        let one = first(2, 4, 0);
        let two = next::admit(&one, &[reborn(1, 7)]);
        let mut three = next::remove(&two, &node(0)).expect("is listed");
        three.note_removals(&[&one, &two], 1000, 500, false);
        let removal = &three.removed[&member(0).id()];
        let log = |member: &crate::names::Member, epoch| Log {
            epoch: Epoch(epoch),
            member: member.id(),
        };
        let expected = [log(&member(0), 1), log(&member(1), 1), log(&member(0), 2)];
        assert!(
            removal
                .logs
                .keys()
                .eq(expected.iter().collect::<std::collections::BTreeSet<_>>())
        );
        assert!(
            removal
                .logs
                .values()
                .all(|slots| slots.len() == usize::from(SLOTS) / 2)
        );
        assert_eq!(three.holders_of(expected[1]).count(), 1);
        assert_eq!(
            three.holders_of(log(&reborn(1, 7), 2)).count(),
            0,
            "who stays is asked itself"
        );
        three.give_up(&node(0));
        assert_eq!(three.holders_of(expected[1]).count(), 0);
    }
}
