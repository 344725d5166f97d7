//! Asks the nodes to which no member talks otherwise: absent ones, and those that served a line of views that was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::names::{Member, MemberId, NodeId};
use crate::node::commit::job::Job;
use crate::node::limits::GOSSIP_LIMIT;
use crate::node::replication::Replication;
use crate::protocol::placement::LeftBehind;
use crate::protocol::replication::ReplicaState;
use crate::wire::peer::{Answer, Question};

/// How often absent nodes are asked.
const ABSENT_PAUSE: Duration = Duration::from_secs(2);

/// The nodes to ask, each with its lives that readers may wait for: listed nodes without a member, which
/// may wait for a call; removed nodes; and nodes of such lives, whether listed in a later life or not.
fn absent(state: &ReplicaState) -> BTreeMap<NodeId, BTreeSet<MemberId>> {
    let mut absent: BTreeMap<NodeId, BTreeSet<MemberId>> = BTreeMap::new();
    let Some(view) = state.view() else { return absent };
    let is_open = |life: &MemberId| !state.expired.contains(life);
    let without_member = view.nodes().filter(|node| view.member(node).is_none());
    // A removal may be settled while the member's writes on a lost line are still awaited.
    let is_awaited = |life: &MemberId| is_open(life) && !state.settled.contains(life);
    let removed = view.removed.iter();
    let removed = removed.map(|(life, removal)| (&removal.node, is_awaited(life).then_some(*life)));
    let asked = without_member.map(|node| (node, None)).chain(removed);
    for (node, life) in asked {
        // A removed node may serve on another line that shares no node with this one, even when nothing here
        // waits for its writes.
        if life.is_some() || view.member(node).is_none() {
            absent.entry(node.clone()).or_default().extend(life);
        }
    }
    for owner in state.owners_of_lost().filter(|owner| is_open(&owner.id())) {
        let life = owner.id();
        absent.entry(owner.node).or_default().insert(life);
    }
    absent
}

impl Replication {
    /// Asks the absent nodes, to which no member talks otherwise, for as long as the epoch lasts.
    ///
    /// - A node that is behind learns so from the epoch of the frame.
    /// - A node that was removed, or that a lost line had added, may serve on another line that shares no
    ///   node with this one.
    /// - A listed node that was never up may have been started without `VIEW`, and wait for a call.
    /// - A node that answers in a later life and keeps nothing of an earlier one has handed over what that
    ///   life kept, or lost it.
    pub(crate) async fn look_for_the_absent(self: Arc<Self>) {
        loop {
            sleep(ABSENT_PAUSE).await;
            let absent = absent(&self.shared.me.state()).into_iter();
            join_all(absent.map(async |(node, lives)| self.look_for(&node, lives).await)).await;
        }
    }

    async fn look_for(&self, node: &NodeId, lives: BTreeSet<MemberId>) {
        // Most absent nodes do not answer.
        let Some((by, left)) = self.present_life_of(node).await else {
            return;
        };
        let state = self.shared.me.state();
        let is_lost = |id: &MemberId| {
            let is_kept = left.iter().any(|left| left.by.id() == *id || left.name == *id);
            *id != by.id() && !is_kept && !state.expired.contains(id)
        };
        let removed: BTreeSet<MemberId> = lives.into_iter().filter(is_lost).collect();
        if !removed.is_empty() {
            let lost = BTreeSet::new();
            self.shared.commit.enqueue(Job::Expire { removed, lost }).await;
        }
    }

    /// The life in which a node answers, and what it still keeps of earlier lives.
    async fn present_life_of(&self, node: &NodeId) -> Option<(Member, Vec<LeftBehind>)> {
        if *node == self.shared.me.node {
            return Some((self.shared.me.member(), self.shared.me.state().left_behind()));
        }
        match self
            .shared
            .peers
            .call_known(node, Question::Meet, GOSSIP_LIMIT)
            .await
        {
            Ok((Answer::Met { by, left, .. }, answered)) if by == answered => Some((by, left)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Incarnation;
    use crate::node::replication::examples::state;
    use crate::protocol::placement::examples::member;
    use crate::protocol::placement::next;

    /// It may serve another line that shares no node with this one, and only a call shows that.
    #[test]
    fn a_removed_node_is_asked_also_when_nobody_waits_for_it() {
        let mut state = state();
        let before = state.view().expect("serves").clone();
        let mut gone = next::remove(&before, &member(2).node).expect("is listed");
        gone.note_removals(&[&before], 1, true);
        let epoch = gone.epoch;
        state.learn(&Arc::new(gone));
        state.activate(epoch);
        state.settle_removals(&BTreeSet::from([member(2).id()]));
        assert_eq!(absent(&state).get(&member(2).node), Some(&BTreeSet::new()));
    }

    /// Node 2 was removed, and came back with another disk: only it can tell what its earlier life left.
    #[test]
    fn a_listed_node_is_asked_about_earlier_lives_of_it_that_readers_may_wait_for() {
        let mut state = state();
        let before = state.view().expect("serves").clone();
        let mut gone = next::remove(&before, &member(2).node).expect("is listed");
        gone.note_removals(&[&before], 1, false);
        let later = Member {
            incarnation: Incarnation {
                started_ms: 1,
                random: 5,
            },
            ..member(2)
        };
        let back = next::add(&gone, &later).expect("is new");
        for view in [gone, back] {
            let epoch = view.epoch;
            state.learn(&Arc::new(view));
            state.activate(epoch);
        }
        let earlier = member(2);
        let lives = |state: &ReplicaState| absent(state).remove(&earlier.node).unwrap_or_default();
        assert_eq!(lives(&state), BTreeSet::from([earlier.id()]));
        let mut settled = state.clone();
        settled.settle_removals(&BTreeSet::from([earlier.id()]));
        assert!(lives(&settled).is_empty(), "nobody waits for it");
        state.expire(&BTreeSet::from([earlier.id()]));
        assert!(lives(&state).is_empty(), "it is given up");
    }

    /// The line that counts lists node 2 in a later life than the one that served the other line.
    #[test]
    fn a_listed_node_is_asked_about_a_life_of_it_that_served_a_lost_line() {
        let mut state = state();
        let before = state.view().expect("serves").clone();
        let mut won = next::remove(&before, &member(2).node).expect("is listed");
        won.fork(1, 1);
        let mut later = member(2);
        later.incarnation.random = 5;
        let back = next::add(&won, &later).expect("is new");
        for view in [won, back] {
            let epoch = view.epoch;
            state.learn(&Arc::new(view));
            state.activate(epoch);
        }
        let asked = |state: &ReplicaState| absent(state).get(&member(2).node).cloned();
        assert_eq!(asked(&state), None);
        let lost = next::admit(&before, &[]);
        state.learn(&Arc::new(lost.clone()));
        assert_eq!(asked(&state), Some(BTreeSet::from([member(2).id()])));
        state.give_up_lost([lost.epoch]);
        assert_eq!(asked(&state), None, "nothing more comes of that line");
    }
}
