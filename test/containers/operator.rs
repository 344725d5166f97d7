//! Executes a plan of faults on a cluster of containers: tracks the state of every node, skips faults
//! that are impossible at that time, and repairs everything in the end.

use std::collections::BTreeMap;
use std::thread::{Scope, ScopedJoinHandle};

use serde_json::Value;

use crate::changes::change;
use crate::cluster::Cluster;
use crate::fault_plan::{Event, Fault};
use crate::patience::{PATIENT, Stopwatch, eventually, let_pass};

/// A view is never changed to fewer members than this.
const MEMBERS_MIN: usize = 4;

/// The number of faults of each kind.
pub(crate) type Tally = BTreeMap<&'static str, usize>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    Down,
    Paused,
}

pub(crate) struct Operator<'scope, 'env> {
    cluster: &'env Cluster,
    scope: &'scope Scope<'scope, 'env>,
    states: Vec<State>,
    /// Nodes at which links are cut.
    is_cut: Vec<bool>,
    /// The node that lost its disk, until it has everything again.
    blank: Option<usize>,
    /// The last view change that was requested.
    change: Option<ScopedJoinHandle<'scope, bool>>,
    tally: Tally,
}

impl<'scope, 'env> Operator<'scope, 'env> {
    pub(crate) fn of(cluster: &'env Cluster, scope: &'scope Scope<'scope, 'env>) -> Self {
        Self {
            cluster,
            scope,
            states: vec![State::Up; cluster.nodes.len()],
            is_cut: vec![false; cluster.nodes.len()],
            blank: None,
            change: None,
            tally: Tally::new(),
        }
    }

    /// Executes the plan, as fast as Docker allows.
    pub(crate) fn strike(&mut self, plan: &[Event]) {
        let watch = Stopwatch::start();
        for event in plan {
            let_pass(event.at.saturating_sub(watch.elapsed()).as_secs_f64());
            match self.apply(event.fault) {
                Some(kind) => {
                    println!("{:7.2}s  {:?}", watch.elapsed().as_secs_f64(), event.fault);
                    *self.tally.entry(kind).or_default() += 1;
                }
                None => println!("{:7.2}s  ({:?})", watch.elapsed().as_secs_f64(), event.fault),
            }
        }
    }

    /// Repairs everything, and waits for an answer to the last view change.
    pub(crate) fn heal(mut self) -> Tally {
        for node in 0..self.states.len() {
            self.apply(Fault::Unpause(node));
            self.apply(Fault::HealLinks(node));
        }
        self.apply(Fault::StartAll);
        self.end_of_change();
        self.tally
    }

