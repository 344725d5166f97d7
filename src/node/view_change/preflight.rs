//! Preflight checks for a view change: whether the view allows it, the node can be added, and no keys would
//! be lost. They change nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::names::{Epoch, Member, NodeId};
use crate::node::limits::ASK_LIMIT;
use crate::node::view_change::ViewChanges;
use crate::node::view_change::request::LOOK_PAUSE;
use crate::node::view_change::view_request::{Preview, RequestKind, ViewRefusal, ViewRequest};
use crate::protocol::placement::next::ChangeError;
use crate::protocol::placement::{LeftBehind, Moves, SlotSet, View, next};
use crate::wire::peer::{Answer, Question, Start};

/// How long a node to be added may take to answer.
const PROBE_LIMIT: Duration = Duration::from_millis(500);

/// How long the check waits for earlier removals to settle, before it calls a removal a loss.
const SETTLE_LIMIT: Duration = Duration::from_secs(3);

impl ViewChanges {
    /// The wanted view, and how many slots it would give up; or why the change is refused.
    pub(crate) async fn check(
        &self,
        request: &ViewRequest,
        before: &Arc<View>,
        deadline: Instant,
    ) -> Result<(View, u32), ViewRefusal> {
        let node = &request.node;
        match request.kind {
            RequestKind::Add => {
                if before.lists(node) {
                    return Err(already(node, before));
                }
                let member = self.probe(node, before, deadline).await?;
                let mut wanted = next::add(before, &member).map_err(|error| refused(error, node, before))?;
                self.correct_removals(&mut wanted);
                Ok((wanted, 0))
            }
            RequestKind::Remove { force: true } if !before.lists(node) => {
                let mut wanted = next::admit(before, &[]);
                let state = self.shared.me.state();
                let served_a_lost_line = state.owners_of_lost().any(|owner| owner.node == *node);
                if wanted.give_up(node, served_a_lost_line) {
                    return Ok((wanted, 0));
                }
                Err(refused(ChangeError::NotListed, node, before))
            }
            RequestKind::Remove { force } => {
                let mut wanted = next::remove(before, node).map_err(|error| refused(error, node, before))?;
                self.note_removals(&mut wanted, before, force);
                let slots = self.slots_lost_in_the_end(node, before, &wanted).await;
                if slots > 0 && !force && !request.dry_run {
                    let node = node.clone();
                    return Err(ViewRefusal::WouldLoseData { node, slots });
                }
                Ok((wanted, slots))
            }
        }
    }

    /// Notes the removed members, and forgets removals older than `FORGET_AFTER`, for which no node waits.
    fn note_removals(&self, wanted: &mut View, before: &View, force: bool) {
        self.correct_removals(wanted);
        let (time, limit) = (self.shared.me.time(), self.shared.limits.forget_after);
        let ages = self.shared.me.ages.lock();
        wanted
            .removed
            .retain(|id, removal| !ages.is_removal_over(*id, removal.at_ms, time, limit));
        let state = self.shared.me.state();
        let open: Vec<&View> = state.views_until(before.epoch).collect();
        wanted.note_removals(&open, time.likely_ms, force);
    }

    /// Notes what ended lives left behind. True if any of it is news and may still be taken.
    pub(crate) fn note_left_behind(&self, wanted: &mut View, before: &View, left: &[LeftBehind]) -> bool {
        let (time, limit) = (self.shared.me.time(), self.shared.limits.forget_after);
        let in_time = {
            let ages = self.shared.me.ages.lock();
            let in_time = left
                .iter()
                .filter(|left| !ages.missed_too_much(left, time, limit));
            in_time.cloned().collect::<Vec<LeftBehind>>()
        };
        let state = self.shared.me.state();
        let open: Vec<&View> = state.views_until(before.epoch).collect();
        wanted.note_left_behind(&in_time, &open, time.likely_ms)
    }

    /// Corrects removals noted by a clock that was ahead, once the time is certain again.
    fn correct_removals(&self, wanted: &mut View) {
        let (time, limit_ms) = (self.shared.me.time(), self.shared.me.clock_limit_ms());
        if !time.is_doubted && time.high_ms - time.low_ms <= limit_ms {
            wanted.correct_removals(time.likely_ms, limit_ms);
        }
    }

