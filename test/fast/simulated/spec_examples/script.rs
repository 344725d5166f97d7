//! Plays a transcript: events of the cluster, requests, and the replies that must come back.
//!
//! ```text
//! cluster of 5, K=2                          all of them serve; "5 nodes, K=2" starts none
//! kill n2 | start n2 | cut n1 n2 | heal | fill the disk of n1 | wait 2 s
//! start n5 without VIEW
//! alice: n1 PUT /kv-store/x | form | val=a   alice's payload is that of the reply, $alice in requests
//!   201 [retry-after] {"result":"success"}   fields that must be there; … stands for any text
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use causeway::api::respond;
use causeway::config::{Config, Limits, StoreKind};
use causeway::node::{Node, Parts, Tasks};

use super::exchange::{ExchangeRequest, Expected};
use crate::simulated::cluster::SimCluster;

/// Every transcript is the same run each time.
const SEED: u64 = 1;

struct Player {
    cluster: SimCluster,
    /// The payload of each client.
    payloads: BTreeMap<String, String>,
}

/// Plays all of it; panics at the first reply that differs.
pub(crate) async fn play(script: &str) {
    let mut player = Player {
        cluster: SimCluster::new(SEED, 0, 1),
        payloads: BTreeMap::new(),
    };
    let mut lines = script
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    while let Some((number, line)) = lines.next() {
        let at = format!("line {}: {line}", number + 1);
        match ExchangeRequest::parse(line) {
            Some(ask) => {
                let (_, expected) = lines.next().expect("a request is followed by its reply");
                player.exchange(&ask, &Expected::parse(expected), &at).await;
            }
            None => player.happen(line).await,
        }
    }
}

impl Player {
    async fn exchange(&mut self, ask: &ExchangeRequest, expected: &Expected, at: &str) {
        let node = self
            .cluster
            .node(ask.node)
            .unwrap_or_else(|| panic!("{at}: is not running"));
        let reply = respond(node, ask.request(&self.payloads)).await;
        if let Err(difference) = expected.holds_for(&reply) {
            panic!("{at}\n  {difference}\n  in {reply:?}");
        }
        if let (Some(person), Some(payload)) = (&ask.person, reply.headers().get("causal-payload")) {
            let payload = payload.to_str().expect("a payload is text");
            self.payloads.insert(person.clone(), payload.to_owned());
        }
    }

    /// Runs one event of the cluster.
    async fn happen(&mut self, line: &str) {
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            ["cluster", "of", count, k] => {
                self.cluster = SimCluster::serving(SEED, parsed(count), parsed(after(k, "K="))).await;
            }
            [count, "nodes", k] => {
                self.cluster = SimCluster::new(SEED, parsed(count), parsed(after(k, "K=")))
            }
            ["start", node] => self.cluster.start(numbered(node)).await,
            ["start", node, "without", "VIEW"] => self.start_without_view(numbered(node)).await,
            ["kill", node] => self.cluster.kill(numbered(node)),
            ["cut", a, b] => self.cluster.cut(numbered(a), numbered(b)),
            ["heal"] => self.cluster.network.heal(),
            ["fill", "the", "disk", "of", node] => self.cluster.nodes[numbered(node)].disk.set_full(true),
            ["wait", seconds, "s"] => tokio::time::sleep(Duration::from_secs(parsed(seconds))).await,
            _ => panic!("nobody knows what this means: {line}"),
        }
    }

    async fn start_without_view(&mut self, number: usize) {
        let node = &mut self.cluster.nodes[number];
        let config = Config {
            node: node.id.clone(),
            listen: "0.0.0.0:8080".parse().expect("is an address"),
            replicas: None,
            view: None,
            store: StoreKind::Memory,
            limits: Limits::default(),
        };
        let parts = Parts {
            world: Arc::clone(&node.world) as _,
            dialer: self.cluster.network.dialer(&node.id),
            engine: Arc::new(node.disk.clone()),
            tasks: Tasks::on_this_runtime(),
        };
        let tasks = parts.tasks.clone();
        let (running, committer) = Node::start(&config, parts)
            .await
            .expect("a simulated node starts");
        tasks.spawn(committer.run());
        self.cluster.network.runs(&node.id, &running);
        node.running = Some(running);
    }
}

fn after<'a>(text: &'a str, prefix: &str) -> &'a str {
    text.strip_prefix(prefix)
        .unwrap_or_else(|| panic!("{text} does not begin with {prefix}"))
}

/// `n1` is the node with the number 0.
pub(crate) fn numbered(node: &str) -> usize {
    parsed::<usize>(after(node, "n")) - 1
}

fn parsed<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}
