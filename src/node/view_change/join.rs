//! Finds a place for a node without data: it asks the addresses of `VIEW`, and follows a view that one of
//! them knows. Otherwise it chooses the first view together with the nodes that know none either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::names::{ClusterId, Epoch, Incarnation, NodeId};
use crate::node::limits::ASK_LIMIT;
use crate::node::outcome::{Refusal, how_to_add};
use crate::node::view_change::ViewChanges;
use crate::planted::{self, Fault};
use crate::protocol::placement::{View, is_quorum_of};
use crate::protocol::view_change::Electorate;
use crate::wire::peer::{Answer, Known, Question, Start};

/// How often the addresses of `VIEW` are asked.
const MEET_PAUSE: Duration = Duration::from_millis(50);

const MEET_LIMIT: Duration = Duration::from_millis(300);

/// How long a quorum waits for the rest. Including the forming of the view, a second at most.
const QUORUM_PATIENCE: Duration = Duration::from_millis(850);

/// How much longer each node waits than the one before it, so that two rarely propose at once.
const RANK_PATIENCE: Duration = Duration::from_millis(300);

/// How often a node asks to be admitted again.
const ADMIT_PAUSE: Duration = Duration::from_millis(300);

/// How often a node that no view lists looks for a view that does. The driver that adds it tells it anyway.
const STRANGER_PAUSE: Duration = Duration::from_secs(1);

/// What a node that is not active yet has found.
#[derive(Debug, Default)]
pub(crate) struct Formation(Mutex<Found>);

#[derive(Debug, Default, Clone)]
struct Found {
    missing: Vec<NodeId>,
    quarrel: Vec<String>,
    /// Addresses of `VIEW` at which another node answers than the one that they name.
    misled: Vec<String>,
    /// This node's own address leads to this process.
    is_reached: bool,
    /// The view of a running cluster does not list this node: it was never added, or was removed.
    stranger: bool,
    /// What this node has kept since its removal is not taken back.
    too_late: bool,
}

impl Formation {
    /// Why keys are not served yet.
    pub(crate) fn refusal(&self, node: &NodeId, has_view: bool) -> Refusal {
        let found = self.0.lock().clone();
        if found.too_late {
            return Refusal::RemovedLongAgo;
        }
        if !has_view || found.stranger {
            return Refusal::NotInView { node: node.clone() };
        }
        Refusal::Starting {
            missing: found.missing,
            quarrel: found.quarrel.into_iter().chain(found.misled).collect(),
        }
    }

    /// True if this node's own address has led to this process.
    pub(crate) fn is_reached(&self) -> bool {
        self.0.lock().is_reached
    }

    /// True if what this node keeps was refused because of its age.
    pub(crate) fn came_too_late(&self) -> bool {
        self.0.lock().too_late
    }

    /// Notes that this node was a member, and waits to be added again.
    pub(crate) fn note_left(&self) {
        self.0.lock().stranger = true;
    }

    /// Notes that what this node keeps was not taken back, and never will be.
    pub(crate) fn note_too_late(&self) {
        if !std::mem::replace(&mut self.0.lock().too_late, true) {
            tracing::error!(
                "removed too long ago: what this node keeps is not taken back, and stays on its disk"
            );
        }
    }
}

/// What the nodes of `VIEW` answered in one round.
#[derive(Debug, Default)]
struct Round {
    /// The nodes that know no view and were started alike, with their incarnations; this node too.
    alike: BTreeMap<NodeId, Incarnation>,
    missing: Vec<NodeId>,
    quarrel: Vec<String>,
    misled: Vec<String>,
}

impl ViewChanges {
    /// Why requests for keys cannot be routed, if they cannot.
    pub(crate) fn waiting_for(&self) -> Option<Refusal> {
        let (state, node) = (self.shared.me.state(), &self.shared.me.node);
        match state.routing() {
            Some(view) if view.lists(node) => None,
            Some(_) => Some(self.formation.refusal(node, false)),
            None => Some(self.formation.refusal(node, self.shared.start.view.is_some())),
        }
    }

    /// Checks that requests for keys can be routed; otherwise says why not.
    pub(crate) fn route(&self) -> Result<(), Refusal> {
        self.waiting_for().map_or(Ok(()), Err)
    }

