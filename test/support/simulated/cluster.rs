//! The nodes of a simulation: starts, kills, wipes and restarts them, each with its own disk and clock.

use std::sync::Arc;
use std::time::Duration;

use causeway::config::{Config, Limits, StoreKind};
use causeway::names::{Epoch, NodeId};
use causeway::node::{
    Node, NodeStatus, Parts, Refusal, RequestKind, Role, Tasks, ViewOutcome, ViewRefusal, ViewRequest,
};
use causeway::protocol::causality::Record;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::dice::{Dice, SimWorld};
use super::disk::SimDisk;
use super::gate::Gate;
use super::network::SimNetwork;

pub const REMOVE: RequestKind = RequestKind::Remove { force: false };

/// A cluster of simulated nodes, numbered from 0.
#[derive(Debug)]
pub struct SimCluster {
    pub dice: Dice,
    pub network: SimNetwork,
    pub nodes: Vec<SimNode>,
    replicas: u32,
    /// This many nodes, from 0 on, form the first view; the others are started without `VIEW`.
    pub listed: usize,
    /// What every node is started with.
    pub limits: Limits,
    /// No disk is destroyed unless two other members serve. A view whose members have all lost their
    /// disks ends the cluster, and a run that removes nodes easily gets there.
    pub spares_last_disks: bool,
    /// A clock jumped by more than removals are remembered. A process that was restarted meanwhile
    /// cannot tell that from a long absence, and refuses what returns.
    pub ages_were_hidden: bool,
    born: Instant,
}

/// One node, running or not.
#[derive(Debug)]
pub struct SimNode {
    pub id: NodeId,
    pub disk: SimDisk,
    pub world: Arc<SimWorld>,
    pub gate: Gate,
    pub running: Option<Arc<Node>>,
    pub has_run: bool,
    pub lost_disk: bool,
    /// The times of its last start and of its disk's copy.
    pub started: Option<Instant>,
    pub copied: Option<Instant>,
    /// Cancelled when the node is killed, for clients that wait for its answer.
    pub life: CancellationToken,
}

/// The configuration that an operator gives a node.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its name; its own address if `None`.
    pub name: Option<NodeId>,
    pub replicas: Option<u32>,
    pub view: Option<Vec<NodeId>>,
}

impl SimCluster {
    /// `count` nodes, none of them started.
    pub fn new(seed: u64, count: usize, replicas: u32) -> Self {
        let dice = Dice::new(seed);
        let born = Instant::now();
        let node = |number: usize| SimNode {
            id: format!("10.0.0.{}:8080", number + 1)
                .parse()
                .expect("is an address"),
            disk: SimDisk::new(dice.clone()),
            world: Arc::new(SimWorld::new(dice.clone(), born)),
            gate: Gate::default(),
            running: None,
            has_run: false,
            lost_disk: false,
            started: None,
            copied: None,
            life: CancellationToken::new(),
        };
        let nodes = (0..count).map(node).collect();
        Self {
            network: SimNetwork::new(dice.clone()),
            dice,
            nodes,
            replicas,
            listed: count,
            limits: Limits::default(),
            spares_last_disks: false,
            ages_were_hidden: false,
            born,
        }
    }

    /// The same, with additional nodes that the first view does not list.
    pub fn with_spares(seed: u64, count: usize, spares: usize, replicas: u32) -> Self {
        let mut cluster = Self::new(seed, count + spares, replicas);
        cluster.listed = count;
        cluster
    }

    /// The same, all started and serving.
    pub async fn serving(seed: u64, count: usize, replicas: u32) -> Self {
        let mut cluster = Self::new(seed, count, replicas);
        cluster.start_all().await;
        cluster
    }

    /// Starts every node and waits until all serve.
    pub async fn start_all(&mut self) {
        for number in 0..self.nodes.len() {
            self.start(number).await;
        }
        self.until_serving(Duration::from_secs(10)).await;
    }

    pub async fn start(&mut self, number: usize) {
        let running = self.starting(number).await;
        self.started(number, running);
    }

    /// Starts a node; the future gives it. Separate from [`Self::started`], so that the cluster is not
    /// borrowed while a disk is slow.
    pub fn starting(&mut self, number: usize) -> impl Future<Output = Arc<Node>> + use<> {
        self.starting_with(number, self.given(number))
    }

    /// The same under another node's name.
    pub fn starting_as(&mut self, number: usize, other: usize) -> impl Future<Output = Arc<Node>> + use<> {
        let given = Given {
            name: Some(self.nodes[other].id.clone()),
            ..self.given(number)
        };
        self.starting_with(number, given)
    }

