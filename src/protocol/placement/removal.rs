//! Records a view's removed members, and the logs that each may hold further than staying members.
//!
//! Separate from `view`, because a removal outlives the views that listed the member: reads that depend
//! on its writes consult the removal long after those views are forgotten.

use std::collections::BTreeMap;

use super::{SlotSet, View};
use crate::names::{Epoch, Log, Member, MemberId, NodeId};

/// How a member was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub node: NodeId,
    /// By the proposer's wall clock. It limits how long the member's returns are taken, and how long
    /// tombstones must be kept.
    pub at_ms: u64,
    /// By force: no replica waits for what only this member had.
    pub given_up: bool,
    /// The life that left this behind, if the node goes on in a later life and hands it over itself. The
    /// removal then has the name of the leftover, since one disk can be put back twice. A removal that
    /// names its own life was given up after that life was known to have served a lost line.
    pub left_by: Option<MemberId>,
    /// The logs that this member may hold further than any staying member: logs of unclosed epochs, by
    /// members that the new view does not list. Each comes with the slots that both owned, since one
    /// slot of a log may have been handed over and another not.
    pub logs: BTreeMap<Log, SlotSet>,
}

/// What a life that ended left behind on its disk, as a later life of its node announces it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftBehind {
    /// Its own name, drawn when the life ended.
    pub name: MemberId,
    /// The life that left it behind.
    pub by: Member,
    /// The last epoch that was active in that life.
    pub epoch: Epoch,
    /// Since when it may have missed deletions, by the wall clock; none if that is unknown, and each
    /// record is judged by its own time.
    pub since_ms: Option<u64>,
}

impl Removal {
    /// True if this also covers writes that the life took on another line of views after its removal
    /// from this line.
    pub fn speaks_of_lost_lines(&self) -> bool {
        !self.given_up || self.left_by.is_some()
    }
}

impl View {
    /// Notes the removal, as of now, of the previous view's members that this view does not list. `open`
    /// are the views of epochs that are not closed; the last of them is the previous view.
    pub fn note_removals(&mut self, open: &[&View], now_ms: u64, given_up: bool) {
        let before = open.last().into_iter().flat_map(|before| before.members());
        let gone: Vec<Member> = before.filter(|member| !self.lists(&member.node)).collect();
        for member in gone {
            let removal = Removal {
                node: member.node.clone(),
                at_ms: now_ms,
                given_up,
                left_by: None,
                logs: self.logs_held_by(&member, open),
            };
            self.removed.insert(member.id(), removal);
        }
    }

    /// Notes what ended lives left behind and later lives of their nodes will hand over. True if any of
    /// it is new. `open` is as in [`Self::note_removals`].
    pub fn note_left_behind(&mut self, left_behind: &[LeftBehind], open: &[&View], now_ms: u64) -> bool {
        let mut news = false;
        for left in left_behind {
            if self.is_member(&left.by) || self.removed.contains_key(&left.name) {
                continue;
            }
            let removal = Removal {
                node: left.by.node.clone(),
                at_ms: left.since_ms.unwrap_or(now_ms).min(now_ms),
                given_up: false,
                left_by: Some(left.by.id()),
                logs: self.logs_held_by(&left.by, open),
            };
            self.removed.insert(left.name, removal);
            news = true;
        }
        news
    }

    /// The slots that a member may hold of logs by unlisted members, itself included.
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

    /// Dates removals that lie in the future to now: the clock that noted them was set back since, and
    /// waiting for their age could take years.
    pub fn correct_removals(&mut self, now_ms: u64, limit_ms: u64) {
        let times = self.removed.values_mut().map(|removal| &mut removal.at_ms);
        for at_ms in times.chain([&mut self.raised_ms]) {
            if *at_ms > now_ms.saturating_add(limit_ms) {
                *at_ms = now_ms;
            }
        }
    }

    /// Gives up what only this removed node had and, if it may have served a lost line of views, what it
    /// wrote there. True if a replica may have waited for it.
    pub fn give_up(&mut self, node: &NodeId, served_a_lost_line: bool) -> bool {
        let mut news = false;
        for (id, removal) in &mut self.removed {
            if removal.node != *node {
                continue;
            }
            news |= !removal.given_up || served_a_lost_line && !removal.speaks_of_lost_lines();
            removal.given_up = true;
            if served_a_lost_line {
                removal.left_by.get_or_insert(*id);
            }
        }
        news
    }

