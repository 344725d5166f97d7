//! A cluster with clients and faults on it: carries a plan out, and hands requests to the nodes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use causeway::causality::Timestamp;
use causeway::names::{Epoch, Key, NodeId};
use causeway::node::{Node, Refusal, RequestKind, Role, ViewRefusal, ViewRequest};
use causeway::placement::is_quorum_of;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::cluster::SimCluster;
use super::plan::{Event, Fault};
use super::setting::Setting;
use super::views::{Views, is_blank};
use crate::support::driver::Cluster;
use crate::support::history::{Action, Answer, Operation, Outcome, Reply, Stamp};

/// A client gives up after this; an answer that takes longer counts as none.
const CLIENT_LIMIT: Duration = Duration::from_secs(3);

/// How long a cluster may take until every node serves again.
const RECOVER_LIMIT: Duration = Duration::from_secs(30);

/// How often the views on the disks are compared.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// A cluster with clients and faults on it.
#[derive(Debug)]
pub struct Stage {
    pub cluster: RefCell<SimCluster>,
    pub views: RefCell<Views>,
    is_over: Cell<bool>,
    /// The nodes that clients ask; all, if there are none.
    members: RefCell<Vec<usize>>,
    /// Removals after which the node did not begin anew at once: it was cut off or dead, and only it may
    /// have what it took last, until it returns it.
    pub left_behind: Cell<u32>,
    /// How many view changes were carried out.
    pub changes: Cell<u64>,
}

impl Stage {
    pub fn new(cluster: SimCluster) -> Self {
        Self {
            cluster: RefCell::new(cluster),
            views: RefCell::default(),
            is_over: Cell::new(false),
            members: RefCell::default(),
            left_behind: Cell::new(0),
            changes: Cell::new(0),
        }
    }

    /// Compares the views on the disks until the faults are over.
    pub async fn watch_views(&self) {
        while !self.is_over.get() {
            self.look();
            sleep(LOOK_PAUSE).await;
        }
    }

    pub fn look(&self) {
        self.views.borrow_mut().look(&self.cluster.borrow());
    }

    /// Lets the plan happen.
    pub async fn strike(&self, plan: &[Event], setting: &Setting) {
        let began = Instant::now();
        let mut wiped: BTreeMap<Option<u32>, usize> = BTreeMap::new();
        let mut operators = FuturesUnordered::new();
        for event in plan {
            let struck = sleep_until(began + Duration::from_millis(event.at_ms));
            tokio::pin!(struck);
            loop {
                tokio::select! {
                    biased;
                    () = &mut struck => break,
                    Some(()) = operators.next(), if !operators.is_empty() => {}
                }
            }
            match event.fault {
                Fault::Add { node, via } => operators.push(self.change_view(node, via, RequestKind::Add)),
                Fault::Remove { node, via } => {
                    operators.push(self.change_view(node, via, RequestKind::Remove { force: false }))
                }
                _ => {}
            }
            if let Fault::Wipe(number) = event.fault {
                let partition = self.partition_of(number);
                // One disk a partition: two could hold the only copies. And never a quorum: empty nodes
                // that reach nobody else are a new cluster.
                let mut all: BTreeSet<usize> = wiped.values().copied().collect();
                all.insert(number);
                all.extend(self.blank());
                if wiped.get(&partition).is_some_and(|other| *other != number)
                    || self.are_quorum(&all)
                    || !self.may_wipe(number, setting)
                {
                    continue;
                }
                wiped.insert(partition, number);
            }
            self.apply(event.fault).await;
        }
        self.is_over.set(true);
    }

