//! A cluster with clients and faults: carries a plan out, and passes requests to the nodes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use causeway::node::{Node, RequestKind};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep, sleep_until};

use super::cluster::SimCluster;
use super::fault::{Event, Fault};
use super::gate::Gate;
use super::lasting::Destroyed;
use super::views::Views;

/// How long a cluster may take until every node serves again.
const RECOVER_LIMIT: Duration = Duration::from_secs(30);

/// How often the views on the disks are compared.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// A cluster with clients and faults.
#[derive(Debug)]
pub struct Stage {
    pub cluster: RefCell<SimCluster>,
    pub views: RefCell<Views>,
    pub(super) is_over: Cell<bool>,
    /// The nodes that clients ask; all nodes if this is empty.
    pub(super) members: RefCell<Vec<usize>>,
    /// Removals after which the node did not begin a new life at once. It was cut off or dead, and until
    /// it returns its last writes, only it may have them.
    pub left_behind: Cell<u32>,
    /// An operator was told that slots are given up: no member has them until a node returns them.
    pub gave_up_slots: Cell<bool>,
    /// The number of view changes that were carried out.
    pub changes: Cell<u64>,
    /// How often each kind of fault struck.
    pub struck: RefCell<BTreeMap<&'static str, u64>>,
}

impl Stage {
    pub fn new(cluster: SimCluster) -> Self {
        Self {
            cluster: RefCell::new(cluster),
            views: RefCell::default(),
            is_over: Cell::new(false),
            members: RefCell::default(),
            left_behind: Cell::new(0),
            gave_up_slots: Cell::new(false),
            changes: Cell::new(0),
            struck: RefCell::default(),
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

    /// Executes the plan. Returns the operators' requests that are still pending.
    pub async fn strike(&self, plan: &[Event]) -> FuturesUnordered<LocalBoxFuture<'_, ()>> {
        let began = Instant::now();
        let mut destroyed = Destroyed::default();
        let mut operators: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        for event in plan {
            let mut struck = std::pin::pin!(sleep_until(began + Duration::from_millis(event.at_ms)));
            loop {
                tokio::select! {
                    biased;
                    () = &mut struck => break,
                    Some(()) = operators.next(), if !operators.is_empty() => {}
                }
            }
            match event.fault {
                Fault::Add { node, via } => {
                    operators.push(self.change_view(node, via, RequestKind::Add).boxed_local())
                }
                Fault::Remove { node, via } => {
                    let kind = RequestKind::Remove { force: false };
                    operators.push(self.change_view(node, via, kind).boxed_local());
                }
                Fault::RemoveHere { node, via, force } => {
                    event.fault.name().into_iter().for_each(|name| self.count(name));
                    operators.push(self.remove_here(node, via, force).boxed_local());
                }
                Fault::GoBack(number) => {
                    let may_go = {
                        let cluster = self.cluster.borrow();
                        cluster.is_known_since_copy(number) && destroyed.may_go(&cluster, number)
                    };
                    if may_go {
                        self.count("disk put back");
                        self.cluster.borrow_mut().go_back(number);
                        self.start(number).await;
                    }
                }
                Fault::Wipe(number) if !destroyed.may_go(&self.cluster.borrow(), number) => {}
                fault => self.apply(fault).await,
            }
        }
        self.is_over.set(true);
        operators
    }

    /// A running node, and the gate that freezes it.
    pub(super) fn asked(&self, number: usize) -> Option<(Arc<Node>, Gate)> {
        let cluster = self.cluster.borrow();
        let node = cluster.node(number)?.clone();
        Some((node, cluster.nodes[number].gate.clone()))
    }

    fn count(&self, name: &'static str) {
        *self.struck.borrow_mut().entry(name).or_default() += 1;
    }

    pub async fn apply(&self, fault: Fault) {
        match fault {
            Fault::Start(number) => return self.start(number).await,
            Fault::StartAs(number, other) => return self.start_as(number, other).await,
            // A fault of a node strikes only a running one, and no node has a link to itself.
            Fault::Kill(number) | Fault::Wipe(number) | Fault::Freeze(number)
                if self.cluster.borrow().node(number).is_none() =>
            {
                return;
            }
            Fault::Cut(a, b)
            | Fault::CutOneWay(a, b)
            | Fault::Flap(a, b, _)
            | Fault::Slow(a, b, _)
            | Fault::Lose(a, b, _)
            | Fault::Break(a, b)
            | Fault::Redirect(a, b)
                if a == b =>
            {
                return;
            }
            _ => {}
        }
        fault.name().into_iter().for_each(|name| self.count(name));
        self.cluster.borrow_mut().suffer(fault);
    }

    async fn start(&self, number: usize) {
        if self.cluster.borrow().node(number).is_some() {
            return;
        }
        let starting = {
            let mut cluster = self.cluster.borrow_mut();
            let node = &cluster.nodes[number];
            match (node.has_run, node.disk.is_empty()) {
                (false, _) => {}
                (true, false) => self.count("node restarted with its disk"),
                (true, true) => self.count("node restarted without its disk"),
            }
            // Room enough to begin with: a node that cannot store its name does not start.
            node.disk.set_full(false);
            node.disk.set_in_doubt(false);
            cluster.starting(number)
        };
        let running = starting.await;
        self.cluster.borrow_mut().started(number, running);
    }

    /// The operator pasted the line that starts a node, and left another's name in it. Only a new node
    /// can be started so: others have their name on their disk.
    async fn start_as(&self, number: usize, other: usize) {
        let is_new = {
            let cluster = self.cluster.borrow();
            !cluster.nodes[number].has_run && number != other
        };
        if !is_new {
            return;
        }
        self.count("started with another's name");
        let starting = self.cluster.borrow_mut().starting_as(number, other);
        let running = starting.await;
        self.cluster.borrow_mut().started(number, running);
    }

    /// Repairs everything and waits until all nodes serve; if they do not in time, says what each does.
    pub async fn make_peace(&self) -> Result<(), String> {
        let count = self.cluster.borrow().nodes.len();
        for number in 0..count {
            for mending in [
                Fault::Thaw(number),
                Fault::DiskFull(number, false),
                Fault::DiskInDoubt(number, false),
                Fault::SlowDisk(number, 2),
                Fault::Start(number),
            ] {
                self.apply(mending).await;
            }
        }
        self.cluster.borrow().network.heal();
        let deadline = Instant::now() + RECOVER_LIMIT;
        while !self.cluster.borrow().is_serving() {
            if Instant::now() >= deadline {
                return Err(self.cluster.borrow().describe());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// From now on clients ask only members, by their places among themselves.
    pub fn ask_members(&self) {
        let members = self.cluster.borrow().members();
        self.ask_only(members);
    }

    /// From now on clients ask only these nodes, by their places in this list.
    pub fn ask_only(&self, nodes: Vec<usize>) {
        *self.members.borrow_mut() = nodes;
    }
}