    fn given(&self, number: usize) -> Given {
        let listed = &self.nodes[..self.listed];
        // Where nodes are removed, the first list may name nodes that have left. A node that lost its
        // disk is started without the list, and the nodes that list it find it.
        let may_mislead = self.spares_last_disks && self.nodes[number].lost_disk;
        let is_listed = number < self.listed && !may_mislead;
        Given {
            name: None,
            replicas: is_listed.then_some(self.replicas),
            view: is_listed.then(|| listed.iter().map(|node| node.id.clone()).collect()),
        }
    }

    /// The same with its own K and `VIEW`.
    pub fn starting_with(&mut self, number: usize, given: Given) -> impl Future<Output = Arc<Node>> + use<> {
        let node = &mut self.nodes[number];
        let config = Config {
            node: given.name.unwrap_or_else(|| node.id.clone()),
            listen: "0.0.0.0:8080".parse().expect("is an address"),
            replicas: given.replicas,
            view: given.view,
            store: StoreKind::Memory,
            limits: self.limits.clone(),
        };
        let parts = Parts {
            world: Arc::clone(&node.world) as _,
            dialer: self.network.dialer(&node.id),
            engine: Arc::new(node.disk.clone()),
            tasks: tracing::info_span!("node", %node.id)
                .in_scope(|| Tasks::run_by(Arc::new(node.gate.clone()))),
        };
        async move {
            let tasks = parts.tasks.clone();
            let (running, committer) = Node::start(&config, parts)
                .await
                .expect("a simulated node starts");
            tasks.spawn(committer.run());
            running
        }
    }

    pub fn started(&mut self, number: usize, running: Arc<Node>) {
        let node = &mut self.nodes[number];
        self.network.runs(&node.id, &running);
        node.running = Some(running);
        node.has_run = true;
        node.started = Some(Instant::now());
        node.life = CancellationToken::new();
    }

    /// Ends a node between two steps of its code.
    pub fn kill(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        self.network.ended(&node.id);
        node.life.cancel();
        if let Some(running) = node.running.take() {
            running.kill();
        }
        node.disk.ended();
        // A node that is killed while frozen takes no further step: its tasks see the end first.
        node.gate.thaw();
    }

    /// Kills a node and destroys its disk, if that is allowed.
    pub fn wipe(&mut self, number: usize) {
        let others = self.members().into_iter().filter(|other| *other != number);
        let may_be_lost = !self.spares_last_disks || others.count() >= 2;
        self.kill(number);
        if may_be_lost {
            self.nodes[number].disk.wipe();
            self.nodes[number].lost_disk = true;
        }
    }

    /// Copies the disk of a running node; members may know a later state of it afterwards.
    pub fn copy_disk(&mut self, number: usize) {
        // A node that was started under another's name is left out: it is started again from scratch.
        let named = |node: &Arc<Node>| node.status().node == self.nodes[number].id;
        if !self.node(number).is_some_and(named) {
            return;
        }
        self.nodes[number].disk.copy();
        self.nodes[number].copied = Some(Instant::now());
    }

    /// True if all running nodes have run since the copy: some node knows what this one did since.
    pub fn is_known_since_copy(&self, number: usize) -> bool {
        let Some(copied) = self.nodes[number].copied else {
            return false;
        };
        let running = self.nodes.iter().filter(|node| node.running.is_some());
        running
            .filter_map(|node| node.started)
            .all(|started| started < copied)
    }

    /// Kills a node, restores the copy of its disk, and heals its links at once: a node that reaches no
    /// other in its first second serves what is on its disk, as the manual says.
    pub fn go_back(&mut self, number: usize) {
        self.kill(number);
        self.nodes[number].disk.put_back();
        self.nodes[number].copied = None;
        self.rejoin(number);
        for other in &self.nodes {
            self.network.quicken(&self.nodes[number].id, &other.id);
        }
        self.nodes.iter().for_each(|node| node.gate.thaw());
    }

    /// Cuts a node off from all others.
    pub fn isolate(&self, number: usize) {
        for other in self
            .nodes
            .iter()
            .filter(|other| other.id != self.nodes[number].id)
        {
            self.network.cut(&self.nodes[number].id, &other.id);
        }
    }

    /// Undoes [`Self::isolate`].
    pub fn rejoin(&self, number: usize) {
        for other in &self.nodes {
            self.network.heal_link(&self.nodes[number].id, &other.id);
        }
    }

    pub fn cut(&self, a: usize, b: usize) {
        self.network.cut(&self.nodes[a].id, &self.nodes[b].id);
    }

    pub fn node(&self, number: usize) -> Option<&Arc<Node>> {
        self.nodes[number].running.as_ref()
    }