    /// An operator asks one node for a change, and waits for the answer.
    async fn change_view(&self, node: usize, via: usize, kind: RequestKind) {
        let (asked, node) = {
            let cluster = self.cluster.borrow();
            let members = cluster.members();
            let others: Vec<usize> = (0..cluster.nodes.len())
                .filter(|number| !members.contains(number))
                .collect();
            // What may be done at this moment, nearly always: else most wishes would be refused.
            let wished = match kind {
                RequestKind::Add => &others,
                RequestKind::Remove { .. } => &members,
            };
            let node = wished.get(node % wished.len().max(1)).copied().unwrap_or(node);
            let Some(via) = members.get(via % members.len().max(1)) else {
                return;
            };
            (cluster.node(*via).cloned(), cluster.nodes[node].id.clone())
        };
        let Some(asked) = asked else { return };
        let request = ViewRequest {
            node,
            kind,
            dry_run: false,
        };
        let removes = matches!(kind, RequestKind::Remove { .. });
        if removes {
            self.left_behind.set(self.left_behind.get() + 1);
        }
        let gone = request.node.clone();
        let outcome = asked.change_view(request).await;
        if outcome.is_ok() {
            self.changes.set(self.changes.get() + 1);
        }
        let is_clean = match outcome {
            Ok(_) => self.has_left(&gone),
            // A change that may have been chosen all the same, or goes on.
            Err(ViewRefusal::Impossible(_) | ViewRefusal::Unfinished { .. }) => false,
            Err(_) => true,
        };
        if removes && is_clean {
            self.left_behind.set(self.left_behind.get() - 1);
        }
    }

    /// True if a node handed over all that it had and begins anew.
    fn has_left(&self, node: &NodeId) -> bool {
        let cluster = self.cluster.borrow();
        let known = cluster.nodes.iter().find(|one| one.id == *node);
        let running = known.and_then(|one| one.running.as_ref());
        running.is_some_and(|running| running.situation().epoch == Epoch::NONE)
    }

