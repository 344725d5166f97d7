//! The arguments: every command, every setting with its flag and its variable.

mod keys;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::logging::Logging;
use super::pairs::{DataServer, Proxy};
use super::redis::arguments::Redis;
use crate::config::Settings;
use crate::names::NodeId;

pub use keys::{Batch, Causal, Ls, OneKey, Put};

/// Shorter than the interval at which Docker asks.
pub(super) const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

const ABOUT: &str = "A partitioned, replicated, causally consistent key-value store";

const AFTER: &str = "\
Without a command, causeway serves. Flags go over environment variables, these over the configuration file.

Exit codes: 0 done, 1 failed, 2 no such key, 64 a mistake in arguments or settings.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, about = ABOUT, after_help = AFTER, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Box<Serve>,
}

impl Arguments {
    /// What to do; serving, if nothing else is asked for: the container takes no arguments.
    pub fn command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node of a cluster
    Serve(Box<Serve>),
    /// Start a small cluster of processes on this machine, to try and to break
    Lab(Lab),
    /// Print the value of a key
    Get(OneKey),
    /// Store a value under a key
    Put(Put),
    /// Delete a key
    Delete(OneKey),
    /// List keys, in order
    Ls(Ls),
    /// Do several operations from a file at once
    Batch(Batch),
    /// Show partitions, members, proxies, and who is away
    Status(Status),
    /// Show the view, add nodes to it, remove them
    View(View),
    /// Measure a cluster: clients in a closed loop, and how long they waited
    Bench(Bench),
    /// Spread pairs of integers over Redis servers on this machine: a shell, a script, or HTTP
    Redis(Redis),
    /// Run a proxy of data servers: pairs over HTTP, each key on one server
    Proxy(Proxy),
    /// Run a data server: pairs over HTTP, alone or behind proxies
    DataServer(DataServer),
    /// Ask the node of this machine whether it is alive; for Docker's HEALTHCHECK
    Health(Health),
}

/// Settings of a node.
#[derive(Debug, Args)]
pub struct Serve {
    /// This node's own address, as VIEW lists it: ip:port
    #[arg(long, env = "IPPORT", value_name = "IP:PORT")]
    pub ipport: Option<String>,
    /// The nodes of the first view, comma-separated; without it the node waits to be added
    #[arg(long, env = "VIEW", value_name = "IP:PORT,…")]
    pub view: Option<String>,
    /// Replicas in a partition
    #[arg(short, long, env = "K", value_name = "NUMBER", allow_negative_numbers = true)]
    pub k: Option<String>,
    /// Where to accept connections [default: 0.0.0.0:8080]
    #[arg(long, env = "LISTEN", value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Where records are kept: durable or memory [default: durable]
    #[arg(long, env = "STORE", value_name = "KIND")]
    pub store: Option<String>,
    /// The folder of a durable store [default: causeway-data]
    #[arg(long, env = "DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<String>,
    /// The largest value [default: 1MiB]
    #[arg(long, env = "MAX_VALUE", value_name = "SIZE")]
    pub max_value: Option<String>,
    /// How long a read waits for what it depends on [default: 800ms]
    #[arg(long, env = "CAUSAL_WAIT", value_name = "DURATION")]
    pub causal_wait: Option<String>,
    /// How far another clock may be from this node's own [default: 1h]
    #[arg(long, env = "CLOCK_LIMIT", value_name = "DURATION")]
    pub clock_limit: Option<String>,
    /// How long a deletion is remembered at the least [default: 24h]
    #[arg(long, env = "FORGET_AFTER", value_name = "DURATION")]
    pub forget_after: Option<String>,
    /// How long a request to change the view waits for its end [default: 60s]
    #[arg(long, env = "VIEW_CHANGE_TIMEOUT", value_name = "DURATION")]
    pub view_change_timeout: Option<String>,
    /// Requests in flight before new ones are refused [default: 4096]
    #[arg(long, env = "MAX_REQUESTS", value_name = "NUMBER")]
    pub max_requests: Option<String>,
    #[command(flatten)]
    pub logging: Logging,
    /// A file with settings: TOML, the names of the variables in lower case
    #[arg(long, env = "CAUSEWAY_CONFIG", value_name = "FILE")]
    pub config: Option<String>,
}

