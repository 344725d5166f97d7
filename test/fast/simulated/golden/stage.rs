//! Runs the commands of a script against a simulated cluster, and reports their results.

mod clients;
mod sight;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use causeway::names::{Member, MemberId};
use causeway::node::{NodeStatus, Role};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

pub(crate) use self::clients::request;
use self::clients::{Turn, in_the_background};
use self::sight::partitions;

use super::churn::churn;
use super::command::{Command, Disk, Layout, View};
use super::told::within;
use crate::simulated::cluster::SimCluster;
use crate::simulated::cluster::{Given, SimNode};
use crate::simulated::fault::Fault;

/// How long a script waits until every node serves.
const SERVING_LIMIT: Duration = Duration::from_secs(30);

/// An error in a command.
type Slip = String;

/// A cluster and its clients.
#[derive(Default)]
pub(crate) struct Stage {
    cluster: Option<SimCluster>,
    layout: Option<Layout>,
    /// Clusters made so far: each has a seed of its own, or the next would be the same again.
    clusters: u64,
    clients: BTreeMap<String, Client>,
    /// Requests of unnamed clients that run in the background, in the order of their start.
    curls: VecDeque<JoinHandle<Vec<String>>>,
    /// Each life of each node by a name: n1, after it lost its disk n1', then n1''.
    members: BTreeMap<MemberId, String>,
}

#[derive(Default)]
struct Client {
    payload: String,
    under_way: Option<JoinHandle<Turn>>,
}

impl Stage {
    /// Runs one command and returns what it prints.
    pub(crate) async fn act(&mut self, command: Command) -> Result<Vec<String>, Slip> {
        // A removed node may have begun another life by itself.
        let count = self.cluster.as_ref().map_or(0, |cluster| cluster.nodes.len());
        (0..count).for_each(|node| self.christen(node));
        match command {
            Command::Cluster(layout) => self.raise(layout).await,
            Command::Client {
                name,
                action,
                in_background,
            } => self.let_client(name, action, in_background).await,
            Command::Collect(name) if name == "curl" => {
                let handle = self.curls.pop_front();
                let handle = handle.ok_or("no curl goes on in the background")?;
                handle.await.map_err(|error| error.to_string())
            }
            Command::Collect(name) => {
                let handle = self.client(&name).under_way.take();
                let handle = handle.ok_or(format!("{name} does nothing in the background"))?;
                let turn = handle.await.map_err(|error| error.to_string())?;
                Ok(self.tell(&name, turn))
            }
            Command::Start {
                nodes,
                replicas,
                view,
                name,
            } => {
                for node in nodes {
                    self.start(node, replicas, &view, name).await?;
                }
                Ok(Vec::new())
            }
            Command::Wait(time) => {
                sleep(time).await;
                Ok(Vec::new())
            }
            Command::WaitUntilServing(nodes) => self.wait_until_serving(&nodes).await,
            Command::Look(keys) => self.look(&keys).await,
            Command::Where(keys) => self.find(&keys).await,
            Command::Curl {
                node,
                method,
                path,
                parameters,
                in_background,
            } => {
                let curl = self.curl(node, &method, &path, &parameters)?;
                if in_background {
                    self.curls.push_back(in_the_background(curl));
                    return Ok(Vec::new());
                }
                Ok(curl.await)
            }
            Command::Churn {
                clients,
                operations,
                at,
            } => {
                let all = (0..self.cluster()?.nodes.len()).collect();
                let at = if at.is_empty() { all } else { at };
                Ok(vec![churn(self.cluster()?, &at, clients, operations).await])
            }
            Command::Partitions => Ok(partitions(&self.any_status()?)
                .iter()
                .map(|line| self.short(line))
                .collect()),
            Command::Status(nodes) => nodes.into_iter().map(|node| self.status(node)).collect(),
            Command::Agree => self.agree(),
            fault => self.strike(fault).map(|()| Vec::new()),
        }
    }

    /// A script may end when all replies of its clients were collected.
    pub(crate) fn finish(&self) -> Result<(), Slip> {
        if !self.curls.is_empty() {
            return Err("the script ends before it collects curl".to_owned());
        }
        match self.clients.iter().find(|(_, client)| client.under_way.is_some()) {
            Some((name, _)) => Err(format!("the script ends before it collects {name}")),
            None => Ok(()),
        }
    }

    fn cluster(&self) -> Result<&SimCluster, Slip> {
        self.cluster.as_ref().ok_or("there is no cluster yet".to_owned())
    }

    fn cluster_mut(&mut self, node: usize) -> Result<&mut SimCluster, Slip> {
        let cluster = self
            .cluster
            .as_mut()
            .ok_or("there is no cluster yet".to_owned())?;
        if node < cluster.nodes.len() {
            Ok(cluster)
        } else {
            Err(format!("there is no n{}", node + 1))
        }
    }

    fn client(&mut self, name: &str) -> &mut Client {
        self.clients.entry(name.to_owned()).or_default()
    }

    async fn raise(&mut self, layout: Layout) -> Result<Vec<String>, Slip> {
        if let Some(mut old) = self.cluster.take() {
            (0..old.nodes.len()).for_each(|node| old.kill(node));
        }
        self.clusters += 1;
        self.cluster = Some(SimCluster::new(
            self.clusters,
            layout.nodes + layout.spare,
            layout.replicas,
        ));
        self.layout = Some(layout.clone());
        if !layout.asleep {
            for node in 0..layout.nodes {
                self.start(node, None, &View::OfTheCluster, None).await?;
            }
            self.cluster()?.until_serving(SERVING_LIMIT).await;
        }
        Ok(Vec::new())
    }

