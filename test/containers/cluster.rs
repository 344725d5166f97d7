//! A cluster of containers: how it is laid out, what can be done to its nodes, how they are asked.

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use crate::docker::{Corner, image};
use crate::http::{Reply, Request};
use crate::patience::{PATIENT, Stopwatch, eventually};

/// Where a node keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    /// A volume of its own, which outlives the container.
    Volume,
    /// A file system in memory of this many MiB, which a test can fill.
    Small(u32),
    /// `STORE=memory`.
    None,
}

/// How a node is started that is not in the cluster's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outsider {
    /// Without `VIEW`, to be added.
    Waits { k: Option<u32> },
    /// As a cluster of its own.
    Alone { k: u32 },
}

/// What a cluster is to be.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    nodes: usize,
    replicas: u32,
    in_view: usize,
    outsiders: Vec<Outsider>,
    disk: Disk,
}

impl Plan {
    pub(crate) fn new(nodes: usize, replicas: u32) -> Self {
        Self {
            nodes,
            replicas,
            in_view: nodes,
            outsiders: Vec::new(),
            disk: Disk::Volume,
        }
    }

    /// Only the first so many are in `VIEW`; the others are started without, and wait.
    pub(crate) fn in_view(self, in_view: usize) -> Self {
        Self { in_view, ..self }
    }

    /// More nodes at the end, which are not in `VIEW` either.
    pub(crate) fn outsiders(self, outsiders: &[Outsider]) -> Self {
        let outsiders = outsiders.to_vec();
        Self { outsiders, ..self }
    }

    pub(crate) fn disk(self, disk: Disk) -> Self {
        Self { disk, ..self }
    }

    /// Creates the containers and starts none.
    pub(crate) fn lay_out(self) -> Cluster {
        image();
        let corner = Corner::open();
        let address = |index: usize| format!("{}.{}:8080", corner.prefix, 21 + index);
        let view = (0..self.in_view).map(address).collect::<Vec<_>>().join(",");
        let members = (0..self.in_view).map(|_| (Some(view.clone()), Some(self.replicas)));
        let spares = (self.in_view..self.nodes).map(|_| (None, None));
        let outsiders = (self.nodes..)
            .zip(&self.outsiders)
            .map(|(index, outsider)| match outsider {
                Outsider::Waits { k } => (None, *k),
                Outsider::Alone { k } => (Some(address(index)), Some(*k)),
            });
        let nodes: Vec<_> = (0..)
            .zip(members.chain(spares).chain(outsiders))
            .map(|(index, (view, replicas))| Node {
                name: format!("{}-n{}", corner.name(), index + 1),
                address: address(index),
                view,
                replicas,
                disk: self.disk,
                port: Mutex::new(None),
            })
            .collect();
        let cluster = Cluster { nodes, corner };
        for index in 0..cluster.nodes.len() {
            cluster.create(index);
        }
        cluster
    }

    /// Starts all nodes and waits until all serve keys.
    pub(crate) fn start(self) -> Cluster {
        let cluster = self.lay_out();
        cluster.on_all(|index| cluster.start(index));
        for index in 0..cluster.nodes.len() {
            if cluster.nodes[index].view.is_some() {
                cluster.wait_ready(index);
            }
        }
        cluster
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    pub(crate) address: String,
    view: Option<String>,
    replicas: Option<u32>,
    disk: Disk,
    /// Where this machine reaches it. Docker gives a new one whenever it starts or is connected.
    port: Mutex<Option<u16>>,
}

impl Node {
    /// It was started with the addresses of the first view.
    pub(crate) fn knows_view(&self) -> bool {
        self.view.is_some()
    }
}

/// Nodes by number, from 0. Removed with everything it left when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    corner: Corner,
}

/// How a container ended.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) exit: i32,
    pub(crate) took: std::time::Duration,
}

/// Nodes and what is done to them.
impl Cluster {
    pub(crate) fn start_new(nodes: usize, replicas: u32) -> Self {
        Plan::new(nodes, replicas).start()
    }

