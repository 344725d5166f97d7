//! The arguments: every command with its flags. Commands with many flags have a file of their own.

mod asking;
#[cfg(test)]
mod given;
mod keys;
mod serve;
mod view;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::apps::data_servers::arguments::{DataServer, Proxy};
use crate::apps::redis_sharder::arguments::Redis;
pub(super) use asking::NODE_DEFAULT;
pub use asking::{Asking, Nodes};
pub use keys::{Batch, Causal, Ls, OneKey, Put};
pub use serve::Serve;
pub use view::{AddNode, RemoveNode, View, ViewCommand};

const ABOUT: &str = "A partitioned, replicated, causally consistent key-value store";

const AFTER: &str = "\
Without a command, causeway runs a node. Flags override environment variables; both override the configuration file.

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
    /// The command. Without one, the program serves: the container takes no arguments.
    pub fn command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node of a cluster
    Serve(Box<Serve>),
    /// Start a small cluster of processes on this machine, for experiments
    Lab(Lab),
    /// Print the value of a key
    Get(OneKey),
    /// Store a value under a key
    Put(Put),
    /// Delete a key
    Delete(OneKey),
    /// List keys, in order
    Ls(Ls),
    /// Carry out the operations in a file
    Batch(Batch),
    /// Show partitions, members, proxies and unreachable nodes
    Status(Status),
    /// Show the view, or add and remove nodes
    View(View),
    /// Measure the response times of a cluster, with clients in a closed loop
    Bench(Bench),
    /// Distribute pairs of integers over Redis servers on this machine, from a shell, a script or HTTP
    Redis(Redis),
    /// Run a proxy for data servers: pairs over HTTP, each key on one server
    Proxy(Proxy),
    /// Run a data server: pairs over HTTP, alone or behind proxies
    DataServer(DataServer),
    /// Check that the program in this container answers; for Docker's HEALTHCHECK
    Health(Health),
}

/// A cluster on this machine.
#[derive(Debug, Args)]
pub struct Lab {
    /// Number of nodes in the first view [default: 5]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub nodes: Option<u16>,
    /// Number of spare nodes, which wait to be added to the view [default: 1]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(0..=16))]
    pub spare: Option<u16>,
    /// Replicas in a partition [default: 2]
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub k: Option<u32>,
    /// Folder for data and logs; if it holds a lab, that lab continues
    #[arg(long, default_value = "lab", value_name = "FOLDER")]
    pub dir: PathBuf,
    /// Port of the first node; ports in use are skipped [default: 8081]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub base_port: Option<u16>,
    /// Keep data in memory only
    #[arg(long)]
    pub memory: bool,
    /// Delete the lab in the folder, and start a new one
    #[arg(long)]
    pub fresh: bool,
    /// When all nodes serve, print one line of JSON, for programs
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub asking: Asking,
}

/// A load, and the form of its report.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(flatten)]
    pub asking: Asking,
    /// Clients at each node that --node names
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub clients: u16,
    /// Seconds to run; 0 to only --fill
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub seconds: u64,
    /// Number of keys that the clients choose from: bench0000000, bench0000001 and so on
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub keys: u64,
    /// Size of each value
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub value_bytes: usize,
    /// Percentage of requests that write
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(..=100))]
    pub writes: u8,
    /// Write every key once before the run
    #[arg(long)]
    pub fill: bool,
    /// Expect every key to exist: a missing key counts as a failure
    #[arg(long)]
    pub filled: bool,
    /// Seed of the random requests: the same seed makes the same requests
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Report every second separately
    #[arg(long)]
    pub each_second: bool,
    /// Write every operation to a file, so that a checker can judge whether the store was causal; the keys
    /// must not exist before
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Health {
    /// Address of the program [default: the address on which this container's program listens; without such a
    /// program, the address in LISTEN or in the configuration file, or 0.0.0.0:8080]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// The value of the variable. A program that was started with a flag ignores it
    #[arg(long, hide = true, env = "LISTEN")]
    pub listen_variable: Option<String>,
    /// The configuration file of the node
    #[arg(long, env = "CAUSEWAY_CONFIG", value_name = "FILE")]
    pub config: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    pub(super) fn parsed(words: &[&str]) -> Result<Command, clap::Error> {
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
