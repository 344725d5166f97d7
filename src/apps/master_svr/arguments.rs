//! The arguments of `master-svr`, `svr` and `clt`, and the output of `clt`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use bytes::Bytes;
use clap::{Parser, ValueEnum};

use crate::apps::master_svr::{Answer, Ask, Operation, Target, ask};
use crate::terminal::logging::Lines;
use crate::terminal::{Failure, Verdict, output};

/// `master-svr`: tracks the servers and the owner of each key.
#[derive(Debug, Parser)]
#[command(
    name = "master-svr",
    version,
    about = "Tracks the servers of a small store and the owner of each key"
)]
pub struct MasterSvr {
    /// The port to listen on, on 127.0.0.1
    #[arg(short, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    #[command(flatten)]
    pub log: Log,
}

/// `svr`: keeps the pairs of its shard in memory.
#[derive(Debug, Parser)]
#[command(
    name = "svr",
    version,
    about = "Stores the pairs of its shard in memory, and joins as soon as its master answers"
)]
pub struct Svr {
    /// The port to listen on, on 127.0.0.1
    #[arg(short, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// The port of the master
    #[arg(short, value_name = "MASTER_PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub master: u16,
    #[command(flatten)]
    pub log: Log,
}

impl Svr {
    /// The ports of the server and of its master.
    pub fn ports(&self) -> Result<(u16, u16), Failure> {
        if self.port == self.master {
            let text = "-p and -m name the same port; give the server one of its own";
            return Err(Failure::Usage(text.into()));
        }
        Ok((self.port, self.master))
    }
}

/// The log filter. Without one nothing is logged, because nobody may be reading standard error.
#[derive(Debug, clap::Args)]
pub struct Log {
    #[arg(long = "log", env = "LOG", hide = true)]
    filter: Option<String>,
}

impl Log {
    /// Starts logging to standard error, if requested.
    pub fn start(&self) -> Result<(), Failure> {
        let Some(filter) = &self.filter else { return Ok(()) };
        let lines = Lines::understand(Some(filter), None);
        lines
            .map_err(|mistakes| Failure::Usage(mistakes.join("; ")))?
            .start()
    }
}

const CLT_AFTER: &str =
    "Exit codes: 0 done; 1 failed; 2 no such key, or with -d 1 the server does not own the key.";

/// `clt`: one request. Arguments that the request does not need are ignored, valid or not.
#[derive(Debug, Parser)]
#[command(name = "clt", version, about = "Reads or writes one key", after_help = CLT_AFTER)]
pub struct Clt {
    /// What to do
    #[arg(short, value_name = "OPERATION", ignore_case = true)]
    operation: Verb,
    /// The key, an integer of 64 bits
    #[arg(short, value_name = "KEY", allow_hyphen_values = true)]
    key: i64,
    /// The value; not for GET
    #[arg(short, value_name = "VALUE", allow_hyphen_values = true)]
    value: Option<OsString>,
    /// The port of the server to ask; only for -d 1
    #[arg(short, value_name = "PORT", allow_hyphen_values = true)]
    port: Option<String>,
    /// The port of the master; only for -d 0
    #[arg(short, value_name = "MASTER_PORT", allow_hyphen_values = true)]
    master: Option<String>,
    /// Server to ask: 0 the owner of the key, which the master names; 1 the server at -p, which does not forward
    #[arg(short, value_name = "DIRECT")]
    direct: Direct,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Verb {
    Get,
    Put,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Direct {
    #[value(name = "0")]
    ViaMaster,
    #[value(name = "1")]
    Direct,
}

impl Clt {
    /// Sends the request, and prints the value of a GET.
    pub async fn run(self) -> Result<Verdict, Failure> {
        match ask(&self.request()?).await {
            Ok(Answer::Stored) => Ok(Verdict::Done),
            Ok(Answer::Value(value)) => {
                output::print(&[&value[..], b"\n"].concat())?;
                Ok(Verdict::Done)
            }
            Ok(Answer::NoSuchKey | Answer::Elsewhere) => Ok(Verdict::NoSuchKey),
            Err(error) => Err(Failure::Failed(error.to_string())),
        }
    }

    fn request(self) -> Result<Ask, Failure> {
        let operation = match (self.operation, self.value) {
            (Verb::Get, _) => Operation::Get,
            (Verb::Put, Some(value)) => Operation::Put(Bytes::from(value.into_vec())),
            (Verb::Put, None) => return Err(Failure::Usage("PUT needs a value; give it with -v".into())),
        };
        let target = match self.direct {
            Direct::ViaMaster => Target::OwnerVia(port(self.master, "-m, the port of the master,")?),
            Direct::Direct => Target::Server(port(self.port, "-p, the port of the server,")?),
        };
        Ok(Ask {
            key: self.key,
            operation,
            target,
        })
    }
}

fn port(given: Option<String>, what: &str) -> Result<u16, Failure> {
    let given = given.ok_or_else(|| Failure::Usage(format!("{what} is missing")))?;
    let port = given.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| Failure::Usage(format!("{what} is a number from 1 to 65535, not {given:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Result<Ask, String> {
        let words = std::iter::once("clt").chain(line.split(' '));
        let clt = Clt::try_parse_from(words).map_err(|error| error.to_string())?;
        clt.request().map_err(|failure| failure.to_string())
    }

    fn put(value: &'static str) -> Operation {
        Operation::Put(Bytes::from_static(value.as_bytes()))
    }

    #[test]
    fn what_is_not_needed_is_ignored() {
        let (get, owner, server) = (Operation::Get, Target::OwnerVia(9000), Target::Server(4000));
        for (line, key, operation, target) in [
            ("-p 4000 -o GET -k 7 -v x -m 9000 -d 0", 7, get.clone(), owner),
            ("-p nowhere -o GET -k 7 -m 9000 -d 0", 7, get.clone(), owner),
            ("-o GET -k 7 -m 9000 -d 0", 7, get.clone(), owner),
            ("-p 4000 -o GET -k -7 -d 1", -7, get, server),
            ("-p 4000 -o PUT -k -7 -v -x -m 0 -d 1", -7, put("-x"), server),
            ("-k +007 -d 1 -v  -p 4000 -o PUT", 7, put(""), server),
            (
                "-p4000 -oPUT -k-9223372036854775808 -v-1 -d1",
                i64::MIN,
                put("-1"),
                server,
            ),
        ] {
            assert_eq!(
                request(line),
                Ok(Ask {
                    key,
                    operation,
                    target
                }),
                "{line}"
            );
        }
    }

    #[test]
    fn each_mistake_has_a_message() {
        for (line, part) in [
            ("-o GET -k 7 -d 0", "-m, the port of the master, is missing"),
            (
                "-o GET -k 7 -d 1 -m 9000",
                "-p, the port of the server, is missing",
            ),
            ("-o GET -k 7 -d 1 -p 0", "from 1 to 65535, not \"0\""),
            ("-o GET -k 7 -d 1 -p -5", "from 1 to 65535, not \"-5\""),
            ("-o PUT -k 7 -d 1 -p 4000", "PUT needs a value"),
            ("-o GET -k x -d 1 -p 4000", "invalid value 'x'"),
            ("-o GET -k 9223372036854775808 -d 1 -p 4000", "number too large"),
            ("-o DROP -k 7 -d 1 -p 4000", "GET, PUT"),
            ("-o GET -k 7 -d 2 -p 4000", "0, 1"),
            ("-o GET -d 1 -p 4000", "-k <KEY>"),
        ] {
            let told = request(line).expect_err(line);
            assert!(told.contains(part), "{line}: {told}");
        }
    }
}