    /// Returns the kind of the fault; none if it was impossible, or was a repair.
    fn apply(&mut self, fault: Fault) -> Option<&'static str> {
        match fault {
            Fault::Kill(node) if self.is(node, State::Up) => {
                self.kill(&[node]);
                return Some("killed");
            }
            Fault::Start(node) if self.is(node, State::Down) => {
                self.cluster.start(node);
                self.states[node] = State::Up;
            }
            Fault::Pause(node) if self.is(node, State::Up) => {
                self.cluster.pause(node);
                self.states[node] = State::Paused;
                return Some("paused");
            }
            Fault::Unpause(node) if self.is(node, State::Paused) => {
                self.cluster.unpause(node);
                self.states[node] = State::Up;
            }
            Fault::CutOff(node) if self.is(node, State::Up) => {
                self.cluster.cut_off(node);
                self.is_cut[node] = true;
                return Some("cut off");
            }
            Fault::CutLink(node, peer) if self.is(node, State::Up) => {
                self.cluster.cut_link(node, peer);
                self.is_cut[node] = true;
                return Some("link cut");
            }
            Fault::CutOneWay(node, peer) if self.is(node, State::Up) => {
                self.cluster.cut_one_way(node, peer);
                self.is_cut[node] = true;
                return Some("cut one way");
            }
            Fault::HealLinks(node) if self.is_cut[node] => {
                self.cluster.heal_links(node);
                self.is_cut[node] = false;
            }
            Fault::Wipe(first) => return self.wipe(first),
            Fault::KillAll => {
                for node in 0..self.states.len() {
                    self.apply(Fault::Unpause(node));
                }
                let up: Vec<_> = (0..self.states.len())
                    .filter(|node| self.is(*node, State::Up))
                    .collect();
                self.kill(&up);
                return Some("all killed");
            }
            Fault::StartAll => {
                for node in 0..self.states.len() {
                    self.apply(Fault::Start(node));
                }
            }
            Fault::Change(draw) => return self.change_view(draw),
            _ => {}
        }
        None
    }

    fn is(&self, node: usize, state: State) -> bool {
        self.states[node] == state
    }

    fn kill(&mut self, nodes: &[usize]) {
        if nodes.is_empty() {
            return;
        }
        self.cluster.kill_these(nodes);
        for node in nodes {
            self.states[*node] = State::Down;
            // The container's network disappears with it, and so do the cuts in it.
            self.is_cut[*node] = false;
        }
    }

    /// A disk is destroyed only while another replica has everything, and one at a time: data on two
    /// replicas must survive the loss of one, and too many empty nodes form a new cluster.
    fn wipe(&mut self, first: usize) -> Option<&'static str> {
        let count = self.states.len();
        if self.blank.is_some_and(|blank| !self.serves(blank)) {
            return None;
        }
        self.blank = None;
        let order = (first..first + count).map(|node| node % count);
        let node = order.into_iter().find(|node| self.may_wipe(*node))?;
        self.kill(&[node]);
        self.cluster.wipe(node);
        self.blank = Some(node);
        Some("disk wiped")
    }

    fn may_wipe(&self, node: usize) -> bool {
        let Some(status) = self.status(node) else {
            return false;
        };
        let partition = status["partition_id"].as_i64().unwrap_or(-1);
        let Ok(partition) = usize::try_from(partition) else {
            return false;
        };
        let address = |node: usize| Value::from(&*self.cluster.nodes[node].address);
        let owners = status["partitions"][partition].as_array();
        let owners = owners.map(Vec::as_slice).unwrap_or_default();
        let replicas: Vec<_> = (0..self.states.len())
            .filter(|node| owners.contains(&address(*node)))
            .collect();
        // Without VIEW it would not know which nodes to ask.
        self.cluster.nodes[node].knows_view()
            && self.change_is_over()
            && replicas.len() == owners.len()
            && replicas.len() > 1
            && replicas.iter().all(|node| self.serves(*node))
    }

    /// True if it is up, in the view as a replica, and has everything that it must have.
    fn serves(&self, node: usize) -> bool {
        let status = self.status(node);
        status.is_some_and(|status| status["ready"] == true && status["role"] == "replica")
    }

    fn status(&self, node: usize) -> Option<Value> {
        let may_answer = self.is(node, State::Up) && !self.is_cut[node];
        may_answer.then(|| self.cluster.try_status(node).ok()).flatten()
    }

    fn change_is_over(&self) -> bool {
        self.change.as_ref().is_none_or(ScopedJoinHandle::is_finished)
    }

    fn end_of_change(&mut self) {
        if let Some(change) = self.change.take()
            && change.join().expect("asking does not panic")
        {
            *self.tally.entry("view changes done").or_default() += 1;
        }
    }

    /// Asks for a change without waiting for it: the next faults strike in the middle of it.
    fn change_view(&mut self, draw: usize) -> Option<&'static str> {
        if !self.change_is_over() {
            return None;
        }
        self.end_of_change();
        let count = self.states.len();
        let asked = (draw..draw + count).map(|node| node % count);
        let mut told = asked.filter_map(|node| Some((node, self.status(node)?)));
        let (via, members) = told.find_map(|(node, status)| {
            let members = self.cluster.listed(&status);
            members.contains(&node).then_some((node, members))
        })?;
        let others: Vec<_> = (0..count).filter(|node| !members.contains(node)).collect();
        let adds = !others.is_empty() && (members.len() <= MEMBERS_MIN || draw.is_multiple_of(2));
        let (kind, nodes) = if adds {
            ("add", others)
        } else {
            ("remove", members)
        };
        let node = nodes[draw % nodes.len()];
        let cluster = self.cluster;
        println!("          {kind} n{} through n{}", node + 1, via + 1);
        self.change = Some(self.scope.spawn(move || {
            let told = cluster.try_send(via, change(cluster, kind, node));
            match told {
                Ok(reply) => {
                    println!("          after {:?}: {reply}", reply.took);
                    reply.status == 200
                }
                Err(error) => {
                    println!("          {kind} n{}: {error}", node + 1);
                    false
                }
            }
        }));
        Some("view changes asked for")
    }
}

/// Waits until every member serves and all say the same, with no change in progress; returns the
/// members. All other nodes wait to be added, and keep nothing.
pub(crate) fn recovered(cluster: &Cluster) -> Vec<usize> {
    eventually(PATIENT, "all recovers", || {
        let statuses = (0..cluster.nodes.len()).map(|node| cluster.try_status(node));
        let statuses: Vec<Value> = statuses.collect::<Result<_, _>>()?;
        let newest = statuses.iter().max_by_key(|status| status["epoch"].as_u64());
        let members = cluster.listed(newest.ok_or("there are no nodes")?);
        cluster.try_nodes_say(&members, &members)?;
        for (node, status) in statuses.iter().enumerate() {
            let is_well = match members.contains(&node) {
                true => status["ready"] == true && status["change"].is_null(),
                false => status["role"] == "waiting" && status["keys"] == 0,
            };
            if !is_well {
                return Err(format!("n{}: {status:#}", node + 1));
            }
        }
        Ok(members)
    })
}