    /// Runs until a view is active here, or this life ends. The next life looks for a place by itself.
    pub(crate) async fn find_place(self: Arc<Self>) {
        let life = self.shared.me.member();
        let mut nodes: BTreeSet<NodeId> = self.shared.start.view.iter().flatten().cloned().collect();
        if self.shared.me.state().has_left {
            // `VIEW` is out of date: forming a cluster from it would start a second one.
            self.formation.note_left();
            nodes.clear();
        }
        self.formation.0.lock().missing = nodes
            .iter()
            .filter(|node| **node != self.shared.me.node)
            .cloned()
            .collect();
        if nodes.is_empty() {
            tracing::info!("{}", how_to_add(&self.shared.me.node));
        }
        let mut quorum_since = None;
        loop {
            let published = self.shared.me.published.count();
            let state = self.shared.me.state();
            if state.active != Epoch::NONE || state.ended.is_some() || state.me != life {
                return;
            }
            if state.newest().is_some() {
                self.ask_for_admission().await;
                continue;
            }
            if nodes.is_empty() {
                // A driver will add this node, unless its disk is from before the first view: then the
                // witness of that knows where the node belongs.
                self.hear_witness().await;
                let _ = timeout(STRANGER_PAUSE, self.shared.me.published.beyond(published)).await;
                continue;
            }
            let round = self.meet(&nodes).await;
            let alike: BTreeSet<NodeId> = round.alike.keys().cloned().collect();
            let may_be_alone = nodes.len() == 1 || self.formation.is_reached();
            let is_quorum = is_quorum_of(&alike, &nodes) && (alike.len() > 1 || may_be_alone);
            if !is_quorum || !alike.contains(&self.shared.me.node) {
                quorum_since = None;
            } else if self.may_propose(&nodes, &alike, *quorum_since.get_or_insert_with(Instant::now)) {
                self.propose_first(&nodes, &round.alike).await;
            }
            sleep(MEET_PAUSE).await;
        }
    }

    fn may_propose(&self, nodes: &BTreeSet<NodeId>, alike: &BTreeSet<NodeId>, quorum_since: Instant) -> bool {
        let rank = alike
            .iter()
            .position(|node| *node == self.shared.me.node)
            .unwrap_or(0);
        let patience = if alike == nodes {
            Duration::ZERO
        } else {
            QUORUM_PATIENCE
        };
        let rank = u32::try_from(rank).expect("few nodes");
        quorum_since.elapsed() >= patience + RANK_PATIENCE * rank
    }

    async fn meet(&self, nodes: &BTreeSet<NodeId>) -> Round {
        let others: Vec<&NodeId> = nodes
            .iter()
            .filter(|node| **node != self.shared.me.node)
            .collect();
        let asked = others
            .iter()
            .map(|node| self.shared.peers.call_known(node, Question::Meet, MEET_LIMIT));
        let (answers, other) = tokio::join!(join_all(asked), self.other_at_own_address());
        let mut round = Round::default();
        round.quarrel.extend(other);
        // Of two processes with one name, only the one at that address takes part.
        if round.quarrel.is_empty() {
            round
                .alike
                .insert(self.shared.me.node.clone(), self.shared.me.member().incarnation);
        }
        for (node, answer) in others.into_iter().zip(answers) {
            match answer {
                Ok((Answer::Met { known, .. }, _)) if !known.views.is_empty() => {
                    round.quarrel.extend(self.quarrel_with(node, &known));
                    self.learn(known).await;
                }
                Ok((Answer::Met { start, .. }, member)) if start == self.shared.start => {
                    round.alike.insert(node.clone(), member.incarnation);
                }
                Ok((Answer::Met { start, .. }, _)) => {
                    round.quarrel.push(difference(node, &self.shared.start, &start))
                }
                _ => {
                    let misled = self.shared.peers.misled(node);
                    round.misled.extend(misled.map(|why| format!("{node}: {why}")));
                    round.missing.push(node.clone());
                }
            }
        }
        self.note(&round);
        round
    }

    /// Reports another process that answers at this node's own address. No answer is no fault: not every
    /// network leads a node to itself.
    async fn other_at_own_address(&self) -> Option<String> {
        if self.formation.is_reached() {
            return None;
        }
        let there = self.shared.peers.who_answers_at(&self.shared.me.node).await?;
        if self.shared.me.is_me(&there) || planted::is(Fault::OtherNamesBelieved) {
            self.formation.0.lock().is_reached = true;
            return None;
        }
        Some(format!(
            "another process answers at {}, this node's IPPORT; give this node its own address",
            self.shared.me.node
        ))
    }

    /// Why this node takes no part in a cluster that is served: its K differs.
    fn quarrel_with(&self, node: &NodeId, known: &Known) -> Option<String> {
        let ours = self.shared.start.replicas?;
        let theirs = known.views.last()?.0.replicas;
        (ours != theirs).then(|| format!("{node} serves a cluster whose K is {theirs}, ours is {ours}"))
    }

    /// True unless this node was given another K than these views have. A node with data goes on with
    /// what is on its disk.
    pub(crate) fn may_follow(&self, known: &Known) -> bool {
        let is_ours = |replicas: u32| self.shared.start.replicas.is_none_or(|ours| ours == replicas);
        self.shared.me.state().active != Epoch::NONE
            || known.views.iter().all(|view| is_ours(view.0.replicas))
    }