impl Serve {
    /// The settings as flags and environment give them.
    pub fn settings(&self) -> Settings {
        Settings {
            ipport: self.ipport.clone(),
            view: self.view.clone(),
            k: self.k.clone(),
            listen: self.listen.clone(),
            store: self.store.clone(),
            data_dir: self.data_dir.clone(),
            max_value: self.max_value.clone(),
            causal_wait: self.causal_wait.clone(),
            clock_limit: self.clock_limit.clone(),
            forget_after: self.forget_after.clone(),
            view_change_timeout: self.view_change_timeout.clone(),
            max_requests: self.max_requests.clone(),
        }
    }
}

/// A cluster on this machine.
#[derive(Debug, Args)]
pub struct Lab {
    /// How many nodes [default: 5]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub nodes: Option<u16>,
    /// How many more nodes wait to be added to the view [default: 1]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(0..=16))]
    pub spare: Option<u16>,
    /// Replicas in a partition [default: 2]
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub k: Option<u32>,
    /// Where data and logs are kept; a lab that was there before goes on
    #[arg(long, default_value = "lab", value_name = "FOLDER")]
    pub dir: PathBuf,
    /// The port of the first node; those that are taken are skipped [default: 8081]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub base_port: Option<u16>,
    /// Keep data in memory only
    #[arg(long)]
    pub memory: bool,
    /// Wipe the folder, if it is a lab's, and start anew
    #[arg(long)]
    pub fresh: bool,
    /// Print one line of JSON when all nodes serve, for programs
    #[arg(long)]
    pub json: bool,
}

/// One or more nodes to ask, in this order.
#[derive(Debug, Clone)]
pub struct Nodes(pub Vec<NodeId>);

impl FromStr for Nodes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let nodes: Result<Vec<NodeId>, _> = entries.map(str::parse).collect();
        match nodes {
            Ok(nodes) if nodes.is_empty() => Err("no node is named; write host:port".into()),
            Ok(nodes) => Ok(Self(nodes)),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Whom to ask, and how to print what it says.
#[derive(Debug, Args)]
pub struct Asking {
    /// The node to ask; of several, the next one when one does not answer
    #[arg(
        long,
        env = "CAUSEWAY_NODE",
        default_value = "127.0.0.1:8080",
        value_name = "HOST:PORT,…",
        global = true
    )]
    pub node: Nodes,
    /// Print the node's JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub asking: Asking,
}

#[derive(Debug, Args)]
pub struct View {
    #[command(flatten)]
    pub asking: Asking,
    #[command(subcommand)]
    pub command: Option<ViewCommand>,
}

/// A change of the view.
#[derive(Debug, Subcommand)]
pub enum ViewCommand {
    /// Add a node that was started without VIEW, and wait until the new view serves
    Add(AddNode),
    /// Remove a node, dead or alive, and wait until the new view serves
    Remove(RemoveNode),
}