    /// The member to add, if it can be added: it answers, keeps nothing, and was not started with another
    /// K. Waits for a node that was just removed.
    async fn probe(&self, node: &NodeId, before: &View, deadline: Instant) -> Result<Member, ViewRefusal> {
        let mut heard = Instant::now();
        loop {
            let answer = self
                .shared
                .peers
                .call_known(node, Question::Meet, PROBE_LIMIT)
                .await;
            let (known, start, member) = match answer {
                Ok((Answer::Met { by, known, start, .. }, answered)) if by == answered => (known, start, by),
                // A new life of the node begins: it answers in that life, or has closed its links.
                Ok(_) | Err(_)
                    if self.shared.peers.refusal(node).is_none() && heard.elapsed() < PROBE_LIMIT =>
                {
                    sleep(LOOK_PAUSE).await;
                    continue;
                }
                Ok(_) | Err(_) => return Err(self.unreachable(node)),
            };
            heard = Instant::now();
            check_replicas(node, &start, before)?;
            if known.active == Epoch::NONE {
                return Ok(member);
            }
            if Instant::now() >= deadline {
                let why = "it was a member before, and still hands over its keys; try again later".to_owned();
                let node = node.clone();
                return Err(ViewRefusal::Unreachable { node, why });
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    fn unreachable(&self, node: &NodeId) -> ViewRefusal {
        let node = node.clone();
        match self.shared.peers.refusal(&node) {
            Some(why) if why.is_other_cluster => ViewRefusal::OtherCluster { node, why: why.text },
            Some(why) => ViewRefusal::Unreachable { node, why: why.text },
            None => ViewRefusal::Unreachable {
                node,
                why: "it does not answer; start it first, without VIEW, and see that this node reaches it"
                    .to_owned(),
            },
        }
    }

    /// Waits for earlier removals to settle: what they left is handed over or given up within seconds. Only
    /// then is it known whether the others can do without the node.
    async fn slots_lost_in_the_end(&self, node: &NodeId, before: &View, after: &View) -> u32 {
        let began = Instant::now();
        loop {
            let slots = self.slots_lost_with(node, before, after).await;
            let is_recent = !before.removed.is_empty();
            if slots == 0 || !is_recent || began.elapsed() >= SETTLE_LIMIT {
                return slots;
            }
            sleep(PROBE_LIMIT / 5).await;
        }
    }

    /// Counts the slots that would have no reachable holder if the node were removed: no other node has
    /// them, and either the node cannot hand them over or no taker is reachable.
    async fn slots_lost_with(&self, node: &NodeId, before: &View, after: &View) -> u32 {
        let state = self.shared.me.state();
        let known = state.views.values().filter(|view| view.epoch <= before.epoch);
        let mut at_risk = known.fold(SlotSet::default(), |all, view| {
            all.union(&view.slots_of_node(node))
        });
        for (ready, _) in self.ask_holdings(before, Some(node), &at_risk).await {
            at_risk = at_risk.difference(&ready);
        }
        if !at_risk.is_empty() && self.is_there(node, before).await {
            for taker in after.nodes() {
                let takes = after.slots_of_node(taker).intersection(&at_risk);
                if !takes.is_empty() && self.is_there(taker, after).await {
                    at_risk = at_risk.difference(&takes);
                }
            }
        }
        u32::try_from(at_risk.len()).expect("there are few slots")
    }

    /// True if a node answers as the member that the view lists.
    async fn is_there(&self, node: &NodeId, view: &View) -> bool {
        if *node == self.shared.me.node {
            return view.is_member(&self.shared.me.member());
        }
        match view.member(node) {
            Some(member) => {
                let answer = self
                    .shared
                    .peers
                    .call_member(&member, Question::Ping, PROBE_LIMIT)
                    .await;
                answer.is_ok()
            }
            None => false,
        }
    }

    /// Asks every member except `without` which of these slots it may read, and how many keys it has there.
    async fn ask_holdings(
        &self,
        view: &View,
        without: Option<&NodeId>,
        slots: &SlotSet,
    ) -> Vec<(SlotSet, u64)> {
        let members: Vec<Member> = view
            .members()
            .filter(|member| Some(&member.node) != without)
            .collect();
        let asked = members.iter().map(|member| async {
            let mine = view.slots_of_member(member).intersection(slots);
            if mine.is_empty() {
                return (SlotSet::default(), 0);
            }
            let answer = if member.node == self.shared.me.node {
                self.replication.holdings(&mine)
            } else {
                let question = Question::Holdings(mine);
                match self
                    .shared
                    .peers
                    .call_member(member, question, 2 * ASK_LIMIT)
                    .await
                {
                    Ok(answer) => answer,
                    Err(_) => return (SlotSet::default(), 0),
                }
            };
            match answer {
                Answer::Holdings { ready, keys } => (ready, keys),
                _ => (SlotSet::default(), 0),
            }
        });
        join_all(asked).await
    }

    pub(crate) async fn preview(&self, before: Arc<View>, after: View, slots_given_up: u32) -> Preview {
        let slots = Moves::between(&before, &after).slots();
        let mut keys_moved = 0;
        for (partition, nodes) in before.partitions() {
            let moving = before.slots_of_partition(partition).intersection(&slots);
            if moving.is_empty() {
                continue;
            }
            let holdings = self.ask_holdings(&before, None, &moving).await;
            let most = holdings.iter().map(|(_, keys)| *keys).max();
            keys_moved += most.filter(|_| !nodes.is_empty()).unwrap_or(0);
        }
        Preview {
            before,
            after: Arc::new(after),
            slots_moved: u32::try_from(slots.len()).expect("there are few slots"),
            keys_moved,
            slots_given_up,
        }
    }
}

fn check_replicas(node: &NodeId, start: &Start, view: &View) -> Result<(), ViewRefusal> {
    match start.replicas {
        Some(replicas) if replicas != view.replicas => Err(ViewRefusal::OtherCluster {
            node: node.clone(),
            why: format!(
                "it was started with K={replicas}, and this cluster has K={}; start it without K",
                view.replicas
            ),
        }),
        _ => Ok(()),
    }
}

fn members(view: &View) -> Vec<NodeId> {
    view.nodes()
        .cloned()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn already(node: &NodeId, view: &View) -> ViewRefusal {
    ViewRefusal::AlreadyMember {
        node: node.clone(),
        members: members(view),
    }
}

fn refused(error: ChangeError, node: &NodeId, view: &View) -> ViewRefusal {
    match error {
        ChangeError::AlreadyListed => already(node, view),
        ChangeError::NotListed => ViewRefusal::NotMember {
            node: node.clone(),
            members: members(view),
        },
        ChangeError::LastNode => ViewRefusal::Impossible(format!(
            "{node} is the last node of the view; add another one first, or stop it and delete its data"
        )),
        ChangeError::LastMember | ChangeError::Full => ViewRefusal::Impossible(error.to_string()),
    }
}