    /// Keeps what the round found for clients that ask for keys, and logs what changed.
    fn note(&self, round: &Round) {
        let mut found = self.formation.0.lock();
        for quarrel in round
            .quarrel
            .iter()
            .filter(|quarrel| !found.quarrel.contains(quarrel))
        {
            tracing::error!("{quarrel}");
        }
        if found.missing != round.missing && !round.missing.is_empty() {
            tracing::info!(missing = ?round.missing, "waiting for the nodes of VIEW");
        }
        found.missing.clone_from(&round.missing);
        found.quarrel.clone_from(&round.quarrel);
        found.misled.clone_from(&round.misled);
    }

    async fn propose_first(
        self: &Arc<Self>,
        nodes: &BTreeSet<NodeId>,
        alike: &BTreeMap<NodeId, Incarnation>,
    ) {
        let Some(replicas) = self.shared.start.replicas else {
            return;
        };
        let cluster = ClusterId(self.shared.me.world.random());
        let first = View::first(cluster, replicas, nodes, alike);
        let electorate = Electorate::of_first_view(nodes);
        match self.propose(Epoch::FIRST, None, &electorate, &first).await {
            Ok(view) => {
                tracing::info!(partitions = view.partition_count(), "the first view is chosen");
                self.drive(view).await;
            }
            Err(reason) => tracing::info!(%reason, "the first view is not chosen yet"),
        }
    }

    /// The newest view does not list this incarnation: asks the view's members in turn to have it listed.
    async fn ask_for_admission(self: &Arc<Self>) {
        let state = self.shared.me.state();
        let Some(view) = state.newest().cloned() else {
            return;
        };
        if view.is_member(&self.shared.me.member()) {
            // Listed: the driver's orders will come.
            return sleep(MEET_PAUSE).await;
        }
        let was_stranger = std::mem::replace(
            &mut self.formation.0.lock().stranger,
            !view.lists(&self.shared.me.node),
        );
        if !was_stranger && !view.lists(&self.shared.me.node) {
            tracing::info!("{}", how_to_add(&self.shared.me.node));
        }
        if !view.lists(&self.shared.me.node) {
            self.look_for_newer_views().await;
            return sleep(STRANGER_PAUSE).await;
        }
        if let Some(other) = self.other_at_own_address().await {
            if self.shared.complaints.note_if_new(&other) {
                tracing::error!("{other}");
            }
            self.look_for_newer_views().await;
            return sleep(STRANGER_PAUSE).await;
        }
        for member in view.members().filter(|member| member.node != self.shared.me.node) {
            if self.ask_to_admit(&member).await {
                break;
            }
        }
        if self.hear_witness().await {
            self.decide_after_all_ended(&view).await;
        }
        sleep(ADMIT_PAUSE).await;
        self.look_for_newer_views().await;
    }

    /// Learns the views of the member that has seen this disk further: the views on the disk may list no
    /// other node, while later ones do. False as long as there may be later ones.
    async fn hear_witness(&self) -> bool {
        let Some(witness) = self.shared.me.witness.lock().clone() else {
            return true;
        };
        match self.shared.peers.call(&witness, Question::Meet, ASK_LIMIT).await {
            Ok(Answer::Met { known, .. }) => {
                *self.shared.me.witness.lock() = None;
                self.learn(known).await;
                false
            }
            _ => self.shared.peers.is_away(&witness),
        }
    }
}

/// The settings that must agree but differ between two nodes.
fn difference(other: &NodeId, ours: &Start, theirs: &Start) -> String {
    let mut differences = Vec::new();
    if ours.replicas != theirs.replicas {
        let text = |replicas: Option<u32>| replicas.map_or("none".to_owned(), |k| k.to_string());
        differences.push(format!(
            "its K is {}, ours {}",
            text(theirs.replicas),
            text(ours.replicas)
        ));
    }
    let set = |start: &Start| start.view.iter().flatten().cloned().collect::<BTreeSet<NodeId>>();
    let (ours, theirs) = (set(ours), set(theirs));
    let list = |nodes: Vec<&NodeId>| {
        nodes
            .iter()
            .map(|node| node.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (only_ours, only_theirs): (Vec<_>, Vec<_>) = (
        ours.difference(&theirs).collect(),
        theirs.difference(&ours).collect(),
    );
    if !only_ours.is_empty() {
        differences.push(format!("its VIEW lacks {}", list(only_ours)));
    }
    if !only_theirs.is_empty() {
        differences.push(format!("its VIEW has {} that ours lacks", list(only_theirs)));
    }
    format!(
        "{other} was started differently and takes no part: {}",
        differences.join("; ")
    )
}