#[derive(Debug, Args)]
pub struct AddNode {
    /// The node's own address, its IPPORT
    #[arg(value_name = "IP:PORT")]
    pub address: NodeId,
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct RemoveNode {
    /// The node's address, as the view lists it
    #[arg(value_name = "IP:PORT")]
    pub address: NodeId,
    /// Even if no majority is left to agree, or keys are given up; says how much
    #[arg(long)]
    pub force: bool,
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
}

/// A load, and how it is told.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(flatten)]
    pub asking: Asking,
    /// Clients at each node that --node names
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub clients: u16,
    /// How long they go on; 0 for --fill alone
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub seconds: u64,
    /// Among how many keys they choose; the keys are called bench0000000 and so on
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub keys: u64,
    /// The size of each value
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub value_bytes: usize,
    /// How many of a hundred requests write
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(..=100))]
    pub writes: u8,
    /// Write every key once before
    #[arg(long)]
    pub fill: bool,
    /// Every key was written before: one that is missing counts as a failure
    #[arg(long)]
    pub filled: bool,
    /// Which requests are made: the same for the same number
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Tell every second apart
    #[arg(long)]
    pub each_second: bool,
    /// Write down every operation, for who judges whether the store was causal; it must have none of the
    /// keys before
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Health {
    /// Where the node accepts connections [default: 0.0.0.0:8080]
    #[arg(long, env = "LISTEN", value_name = "IP:PORT")]
    pub listen: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, clap::Error> {
        let words = std::iter::once(&"causeway").chain(words);
        Arguments::try_parse_from(words).map(Arguments::command)
    }

    #[test]
    fn the_declaration_is_sound() {
        <Arguments as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves() {
        for words in [&["--k", "3"][..], &["-k", "3"], &["serve", "--k=3"]] {
            let Ok(Command::Serve(serve)) = parsed(words) else {
                panic!("{words:?} should serve");
            };
            assert_eq!(serve.settings().k.as_deref(), Some("3"));
        }
        assert!(matches!(parsed(&[]), Ok(Command::Serve(_))));
        assert!(
            parsed(&["--k", "3", "get", "x"]).is_err(),
            "a node's settings are not the client's"
        );
    }

    #[test]
    fn values_may_begin_with_a_minus() {
        for words in [
            &["put", "x", "-5"][..],
            &["put", "x", "--json", "-5"],
            &["put", "x", "--", "-v"],
            &["put", "x", "-"],
        ] {
            let Ok(Command::Put(put)) = parsed(words) else {
                panic!("{words:?} should be a put");
            };
            assert_eq!(put.value, *words.last().expect("has words"));
        }
    }

    #[test]
    fn several_nodes_keep_their_order() {
        let nodes: Nodes = "b:2, a:1,".parse().expect("two nodes");
        let texts: Vec<&str> = nodes.0.iter().map(NodeId::as_str).collect();
        assert_eq!(texts, ["b:2", "a:1"]);
        assert!(" , ".parse::<Nodes>().is_err());
        assert!("a".parse::<Nodes>().is_err());
    }

    #[test]
    fn the_node_to_ask_may_stand_anywhere_in_a_view_command() {
        for words in [
            &["view", "remove", "b:2", "--force", "--node", "a:1", "--json"][..],
            &["view", "--node", "a:1", "--json", "remove", "b:2", "--force"],
        ] {
            let Ok(Command::View(view)) = parsed(words) else {
                panic!("{words:?} should be about the view");
            };
            assert_eq!((view.asking.node.0[0].as_str(), view.asking.json), ("a:1", true));
            let Some(ViewCommand::Remove(remove)) = view.command else {
                panic!("{words:?} should remove");
            };
            assert_eq!(
                (remove.address.as_str(), remove.force, remove.dry_run),
                ("b:2", true, false)
            );
        }
        let Ok(Command::View(view)) = parsed(&["view"]) else {
            panic!("it should show the view");
        };
        assert!(view.command.is_none() && view.asking.node.0[0].port() == 8080);
        for words in [
            &["view", "add"][..],
            &["view", "add", "b"],
            &["view", "add", "b:2", "--force"],
            &["view", "swap", "b:2"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_lab_takes_numbers_that_make_sense() {
        let Ok(Command::Lab(lab)) = parsed(&["lab", "--nodes", "3", "-k", "1", "--fresh"]) else {
            panic!("it should be a lab");
        };
        assert_eq!(
            (lab.nodes, lab.k, lab.fresh, lab.json),
            (Some(3), Some(1), true, false)
        );
        for words in [
            ["--nodes", "0"],
            ["--nodes", "65"],
            ["--k", "0"],
            ["--spare", "17"],
            ["--base-port", "0"],
        ] {
            assert!(parsed(&["lab", words[0], words[1]]).is_err(), "{words:?}");
        }
    }
}