    /// Nodes that know no view.
    fn blank(&self) -> Vec<usize> {
        let cluster = self.cluster.borrow();
        let blank = cluster
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| is_blank(node));
        blank.map(|(number, _)| number).collect()
    }

    fn are_quorum(&self, numbers: &BTreeSet<usize>) -> bool {
        let cluster = self.cluster.borrow();
        let nodes = cluster.nodes.iter().map(|node| node.id.clone()).collect();
        let chosen = numbers
            .iter()
            .map(|number| cluster.nodes[*number].id.clone())
            .collect();
        is_quorum_of(&chosen, &nodes)
    }

    fn partition_of(&self, number: usize) -> Option<u32> {
        let cluster = self.cluster.borrow();
        match cluster.node(number).map(|node| node.situation().role) {
            Some(Role::Replica(partition)) => Some(partition.0),
            _ => None,
        }
    }

    /// A disk is destroyed only while every sibling runs and is ready: what two replicas have must
    /// outlive one of them.
    fn may_wipe(&self, number: usize, setting: &Setting) -> bool {
        let cluster = self.cluster.borrow();
        let Some(node) = cluster.node(number) else {
            return false;
        };
        let Role::Replica(partition) = node.situation().role else {
            return true;
        };
        let owners = node.situation().partitions[partition.0 as usize].clone();
        let siblings = cluster.nodes.iter().filter(|other| owners.contains(&other.id));
        let ready =
            siblings.filter(|other| other.running.as_ref().is_some_and(|node| node.situation().ready));
        setting.replicas > 1 && owners.len() > 1 && ready.count() == owners.len()
    }

    pub async fn apply(&self, fault: Fault) {
        let mut cluster = self.cluster.borrow_mut();
        match fault {
            Fault::Cut(a, b) if a != b => cluster.cut(a, b),
            Fault::CutOneWay(a, b) if a != b => cluster
                .network
                .cut_one_way(&cluster.nodes[a].id, &cluster.nodes[b].id),
            Fault::Cut(..) | Fault::CutOneWay(..) => {}
            Fault::HealLink(a, b) => cluster
                .network
                .heal_link(&cluster.nodes[a].id, &cluster.nodes[b].id),
            Fault::Slow(a, b, ms) => {
                cluster
                    .network
                    .slow_down(&cluster.nodes[a].id, &cluster.nodes[b].id, ms)
            }
            Fault::Isolate(a) => cluster.isolate(a),
            Fault::Rejoin(a) => cluster.rejoin(a),
            Fault::Kill(a) => cluster.kill(a),
            Fault::Wipe(a) => cluster.wipe(a),
            Fault::Clock(a, ms) => cluster.nodes[a].world.set_offset_ms(ms),
            Fault::DiskFull(a, full) => cluster.nodes[a].disk.set_full(full),
            Fault::SlowDisk(a, ms) => cluster.nodes[a].disk.set_sync_ms(ms),
            Fault::Start(a) => {
                drop(cluster);
                self.start(a).await;
            }
            // An operator's wishes take their time; `strike` sees to them.
            Fault::Add { .. } | Fault::Remove { .. } => {}
        }
    }

    async fn start(&self, number: usize) {
        if self.cluster.borrow().node(number).is_some() {
            return;
        }
        let starting = {
            let mut cluster = self.cluster.borrow_mut();
            // Room enough to begin with: a node that cannot store its name does not start.
            cluster.nodes[number].disk.set_full(false);
            cluster.starting(number)
        };
        let running = starting.await;
        self.cluster.borrow_mut().started(number, running);
    }

    /// Mends everything and waits until all nodes serve.
    pub async fn make_peace(&self) {
        let count = self.cluster.borrow().nodes.len();
        for number in 0..count {
            self.apply(Fault::DiskFull(number, false)).await;
            self.apply(Fault::SlowDisk(number, 2)).await;
            self.start(number).await;
        }
        self.cluster.borrow().network.heal();
        let deadline = Instant::now() + RECOVER_LIMIT;
        while !self.cluster.borrow().is_serving() {
            assert!(
                Instant::now() < deadline,
                "the cluster did not recover\n{}",
                self.cluster.borrow().describe()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// From now on only members are asked, by their places among themselves.
    pub fn ask_members(&self) {
        let members = self.cluster.borrow().members();
        self.ask_only(members);
    }

    /// From now on only these nodes are asked, by their places in this list.
    pub fn ask_only(&self, nodes: Vec<usize>) {
        *self.members.borrow_mut() = nodes;
    }
}

impl Cluster for Stage {
    async fn operate(&self, node: usize, operation: &Operation, payload: &str) -> Reply {
        let number = self.members.borrow().get(node).copied().unwrap_or(node);
        let node = self.cluster.borrow().node(number).cloned();
        let Some(node) = node else {
            return Reply::refused("connection refused");
        };
        let killed = node.stopped();
        tokio::select! {
            biased;
            () = killed => Reply::unknown("connection reset"),
            reply = timeout(CLIENT_LIMIT, ask(&node, operation, payload)) => {
                reply.unwrap_or_else(|_| Reply::unknown("no answer"))
            }
        }
    }

    fn nodes(&self) -> usize {
        match self.members.borrow().len() {
            0 => self.cluster.borrow().nodes.len(),
            members => members,
        }
    }

    fn now_us(&self) -> u64 {
        self.cluster.borrow().now_us()
    }

    async fn sleep_us(&self, us: u64) {
        sleep(Duration::from_micros(us)).await;
    }
}

/// Asks a node, as a client would.
pub async fn ask(node: &Node, operation: &Operation, payload: &str) -> Reply {
    let key = Key::new(&operation.key).expect("the workload names keys");
    let payload = match node.payload(payload) {
        Ok(payload) => payload,
        Err(refusal) => return Reply::refused(refusal.to_string()),
    };
    let stamp = |timestamp: Timestamp| Stamp::parse(&timestamp.to_string());
    let answered = match &operation.action {
        Action::Get => node.get(&key, payload).await.map(|found| {
            let value = found.record.value().expect("what is found has a value");
            let value = String::from_utf8(value.to_vec()).expect("the workload writes text");
            (
                Answer::Found {
                    value,
                    stamp: stamp(found.record.timestamp()),
                },
                found.payload,
            )
        }),
        Action::Put(value) => node.put(&key, value.clone().into(), payload).await.map(written),
        Action::Delete => node.delete(&key, payload).await.map(written),
    };
    match answered {
        Ok((answer, payload)) => Reply {
            outcome: Outcome::Ok(answer),
            payload: node.payload_text(&payload),
        },
        Err(Refusal::KeyNotFound { payload, .. }) => Reply {
            outcome: Outcome::Ok(Answer::NotFound),
            payload: node.payload_text(&payload),
        },
        // A full disk refuses a write whole; a sibling may have been asked before, so nobody knows.
        Err(refusal @ (Refusal::UnknownOutcome { .. } | Refusal::StorageFailed(_))) => {
            Reply::unknown(refusal.to_string())
        }
        Err(refusal) => Reply::refused(refusal.to_string()),
    }
}

fn written(written: causeway::node::Written) -> (Answer, causeway::causality::Payload) {
    let stamp = Stamp::parse(&written.timestamp.to_string());
    (
        Answer::Written {
            created: written.created,
            replicas: written.replicas,
            stamp,
        },
        written.payload,
    )
}