    /// When a member was removed; none if the removal is so old that it was forgotten.
    pub fn left_ms(&self, id: MemberId) -> Option<u64> {
        self.removed.get(&id).map(|removal| removal.at_ms)
    }

    /// The last time that a member left, by a removal or with a line of views that was given up.
    pub fn last_left_ms(&self) -> u64 {
        let removed = self.removed.values().map(|removal| removal.at_ms).max();
        removed.unwrap_or(0).max(self.raised_ms)
    }

    /// The removed members that may return their part of a log, each with the slots concerned.
    pub fn holders_of(&self, log: Log) -> impl Iterator<Item = (MemberId, &SlotSet)> {
        let waited_for = self.removed.iter().filter(|(_, removal)| !removal.given_up);
        waited_for.filter_map(move |(id, removal)| Some((*id, removal.logs.get(&log)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::SLOTS;
    use crate::protocol::placement::examples::{first, member, node, reborn};
    use crate::protocol::placement::next;

    #[test]
    fn removals_are_noted_with_their_time_and_forgotten_after_a_while() {
        let before = first(2, 4, 1);
        let mut after = next::remove(&before, &node(1)).expect("is listed");
        after.note_removals(&[&before], 1000, false);
        let gone = before.member(&node(1)).expect("was up");
        assert_eq!(after.left_ms(gone.id()), Some(1000));
        assert_eq!(
            (after.left_ms(reborn(1, 9).id()), after.last_left_ms()),
            (None, 1000)
        );
        // A node that never came up had nothing.
        let mut without = next::remove(&after, &node(3)).expect("is listed");
        without.note_removals(&[&after], 1500, false);
        assert_eq!(without.removed.len(), 1);
    }

    #[test]
    fn removals_from_the_future_count_as_of_now() {
        let before = first(2, 4, 1);
        let mut after = next::remove(&before, &node(1)).expect("is listed");
        after.note_removals(&[&before], 1000, false);
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
        after.note_removals(&[&before], 1000, false);
        let give_up = |view: &mut View, number| view.give_up(&node(number), false);
        assert!(!give_up(&mut after, 2) && give_up(&mut after, 1) && !give_up(&mut after, 1));
        assert!(after.removed.values().all(|removal| removal.given_up));
        let mut forced = next::remove(&before, &node(1)).expect("is listed");
        forced.note_removals(&[&before], 1000, true);
        assert!(!give_up(&mut forced, 1));
        // Both views learn later that the node had served another line.
        for view in [&mut after, &mut forced] {
            assert!(view.give_up(&node(1), true) && !view.give_up(&node(1), true));
            assert!(view.removed.values().all(Removal::speaks_of_lost_lines));
        }
    }

    #[test]
    fn what_a_life_left_behind_is_noted_once_under_its_own_name() {
        let one = first(2, 4, 0);
        let mut two = next::admit(&one, &[reborn(1, 7)]);
        let left = LeftBehind {
            name: crate::names::MemberId(5),
            by: member(1),
            epoch: one.epoch,
            since_ms: None,
        };
        assert!(two.note_left_behind(std::slice::from_ref(&left), &[&one], 1000));
        assert!(!two.note_left_behind(std::slice::from_ref(&left), &[&one], 2000));
        let removal = &two.removed[&left.name];
        assert_eq!((removal.at_ms, removal.left_by), (1000, Some(member(1).id())));
        let own = Log {
            epoch: one.epoch,
            member: member(1).id(),
        };
        assert!(removal.logs.contains_key(&own));
        // A member that goes on in that life left nothing behind.
        let mut other = next::admit(&one, &[]);
        assert!(!other.note_left_behind(&[left], &[&one], 1000));
    }

    #[test]
    fn a_removal_names_the_logs_that_no_remaining_member_has_written() {
        // Node 1 lost its disk in epoch 1; node 0, which may have its writes, is removed in epoch 3.
        let one = first(2, 4, 0);
        let two = next::admit(&one, &[reborn(1, 7)]);
        let mut three = next::remove(&two, &node(0)).expect("is listed");
        three.note_removals(&[&one, &two], 1000, false);
        let removal = &three.removed[&member(0).id()];
        let log = |member: &Member, epoch| Log {
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
        three.give_up(&node(0), false);
        assert_eq!(three.holders_of(expected[1]).count(), 0);
    }
}
