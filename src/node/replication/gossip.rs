//! Gossip between nodes: liveness, held and stable writes, and the epochs that a node is done with.
//! Concludes from it which epochs are closed and which removals are settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::names::{Epoch, Member, MemberId, NodeId};
use crate::node::commit::job::Job;
use crate::node::limits::{GOSSIP_LIMIT, PUSH_LIMIT};
use crate::node::replication::Replication;
use crate::planted::{self, Fault};
use crate::protocol::placement::LeftBehind;
use crate::protocol::replication::{Closed, ReplicaState};
use crate::wire::peer::{Answer, Gossip, Question};

/// How often siblings gossip: bounds how soon a frozen one is detected when nothing else is asked of it.
const SIBLING_PAUSE: Duration = Duration::from_millis(200);

/// The same for all other nodes, which only need to know what is stable and which nodes are alive.
const OTHER_PAUSE: Duration = Duration::from_millis(500);

/// The least time between two stability notices: under load, pushes carry the same news anyway.
const SPREAD_PAUSE: Duration = Duration::from_millis(2);

/// How often absent nodes are asked.
const ABSENT_PAUSE: Duration = Duration::from_secs(2);

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
    fn note(&self, member: MemberId, gossip: &Gossip) {
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
    fn conclude(&self, state: &ReplicaState) -> Option<Closed> {
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
    fn conclude_removals(&self, state: &ReplicaState) -> Option<(BTreeSet<MemberId>, BTreeSet<Epoch>)> {
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

/// The nodes to ask, each with its lives that readers may wait for: listed nodes without a member, which
/// may wait for a call; removed nodes; and nodes of such lives, whether listed in a later life or not.
fn absent(state: &ReplicaState) -> BTreeMap<NodeId, BTreeSet<MemberId>> {
    let mut absent = BTreeMap::new();
    let Some(view) = state.view() else { return absent };
    for node in view.nodes().filter(|node| view.member(node).is_none()) {
        absent.insert(node.clone(), BTreeSet::new());
    }
    // A removed node may serve on another line that shares no node with this one, even when nothing here
    // waits for its writes.
    let gone = view.removed.values().map(|removal| &removal.node);
    for node in gone.filter(|node| !view.lists(node)) {
        absent.insert(node.clone(), BTreeSet::new());
    }
    let removed = view
        .removed
        .iter()
        .map(|(id, removal)| (removal.node.clone(), *id));
    let of_lost = state
        .owners_of_lost()
        .map(|owner| (owner.node.clone(), owner.id()));
    // A removal may be settled while the member's writes on a lost line are still awaited.
    let removed = removed.filter(|(_, life)| !state.settled.contains(life));
    let is_open = |life: &MemberId| !state.expired.contains(life);
    for (node, life) in removed.chain(of_lost).filter(|(_, life)| is_open(life)) {
        absent.entry(node).or_default().insert(life);
    }
    absent
}

/// The epochs of lost lines; true for those from which this node waits for nothing.
fn lost_lines(state: &ReplicaState) -> BTreeMap<Epoch, bool> {
    if state.lost.is_empty() {
        return BTreeMap::new();
    }
    let done: BTreeSet<Epoch> = state.does_not_await_lost().collect();
    let known = state.lost.keys();
    known.map(|epoch| (*epoch, done.contains(epoch))).collect()
}

impl Replication {
    /// Gossips with one peer for as long as the epoch lasts.
    pub(crate) async fn gossip_with(self: Arc<Self>, peer: Member, is_sibling: bool) {
        let pause = if is_sibling { SIBLING_PAUSE } else { OTHER_PAUSE };
        loop {
            self.gossip_once(&peer, GOSSIP_LIMIT).await;
            sleep(pause).await;
        }
    }

    pub(crate) async fn gossip_once(&self, peer: &Member, limit: Duration) {
        let question = Question::Gossip(self.gossip().into());
        if let Ok((Answer::Gossip(theirs), answered)) =
            self.shared.peers.call_known(&peer.node, question, limit).await
        {
            if answered != *peer {
                self.shared.me.may_know_newer(&peer.node);
            }
            self.hear_gossip(&answered, &theirs, true).await;
        }
    }

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

    /// Tells the siblings at once what became stable, by an empty push, because several siblings cannot
    /// conclude it themselves. Readers of fresh writes then carry no entries, and payloads stay short.
    pub(crate) async fn spread_stable(self: Arc<Self>) {
        loop {
            self.shared.acks.moved.notified().await;
            self.push(
                &self.shared.me.state(),
                0,
                1,
                Vec::new(),
                Instant::now() + PUSH_LIMIT,
            );
            sleep(SPREAD_PAUSE).await;
        }
    }

    /// The gossip of this node.
    pub(crate) fn gossip(&self) -> Gossip {
        let state = self.shared.me.state();
        let mut stable = (*self.shared.acks.stable()).clone();
        stable.retain(|dot| {
            dot.log.epoch != state.active || dot.log.member == state.id || state.is_sibling(dot.log.member)
        });
        Gossip {
            epoch: state.active,
            time: self.shared.me.shown(),
            held: state.vector.clone(),
            stable,
            done_below: state.done_below(),
            run: state.runs.current().number,
            closed: state.closed.clone(),
            does_not_await: state.does_not_await(),
            lost: lost_lines(&state),
            counted: self.shared.me.ages.lock().tell(),
        }
    }

    pub(crate) async fn hear_gossip(&self, from: &Member, gossip: &Gossip, answers_us: bool) {
        self.shared.me.hear_time(&from.node, gossip.time);
        let state = self.shared.me.state();
        if state.active == Epoch::NONE {
            return;
        }
        self.reports.note(from.id(), gossip);
        self.claims.ledger.hear(&gossip.held);
        let is_member = state.view().is_some_and(|view| view.is_member(from));
        let knows_more = |epoch: &Epoch| !state.has(*epoch) && !state.lost.contains_key(epoch);
        if gossip.lost.keys().any(knows_more) {
            self.shared.me.may_know_newer(&from.node);
        }
        if gossip.epoch == state.active && is_member {
            self.shared
                .me
                .ages
                .lock()
                .hear(from.id(), &gossip.counted, &state);
        }
        self.shared
            .acks
            .hear_stable(&state, from, gossip.epoch, &gossip.stable);
        if gossip.epoch == state.active && state.has_not_heard(from.id()) {
            self.shared.me.ring(&from.node);
        }
        if gossip.epoch == state.active && !state.is_sealed() && state.is_sibling(from.id()) {
            self.shared
                .acks
                .acknowledged(gossip.epoch, from.id(), &gossip.held, answers_us);
            if !state.vector.covers(&gossip.held) || state.waits_for(from.id()) {
                self.shared.me.ring(&from.node);
            }
        }
        // A closing that was concluded in a later view does not count before that view is active here.
        let announced =
            (is_member && gossip.closed.below > state.closed.below).then(|| gossip.closed.clone());
        let announced =
            announced.filter(|closed| state.active >= closed.at || planted::is(Fault::ClosedByNodeBehind));
        if let Some(closed) = announced.or_else(|| self.reports.conclude(&state)) {
            self.shared.commit.enqueue(Job::Close(closed)).await;
        }
        if let Some((removed, lost)) = self.reports.conclude_removals(&state) {
            self.shared.commit.enqueue(Job::Settle { removed, lost }).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ClusterId, Incarnation, NodeId};
    use crate::protocol::causality::VersionVector;
    use crate::protocol::placement::{View, next};
    use crate::wire::peer::{Counted, Shown};

    fn member(number: u64) -> Member {
        let node: NodeId = format!("n{number}:80").parse().expect("is a node");
        let incarnation = Incarnation {
            started_ms: 1,
            random: 0,
        };
        Member { node, incarnation }
    }

    /// Node 0 of three, each alone with its slots, in the second view, which changed nothing.
    fn state() -> ReplicaState {
        let members = [0, 1, 2].map(member);
        let nodes: BTreeSet<NodeId> = members.iter().map(|member| member.node.clone()).collect();
        let up = members
            .into_iter()
            .map(|member| (member.node, member.incarnation));
        let one = View::first(ClusterId(1), 1, &nodes, &up.collect());
        let two = next::admit(&one, &[]);
        let mut state = ReplicaState::new(member(0));
        for view in [one, two] {
            let epoch = view.epoch;
            state.learn(&Arc::new(view));
            state.activate(epoch);
        }
        state
    }

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