    fn create(&self, index: usize) {
        let node = &self.nodes[index];
        let (ip, _) = node.address.split_once(':').expect("made with a port");
        let labels = self.corner.labels();
        let mut options = vec![
            format!("--name={}", node.name),
            format!("--hostname=n{}", index + 1),
            format!("--net={}", self.corner.name()),
            format!("--ip={ip}"),
            "--publish=127.0.0.1::8080".to_owned(),
            // A process each five seconds and node is noise; the image's own check has its own test.
            "--no-healthcheck".to_owned(),
            format!("--env=IPPORT={}", node.address),
        ];
        options.extend(labels.iter().map(|label| format!("--label={label}")));
        if let Some(view) = &node.view {
            options.push(format!("--env=VIEW={view}"));
        }
        if let Some(replicas) = node.replicas {
            options.push(format!("--env=K={replicas}"));
        }
        match node.disk {
            Disk::Volume => {
                let [run, cluster] = &labels;
                let volume = format!("{}-data", node.name);
                self.corner
                    .docker(&["volume", "create", "--label", run, "--label", cluster, &volume]);
                options.push(format!("--volume={volume}:/data"));
            }
            Disk::Small(mib) => {
                options.push(format!("--tmpfs=/data:uid=65532,gid=65532,mode=0700,size={mib}m"));
            }
            Disk::None => options.push("--env=STORE=memory".to_owned()),
        }
        let words: Vec<_> = ["create"]
            .into_iter()
            .chain(options.iter().map(String::as_str))
            .chain([image()])
            .collect();
        self.corner.docker(&words);
    }

    /// Starts a node and does not wait for it.
    #[track_caller]
    pub(crate) fn start(&self, index: usize) {
        self.corner.docker(&["start", &self.nodes[index].name]);
        self.find_port(index);
    }

    /// Ends a node as a power cut would.
    #[track_caller]
    pub(crate) fn kill(&self, index: usize) {
        self.forget_port(index);
        self.corner
            .docker(&["kill", "--signal=KILL", &self.nodes[index].name]);
    }

    /// The same at a moment that matters: docker takes its time. The process id was asked for before.
    #[track_caller]
    pub(crate) fn kill_process(&self, index: usize, pid: u32) {
        self.forget_port(index);
        let killed = self.corner.host("kill", &["-KILL", &pid.to_string()]);
        killed.unwrap_or_else(|why| panic!("{why}"));
        self.corner.docker(&["wait", &self.nodes[index].name]);
    }

    /// Ends all nodes as a power cut would: one command, so nobody outlives the others by much.
    pub(crate) fn kill_all(&self) {
        self.kill_these(&(0..self.nodes.len()).collect::<Vec<_>>());
    }

    pub(crate) fn kill_these(&self, nodes: &[usize]) {
        nodes.iter().for_each(|node| self.forget_port(*node));
        let names = nodes.iter().map(|node| self.nodes[*node].name.as_str());
        let words: Vec<_> = ["kill", "--signal=KILL"].into_iter().chain(names).collect();
        self.corner.docker(&words);
    }

    /// Asks a node to end, with the signal that `docker stop` sends. Timed from the signal to the end of
    /// the process: what Docker does before and after is not the node's.
    pub(crate) fn stop(&self, index: usize) -> Stopped {
        let pid = self.pid(index);
        self.forget_port(index);
        let name = &self.nodes[index].name;
        self.corner.docker(&["kill", "--signal=TERM", name]);
        let watch = Stopwatch::start();
        let process = PathBuf::from(format!("/proc/{pid}"));
        eventually(PATIENT, &format!("n{} ends", index + 1), || {
            match process.exists() {
                true => Err("the process is there".to_owned()),
                false => Ok(()),
            }
        });
        let took = watch.elapsed();
        let exit = self.corner.docker(&["wait", name]);
        Stopped {
            exit: exit.parse().expect("docker prints a number"),
            took,
        }
    }

    /// Freezes a node: its connections stay open and nothing answers.
    pub(crate) fn pause(&self, index: usize) {
        self.corner.docker(&["pause", &self.nodes[index].name]);
    }

    pub(crate) fn unpause(&self, index: usize) {
        self.corner.docker(&["unpause", &self.nodes[index].name]);
    }

    /// Takes a node off the network: peers and clients lose it.
    pub(crate) fn disconnect(&self, index: usize) {
        self.forget_port(index);
        self.corner.docker(&[
            "network",
            "disconnect",
            self.corner.name(),
            &self.nodes[index].name,
        ]);
    }