    /// Asks one node to add or remove another. The future does not borrow the cluster.
    pub fn change_view(
        &self,
        via: usize,
        node: usize,
        kind: RequestKind,
    ) -> impl Future<Output = Result<ViewOutcome, ViewRefusal>> + use<> {
        let via = Arc::clone(self.node(via).expect("runs"));
        let node = self.nodes[node].id.clone();
        let dry_run = false;
        async move {
            via.view_changes
                .change_view(ViewRequest { node, kind, dry_run })
                .await
        }
    }

    pub fn now_us(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).expect("a short simulation")
    }

    /// Waits until every running node serves, with everything that it must have.
    pub async fn until_serving(&self, limit: Duration) {
        self.until(limit, "every node serves", || self.is_serving()).await;
    }

    /// True if every running node serves, with everything that it must have, and reaches all others, or
    /// else waits to be added, and no view lists it.
    pub fn is_serving(&self) -> bool {
        let statuses = self.statuses();
        let members = statuses.iter().filter(|one| one.role != Role::Waiting);
        let Some(newest) = members.max_by_key(|one| one.epoch) else {
            return false;
        };
        let listed: Vec<&NodeId> = newest
            .partitions
            .iter()
            .flatten()
            .chain(&newest.proxies)
            .collect();
        statuses.iter().all(|one| {
            if listed.contains(&&one.node) {
                let reaches_all = !one.away.iter().any(|away| listed.contains(&away));
                let is_refused = one.is_too_late && self.ages_were_hidden;
                let is_through = (one.left_behind == 0 || is_refused) && one.change.is_none();
                one.epoch == newest.epoch && one.ready && reaches_all && is_through
            } else {
                let keeps_nothing = one.epoch == Epoch::NONE && one.keys == 0 && one.left_behind == 0;
                let too_late = one.waiting_for == Some(Refusal::RemovedLongAgo);
                one.role == Role::Waiting && (keeps_nothing || too_late)
            }
        })
    }

    fn statuses(&self) -> Vec<NodeStatus> {
        let running = self.nodes.iter().filter_map(|node| node.running.as_ref());
        running.map(|node| node.status()).collect()
    }

    /// The nodes that serve, by number: all except those that wait to be added.
    pub fn members(&self) -> Vec<usize> {
        let serves = |number: &usize| {
            self.node(*number)
                .is_some_and(|node| node.status().role != Role::Waiting)
        };
        (0..self.nodes.len()).filter(serves).collect()
    }

    /// Replicas of one partition that hold different records. Tombstones count like all records, except
    /// where they expire within the run.
    pub fn differences(&self) -> Vec<String> {
        let mut statuses = self.statuses().into_iter();
        let Some(any) = statuses.find(|status| status.role != Role::Waiting) else {
            return Vec::new();
        };
        let mut differences = Vec::new();
        for owners in any.partitions {
            let mut replicas = self.nodes.iter().filter(|node| owners.contains(&node.id));
            let Some(first) = replicas.next() else { continue };
            for other in replicas {
                differences.extend(difference(first, other, self.forgets_soon()));
            }
        }
        differences
    }

    pub(super) fn hides_ages(&self, ms: i64) -> bool {
        u128::from(ms.unsigned_abs()) > self.limits.forget_after.as_millis()
    }

    fn forgets_soon(&self) -> bool {
        self.limits.forget_after < Duration::from_secs(60)
    }

    /// Waits for a condition, in simulated time.
    pub async fn until(&self, limit: Duration, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + limit;
        while !condition() {
            assert!(
                Instant::now() < deadline,
                "after {limit:?} still not: {what}\n{}",
                self.describe()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn describe(&self) -> String {
        let lines = self.nodes.iter().map(|node| match &node.running {
            Some(running) => format!("{:?}", running.status()),
            None => format!("{} is down", node.id),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The records by key that one of two replicas lacks or has in another form. Dots may differ: a record
/// that was returned late has a new one.
fn difference(a: &SimNode, b: &SimNode, without_tombstones: bool) -> Vec<String> {
    let (of_a, of_b) = (a.disk.records(), b.disk.records());
    let keys: std::collections::BTreeSet<&String> = of_a.keys().chain(of_b.keys()).collect();
    let content = |record: Option<&Record>| {
        let counts = |record: &&Record| !(without_tombstones && record.is_tombstone());
        record
            .filter(counts)
            .map(|record| (record.timestamp(), record.value().map(<[u8]>::to_vec)))
    };
    let differ = keys
        .into_iter()
        .filter(|key| content(of_a.get(*key)) != content(of_b.get(*key)));
    let tell = |key: &String| {
        format!(
            "{key}: {} has {:?}, {} has {:?}",
            a.id,
            of_a.get(key),
            b.id,
            of_b.get(key)
        )
    };
    differ.map(tell).collect()
}
