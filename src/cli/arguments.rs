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
    /// Ask the program of this container whether it is alive; for Docker's HEALTHCHECK
    Health(Health),
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

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub asking: Asking,
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
    /// Where the program accepts connections [default: where the program of this container listens; if there is
    /// none, what LISTEN or the configuration file says, or 0.0.0.0:8080]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// What the variable says, which a program that got a flag does not follow
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