    pub(crate) fn connect(&self, index: usize) {
        let node = &self.nodes[index];
        let (ip, _) = node.address.split_once(':').expect("made with a port");
        self.corner
            .docker(&["network", "connect", "--ip", ip, self.corner.name(), &node.name]);
        self.find_port(index);
    }

    /// Drops every packet between two nodes. Clients and all others still reach both.
    pub(crate) fn cut_link(&self, a: usize, b: usize) {
        let (peer, _) = self.nodes[b].address.split_once(':').expect("made with a port");
        for rule in [["INPUT", "--source"], ["OUTPUT", "--destination"]] {
            let [chain, side] = rule;
            self.firewall(a, &["--append", chain, side, peer, "--jump", "DROP"]);
        }
    }

    /// Drops every packet that goes from one node to another, and none the other way.
    pub(crate) fn cut_one_way(&self, from: usize, to: usize) {
        let (peer, _) = self.nodes[to].address.split_once(':').expect("made with a port");
        self.firewall(
            from,
            &["--append", "OUTPUT", "--destination", peer, "--jump", "DROP"],
        );
    }

    /// Cuts a node off from all other nodes; clients still reach it.
    pub(crate) fn cut_off(&self, index: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != index) {
            self.cut_link(index, other);
        }
    }

    /// Takes back every cut that was made at this node.
    pub(crate) fn heal_links(&self, index: usize) {
        self.firewall(index, &["--flush"]);
    }

    /// The container has no iptables of its own: this machine's is run in the container's network.
    fn firewall(&self, index: usize, rule: &[&str]) {
        let pid = self.pid(index).to_string();
        let mut words = vec!["--target", &pid, "--net", "iptables", "--wait"];
        words.extend_from_slice(rule);
        self.corner
            .host("nsenter", &words)
            .unwrap_or_else(|why| panic!("{why}"));
    }

    /// Takes a dead node's disk away and puts an empty one in, at the same address.
    pub(crate) fn wipe(&self, index: usize) {
        let name = &self.nodes[index].name;
        self.corner.docker(&["rm", "--force", name]);
        if self.nodes[index].disk == Disk::Volume {
            self.corner.docker(&["volume", "rm", &format!("{name}-data")]);
        }
        self.create(index);
    }

    pub(crate) fn pid(&self, index: usize) -> u32 {
        let name = &self.nodes[index].name;
        let pid = self
            .corner
            .docker(&["inspect", "--format", "{{.State.Pid}}", name]);
        let pid = pid.parse().expect("docker prints a number");
        assert_ne!(pid, 0, "{name} is not running");
        pid
    }

    /// A node's data directory, seen from this machine.
    pub(crate) fn data_dir(&self, index: usize) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/data", self.pid(index)))
    }

    /// A docker command about a node, which it calls NODE.
    pub(crate) fn docker_on(&self, index: usize, words: &[&str]) -> Result<String, String> {
        let name = self.nodes[index].name.as_str();
        let words: Vec<_> = words
            .iter()
            .map(|word| if *word == "NODE" { name } else { word })
            .collect();
        self.corner.try_docker(&words)
    }

    fn find_port(&self, index: usize) {
        let node = &self.nodes[index];
        let published = self.corner.docker(&["port", &node.name, "8080/tcp"]);
        let port = published
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or_else(|| panic!("{} has no port: {published:?}", node.name));
        *node.port.lock().expect("no panic while it is held") = Some(port);
    }

    fn forget_port(&self, index: usize) {
        *self.nodes[index].port.lock().expect("no panic while it is held") = None;
    }

    /// Does the same to all nodes at once.
    pub(crate) fn on_all(&self, action: impl Fn(usize) + Sync) {
        thread::scope(|scope| {
            for index in 0..self.nodes.len() {
                let action = &action;
                scope.spawn(move || action(index));
            }
        });
    }
}

