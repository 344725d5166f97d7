//! A cluster of containers, and the operations and faults of its nodes.

use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use tempfile::TempDir;

use crate::docker::{Corner, image};
use crate::patience::{PATIENT, Stopwatch, eventually};
use crate::plan::Plan;

/// The place of a node's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    /// A volume of its own, which outlives the container.
    Volume,
    /// A file system in memory of this many MiB, which a test can fill.
    Small(u32),
    /// `STORE=memory`.
    None,
}

/// How a container is created from the image.
#[derive(Debug)]
pub(crate) struct Start {
    /// Options of `docker create`, in addition to those of every container.
    pub(crate) options: Vec<String>,
    /// The program's arguments; none if its environment suffices.
    pub(crate) arguments: Vec<String>,
    disk: Disk,
    /// True if it gets the addresses of the first view.
    pub(crate) knows_view: bool,
}

impl Start {
    pub(crate) fn new(disk: Disk) -> Self {
        Self {
            options: Vec::new(),
            arguments: Vec::new(),
            disk,
            knows_view: false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    pub(crate) address: String,
    start: Start,
    /// The port on this machine. Docker assigns a new one whenever the node is started or connected.
    port: Mutex<Option<u16>>,
}

impl Node {
    pub(crate) fn knows_view(&self) -> bool {
        self.start.knows_view
    }
}

/// Nodes by number, from 0. When it is dropped, it is removed with everything that it left.
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

/// Operations and faults of the nodes.
impl Cluster {
    pub(crate) fn start_new(nodes: usize, replicas: u32) -> Self {
        Plan::new(nodes, replicas).start()
    }

    /// Creates the containers and starts none.
    pub(crate) fn create(corner: Corner, starts: Vec<Start>) -> Self {
        let nodes = starts.into_iter().enumerate().map(|(index, start)| Node {
            name: corner.node(index),
            address: corner.address(index),
            start,
            port: Mutex::new(None),
        });
        let nodes = nodes.collect();
        let cluster = Self { nodes, corner };
        (0..cluster.nodes.len()).for_each(|index| cluster.make(index));
        cluster
    }

    fn make(&self, index: usize) {
        let node = &self.nodes[index];
        let (ip, _) = node.address.split_once(':').expect("made with a port");
        let labels = self.corner.labels();
        let mut options = vec![
            format!("--name={}", node.name),
            format!("--hostname=n{}", index + 1),
            format!("--net={}", self.corner.name()),
            format!("--ip={ip}"),
            "--publish=127.0.0.1::8080".to_owned(),
            // One process per node every five seconds is noise; the image's own check has its own test.
            "--no-healthcheck".to_owned(),
        ];
        options.extend(labels.iter().map(|label| format!("--label={label}")));
        match node.start.disk {
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
        options.extend_from_slice(&node.start.options);
        let words: Vec<_> = ["create"]
            .into_iter()
            .chain(options.iter().map(String::as_str))
            .chain([image()])
            .chain(node.start.arguments.iter().map(String::as_str))
            .collect();
        self.corner.docker(&words);
    }

    /// Starts a node without waiting for it.
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

    /// The same without Docker's delay, where timing matters. The process id was queried before.
    #[track_caller]
    pub(crate) fn kill_process(&self, index: usize, pid: u32) {
        self.forget_port(index);
        let killed = self.corner.host("kill", &["-KILL", &pid.to_string()]);
        killed.unwrap_or_else(|why| panic!("{why}"));
        self.corner.docker(&["wait", &self.nodes[index].name]);
    }

    /// Ends all nodes as a power cut would: with one command, so that they die at almost the same time.
    pub(crate) fn kill_all(&self) {
        self.kill_these(&(0..self.nodes.len()).collect::<Vec<_>>());
    }

    pub(crate) fn kill_these(&self, nodes: &[usize]) {
        nodes.iter().for_each(|node| self.forget_port(*node));
        let names = nodes.iter().map(|node| self.nodes[*node].name.as_str());
        let words: Vec<_> = ["kill", "--signal=KILL"].into_iter().chain(names).collect();
        self.corner.docker(&words);
    }

    /// Tells a node to end, with the signal that `docker stop` sends. Timed from the signal to the end
    /// of the process, without Docker's work before and after.
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

    /// Freezes a node: its connections stay open and nothing answers. The kernel cannot freeze it while
    /// one of its threads waits for the disk; Docker then soon gives up and thaws it.
    pub(crate) fn pause(&self, index: usize) {
        let name = &self.nodes[index].name;
        let pause = || self.corner.try_docker(&["pause", name]).map(drop);
        eventually(PATIENT, "it is frozen", pause);
    }

    pub(crate) fn unpause(&self, index: usize) {
        self.corner.docker(&["unpause", &self.nodes[index].name]);
    }

    /// Takes a node off the network: peers and clients cannot reach it.
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

    /// Drops every packet between two nodes. Clients and all other nodes still reach both.
    pub(crate) fn cut_link(&self, a: usize, b: usize) {
        let (peer, _) = self.nodes[b].address.split_once(':').expect("made with a port");
        for rule in [["INPUT", "--source"], ["OUTPUT", "--destination"]] {
            let [chain, side] = rule;
            self.firewall(a, &["--append", chain, side, peer, "--jump", "DROP"]);
        }
    }

    /// Drops every packet from one node to another, but none in the other direction.
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

    /// Undoes every cut that was made at this node.
    pub(crate) fn heal_links(&self, index: usize) {
        self.firewall(index, &["--flush"]);
    }

    /// The container has no iptables: this machine's runs in the container's network.
    fn firewall(&self, index: usize, rule: &[&str]) {
        let pid = self.pid(index).to_string();
        let mut words = vec!["--target", &pid, "--net", "iptables", "--wait"];
        words.extend_from_slice(rule);
        self.corner
            .host("nsenter", &words)
            .unwrap_or_else(|why| panic!("{why}"));
    }

    /// Replaces a dead node's disk by an empty one, at the same address.
    pub(crate) fn wipe(&self, index: usize) {
        let name = &self.nodes[index].name;
        self.corner.docker(&["rm", "--force", name]);
        if self.nodes[index].start.disk == Disk::Volume {
            self.corner.docker(&["volume", "rm", &format!("{name}-data")]);
        }
        self.make(index);
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

    /// A node's data directory, as a path on this machine.
    pub(crate) fn data_dir(&self, index: usize) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/data", self.pid(index)))
    }

    /// The volume of a node's data directory, as a path on this machine.
    fn volume(&self, index: usize) -> String {
        let volume = format!("{}-data", self.nodes[index].name);
        self.corner
            .docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &volume])
    }

    /// A copy of a dead node's disk.
    pub(crate) fn copy_disk(&self, index: usize) -> TempDir {
        let copy = tempfile::tempdir().expect("a folder");
        self.copy(&self.volume(index), &copy.path().to_string_lossy());
        copy
    }

    /// Replaces the contents of a dead node's disk by a copy.
    pub(crate) fn put_back(&self, index: usize, copy: &TempDir) {
        let volume = self.volume(index);
        let emptied = self.corner.host("find", &[&volume, "-mindepth", "1", "-delete"]);
        emptied.unwrap_or_else(|why| panic!("{why}"));
        self.copy(&copy.path().to_string_lossy(), &volume);
    }

    /// Preserves owners and times.
    fn copy(&self, from: &str, to: &str) {
        let copied = self.corner.host("cp", &["--archive", &format!("{from}/."), to]);
        copied.unwrap_or_else(|why| panic!("{why}"));
    }

    /// Runs a docker command in which NODE stands for a node.
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

    /// A node's port on this machine; none while the test itself has it down or cut off.
    pub(crate) fn port(&self, index: usize) -> Option<u16> {
        *self.nodes[index].port.lock().expect("no panic while it is held")
    }

    fn forget_port(&self, index: usize) {
        *self.nodes[index].port.lock().expect("no panic while it is held") = None;
    }

    /// Runs an action on all nodes at once.
    pub(crate) fn on_all(&self, action: impl Fn(usize) + Sync) {
        thread::scope(|scope| {
            for index in 0..self.nodes.len() {
                let action = &action;
                scope.spawn(move || action(index));
            }
        });
    }
}