    async fn start(
        &mut self,
        node: usize,
        replicas: Option<u32>,
        view: &View,
        name: Option<usize>,
    ) -> Result<(), Slip> {
        let layout = self.layout.clone().ok_or("there is no cluster yet")?;
        let cluster = self.cluster_mut(node)?;
        if cluster.nodes[node].running.is_some() {
            return Err(format!("n{} runs already", node + 1));
        }
        let view: Option<Vec<usize>> = match view {
            View::OfTheCluster => (node < layout.nodes).then(|| (0..layout.nodes).collect()),
            View::Of(nodes) => Some(nodes.clone()),
        };
        let of_the_cluster = view.is_some().then_some(layout.replicas);
        let view = view.map(|nodes| {
            nodes
                .into_iter()
                .map(|node| cluster.nodes[node].id.clone())
                .collect()
        });
        let given = Given {
            name: name.map(|other| cluster.nodes[other].id.clone()),
            replicas: replicas.or(of_the_cluster),
            view,
        };
        let running = cluster.starting_with(node, given).await;
        cluster.started(node, running);
        self.christen(node);
        Ok(())
    }

    /// Names the life that a node begins or continues.
    fn christen(&mut self, node: usize) {
        let Some(status) = self.status_of(node) else {
            return;
        };
        let member = Member {
            node: status.node,
            incarnation: status.incarnation,
        };
        let earlier = self
            .members
            .values()
            .filter(|name| name.trim_end_matches('\'') == format!("n{}", node + 1));
        let name = format!("n{}{}", node + 1, "'".repeat(earlier.count()));
        self.members.entry(member.id()).or_insert(name);
    }

    fn status_of(&self, node: usize) -> Option<NodeStatus> {
        self.cluster.as_ref()?.node(node).map(|node| node.status())
    }

    /// The status of the first of the foremost nodes: others may be in no view.
    fn any_status(&self) -> Result<NodeStatus, Slip> {
        self.foremost().map(|(_, status)| status)
    }

    fn foremost(&self) -> Result<(&SimNode, NodeStatus), Slip> {
        let nodes = self.cluster()?.nodes.iter().rev();
        let running = nodes.filter_map(|node| Some((node, node.running.as_ref()?.status())));
        let foremost = running.max_by_key(|(_, status)| (status.role != Role::Waiting, status.epoch));
        foremost.ok_or("no node runs".to_owned())
    }

    fn strike(&mut self, fault: Command) -> Result<(), Slip> {
        match fault {
            Command::Kill(nodes) => {
                for node in nodes {
                    self.cluster_mut(node)?.kill(node);
                }
            }
            Command::Wipe(nodes) => {
                for node in nodes {
                    self.cluster_mut(node)?.wipe(node);
                }
            }
            Command::Cut(a, b) => self.cluster_mut(a.max(b))?.cut(a, b),
            Command::CutOneWay(from, to) => {
                let cluster = self.cluster_mut(from.max(to))?;
                cluster
                    .network
                    .cut_one_way(&cluster.nodes[from].id, &cluster.nodes[to].id);
            }
            Command::Isolate(node) => self.cluster_mut(node)?.isolate(node),
            Command::Slow(a, b, delay) => {
                let cluster = self.cluster_mut(a.max(b))?;
                let ms = u64::try_from(delay.as_millis()).expect("a short delay");
                for (from, to) in [(a, b), (b, a)] {
                    cluster
                        .network
                        .slow_down(&cluster.nodes[from].id, &cluster.nodes[to].id, ms);
                }
            }
            Command::Lead(address, node) => {
                let cluster = self.cluster_mut(address.max(node))?;
                let (address, node) = (&cluster.nodes[address].id, &cluster.nodes[node].id);
                cluster
                    .network
                    .redirect(address, Some(node).filter(|node| *node != address));
            }
            Command::Heal => self.cluster()?.network.heal(),
            Command::HealLink(a, b) => {
                let cluster = self.cluster_mut(a.max(b))?;
                cluster
                    .network
                    .heal_link(&cluster.nodes[a].id, &cluster.nodes[b].id);
            }
            Command::Clock(node, offset_ms) => {
                self.cluster_mut(node)?.nodes[node].world.set_offset_ms(offset_ms)
            }
            Command::Clocks(offset_ms) => self.cluster_mut(0)?.suffer(Fault::Clocks(offset_ms)),
            Command::Disk(node, state) => {
                let disk = &self.cluster_mut(node)?.nodes[node].disk;
                disk.set_full(state == Disk::Full);
                disk.set_sync_ms(match state {
                    Disk::Slow(sync) => u64::try_from(sync.as_millis()).expect("a short delay"),
                    _ => 0,
                });
            }
            other => unreachable!("{other:?} is no fault"),
        }
        Ok(())
    }

    async fn wait_until_serving(&self, nodes: &[usize]) -> Result<Vec<String>, Slip> {
        let began = Instant::now();
        let cluster = self.cluster()?;
        let awaited = cluster
            .nodes
            .iter()
            .enumerate()
            .filter(|(node, _)| nodes.is_empty() || nodes.contains(node));
        let awaited: Vec<_> = awaited.filter_map(|(_, node)| node.running.as_ref()).collect();
        let who = if nodes.is_empty() {
            "every node serves"
        } else {
            "they serve"
        };
        while !awaited.iter().all(|node| node.status().ready) {
            if began.elapsed() > SERVING_LIMIT {
                return Ok(vec![format!("not true: {who}{}", within(began.elapsed()))]);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(vec![format!("{who}{}", within(began.elapsed()))])
    }
}
