//! The arguments of the commands that read and write keys.

use std::path::PathBuf;

use clap::Args;

use super::Asking;
use crate::names::Key;
use crate::terminal::given::unquoted;

/// What an operation on a key depends on.
#[derive(Debug, Args)]
pub struct Causal {
    /// A file that carries what this session has seen from one command to the next
    #[arg(long, env = "CAUSEWAY_SESSION", value_name = "FILE", value_parser = file)]
    pub session: Option<PathBuf>,
    /// A causal payload to depend on; --json prints the one to go on with
    #[arg(long, value_name = "PAYLOAD")]
    pub payload: Option<String>,
}

/// To read a key, or to delete it.
#[derive(Debug, Args)]
pub struct OneKey {
    /// 1 to 200 characters, whatever they are
    #[arg(value_parser = key)]
    pub key: Key,
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub causal: Causal,
}

#[derive(Debug, Args)]
pub struct Put {
    /// 1 to 200 characters, whatever they are
    #[arg(value_parser = key)]
    pub key: Key,
    /// The value; - reads it from standard input, and one that begins with - goes behind --
    #[arg(allow_negative_numbers = true)]
    pub value: String,
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub causal: Causal,
}

/// A listing.
#[derive(Debug, Args)]
pub struct Ls {
    /// Keys that begin with this
    #[arg(default_value = "")]
    pub prefix: String,
    /// Values too: key, tab, value
    #[arg(short, long)]
    pub long: bool,
    /// At most so many; all if it is left out
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub causal: Causal,
}

/// Several operations.
#[derive(Debug, Args)]
#[command(after_help = BATCH_HELP)]
pub struct Batch {
    /// The file; - reads standard input
    pub file: String,
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub causal: Causal,
}

const BATCH_HELP: &str = "\
The file has a line for each operation, or is a JSON array as POST /kv-store takes it:

  # what the key is called may not hold blanks here; the value is the rest of the line
  put greeting hello there
  get greeting
  delete greeting

Exit codes: 0 all done (a key that does not exist is an answer), 1 some were not.";

fn file(text: &str) -> Result<PathBuf, String> {
    unquoted(text).map(PathBuf::from)
}

fn key(text: &str) -> Result<Key, String> {
    Key::new(text).map_err(|error| error.to_string())
}