/// How nodes are asked.
impl Cluster {
    /// Sends a request to a node. An error is a connection that was refused or broke; `NotConnected` if the
    /// test itself has the node down, and nothing was sent.
    pub(crate) fn try_send(&self, index: usize, request: Request) -> io::Result<Reply> {
        let port = *self.nodes[index].port.lock().expect("no panic while it is held");
        let port = port.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotConnected,
                "the node is down or cut off from this machine",
            )
        })?;
        request.send(port)
    }

    #[track_caller]
    pub(crate) fn send(&self, index: usize, request: Request) -> Reply {
        let line = format!("{} {}", request.method, request.path);
        match self.try_send(index, request) {
            Ok(reply) => reply,
            Err(error) => panic!("{line} at n{}: {error}", index + 1),
        }
    }

    #[track_caller]
    pub(crate) fn put(&self, index: usize, key: &str, value: &str, payload: &str) -> Reply {
        self.send(index, put(key, value, payload))
    }

    #[track_caller]
    pub(crate) fn get(&self, index: usize, key: &str, payload: &str) -> Reply {
        self.send(index, get(key, payload))
    }

    #[track_caller]
    pub(crate) fn delete(&self, index: usize, key: &str, payload: &str) -> Reply {
        let fields = [("causal_payload", payload)];
        self.send(
            index,
            Request::new("DELETE", &format!("/kv-store/{key}")).form(&fields),
        )
    }

    /// One of the information endpoints.
    #[track_caller]
    pub(crate) fn info(&self, index: usize, what: &str) -> Reply {
        self.send(index, Request::new("GET", &format!("/kv-store/{what}")))
    }

    /// Waits until a node serves keys.
    #[track_caller]
    pub(crate) fn wait_ready(&self, index: usize) {
        eventually(PATIENT, &format!("n{} is ready", index + 1), || {
            let reply = self.try_send(index, Request::new("GET", "/readyz"));
            match reply {
                Ok(reply) if reply.status == 200 => Ok(()),
                Ok(reply) => Err(reply.to_string()),
                Err(error) => Err(error.to_string()),
            }
        });
    }

    /// The members of a partition, by number, as a node has them.
    pub(crate) fn members(&self, asked: usize, partition: i64) -> Vec<usize> {
        let path = "/kv-store/get_partition_members";
        let fields = [("partition_id", partition.to_string())];
        let request = Request::new("GET", path).form(&[(fields[0].0, &fields[0].1)]);
        let reply = self.send(asked, request).expect(200).json();
        let listed = reply["partition_members"].as_array().expect("a list of members");
        let number = |address: &serde_json::Value| {
            let known = self.nodes.iter().position(|node| *address == *node.address);
            known.unwrap_or_else(|| panic!("{address} is no node of this cluster"))
        };
        listed.iter().map(number).collect()
    }

    /// Writes keys through a node until so many have come to lie in this partition; they hold "start".
    pub(crate) fn keys_in(&self, asked: usize, partition: i64, prefix: &str, count: usize) -> Vec<String> {
        let mut keys = Vec::new();
        for number in 0..count * 200 {
            let key = format!("{prefix}-{number}");
            let reply = self.put(asked, &key, "start", "").expect(201);
            if reply.number("partition_id") == partition {
                keys.push(key);
            }
            if keys.len() == count {
                return keys;
            }
        }
        panic!("only {} keys came to lie in partition {partition}", keys.len());
    }

    /// Waits until all these nodes give this value for the key.
    #[track_caller]
    pub(crate) fn wait_value(&self, limit: std::time::Duration, nodes: &[usize], key: &str, value: &str) {
        for node in nodes {
            eventually(limit, &format!("{key} is {value:?} at n{}", node + 1), || {
                let reply = self.try_send(*node, get(key, "")).map_err(|e| e.to_string())?;
                match reply.status == 200 && reply.text("value") == value {
                    true => Ok(()),
                    false => Err(reply.to_string()),
                }
            });
        }
    }
}

pub(crate) fn put(key: &str, value: &str, payload: &str) -> Request {
    let fields = [("val", value), ("causal_payload", payload)];
    Request::new("PUT", &format!("/kv-store/{key}")).form(&fields)
}

/// As the assignment has it: the payload in a form body, on GET too.
pub(crate) fn get(key: &str, payload: &str) -> Request {
    let fields = [("causal_payload", payload)];
    Request::new("GET", &format!("/kv-store/{key}")).form(&fields)
}
