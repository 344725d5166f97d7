//! The arguments of the commands that read and write keys.

use std::path::PathBuf;

use clap::Args;

use super::Asking;
use crate::names::Key;
use crate::terminal::given::unquoted;

/// The dependencies of an operation on a key.
#[derive(Debug, Args)]
pub struct Causal {
    /// File that carries this session's causal payload from one command to the next
    #[arg(long, env = "CAUSEWAY_SESSION", value_name = "FILE", value_parser = file)]
    pub session: Option<PathBuf>,
    /// Causal payload to depend on; --json prints the payload for the next command
    #[arg(long, value_name = "PAYLOAD")]
    pub payload: Option<String>,
}

/// The arguments of `get` and `delete`.
#[derive(Debug, Args)]
pub struct OneKey {
    /// The key: 1 to 200 characters of any kind
    #[arg(value_parser = key)]
    pub key: Key,
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub causal: Causal,
}

#[derive(Debug, Args)]
pub struct Put {
    /// The key: 1 to 200 characters of any kind
    #[arg(value_parser = key)]
    pub key: Key,
    /// The value; - reads it from standard input. Write -- before a value that begins with -
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
    /// List only keys that begin with this
    #[arg(default_value = "")]
    pub prefix: String,
    /// Print values too: key, tab, value
    #[arg(short, long)]
    pub long: bool,
    /// Largest number of keys to list [default: all]
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
The file has one operation per line, or is a JSON array as in POST /kv-store:

  # a key has no blanks here; the value is the rest of the line; neither is put in quotes
  put greeting hello there
  get greeting
  delete greeting

Exit codes: 0 all operations done (also if a key does not exist), 1 some not done.";

fn file(text: &str) -> Result<PathBuf, String> {
    unquoted(text).map(PathBuf::from)
}

fn key(text: &str) -> Result<Key, String> {
    Key::new(text).map_err(|error| error.to_string())
}
