//! Arguments of `causeway proxy` and `causeway data-server`, or every mistake in them.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config;
use crate::terminal::Failure;
use crate::terminal::given::unquoted;
use crate::terminal::logging::{Lines, Logging};

const PROXY_LISTEN: &str = "127.0.0.1:8080";
const DATA_SERVER_LISTEN: &str = "127.0.0.1:9001";
const DATA_DIR: &str = "causeway-pairs";

/// A proxy of pairs.
#[derive(Debug, Args)]
pub struct Proxy {
    /// Where to accept connections; 0.0.0.0:8080 accepts them from other machines too [default: 127.0.0.1:8080]
    #[arg(long, env = "LISTEN", value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Data servers to contact first, in any order; if they already follow a list, the proxy follows that one
    #[arg(long, env = "SERVERS", value_name = "HOST:PORT,…")]
    pub servers: Option<String>,
    #[command(flatten)]
    pub logging: Logging,
}

/// A data server of pairs.
#[derive(Debug, Args)]
pub struct DataServer {
    /// Where to accept connections [default: 127.0.0.1:9001]
    #[arg(long, env = "LISTEN", value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// The folder for the pairs [default: causeway-pairs]
    #[arg(long, env = "DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<String>,
    #[command(flatten)]
    pub logging: Logging,
}

/// The listening address of a proxy, its first servers, and its log settings.
pub fn proxy(arguments: &Proxy) -> Result<(SocketAddr, Vec<String>, Lines), Failure> {
    let listen = listen(arguments.listen.as_deref(), PROXY_LISTEN);
    let servers = servers(arguments.servers.as_deref());
    match (listen, servers, lines(&arguments.logging)) {
        (Ok(listen), Ok(servers), Ok(lines)) => Ok((listen, servers, lines)),
        (listen, servers, lines) => {
            let mut mistakes: Vec<String> = listen.err().into_iter().collect();
            mistakes.extend(servers.err().unwrap_or_default());
            mistakes.extend(lines.err().unwrap_or_default());
            Err(Failure::Usage(list("proxy", &mistakes)))
        }
    }
}

/// The listening address of a data server, the folder of its pairs, and its log settings.
pub fn data_server(arguments: &DataServer) -> Result<(SocketAddr, PathBuf, Lines), Failure> {
    let listen = listen(arguments.listen.as_deref(), DATA_SERVER_LISTEN);
    let data_dir = unquoted(arguments.data_dir.as_deref().unwrap_or(DATA_DIR));
    let data_dir = data_dir.map_err(|mistake| format!("--data-dir: {mistake}"));
    match (listen, data_dir, lines(&arguments.logging)) {
        (Ok(listen), Ok(data_dir), Ok(lines)) => Ok((listen, PathBuf::from(data_dir), lines)),
        (listen, data_dir, lines) => {
            let mut mistakes: Vec<String> = listen.err().into_iter().collect();
            mistakes.extend(data_dir.err());
            mistakes.extend(lines.err().unwrap_or_default());
            Err(Failure::Usage(list("data server", &mistakes)))
        }
    }
}

fn lines(logging: &Logging) -> Result<Lines, Vec<String>> {
    Lines::understand(logging.log.as_deref(), logging.log_format.as_deref())
}

fn listen(text: Option<&str>, default: &str) -> Result<SocketAddr, String> {
    let listen = config::listen(Some(text.unwrap_or(default)));
    listen.map_err(|mistake| format!("--listen: {}", mistake.problem))
}

fn servers(text: Option<&str>) -> Result<Vec<String>, Vec<String>> {
    let text = unquoted(text.unwrap_or_default()).map_err(|mistake| vec![format!("--servers: {mistake}")])?;
    let (servers, mut mistakes) = config::addresses(text, config::address);
    if servers.is_empty() && mistakes.is_empty() {
        mistakes.push("no data server is named; write host:port,…".to_owned());
    }
    if mistakes.is_empty() {
        Ok(servers.iter().map(ToString::to_string).collect())
    } else {
        Err(mistakes
            .iter()
            .map(|mistake| format!("--servers: {mistake}"))
            .collect())
    }
}

/// The text of a mistake that shows only in the data servers' answers.
pub fn mistaken(mistake: &dyn Error) -> String {
    list("proxy", &[mistake.to_string()])
}

fn list(what: &str, mistakes: &[String]) -> String {
    let headline = match mistakes.len() {
        1 => format!("this {what} cannot start; there is a mistake in its arguments:"),
        many => format!("this {what} cannot start; there are {many} mistakes in its arguments:"),
    };
    let lines = mistakes.iter().map(|mistake| format!("\n  {mistake}"));
    lines.fold(headline, |text, line| text + &line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_addresses_separated_by_commas() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(servers(Some("a:1, b:2,")), Ok(names(&["a:1", "b:2"])));
        for nothing in [None, Some(""), Some(" , ")] {
            assert_eq!(servers(nothing).expect_err("names nobody").len(), 1);
        }
        assert_eq!(servers(Some("a,b:2,c:0")).expect_err("two are wrong").len(), 2);
        let twice = servers(Some("[::1]:9001,a:1,[0:0:0:0:0:0:0:1]:9001")).expect_err("names one twice");
        assert_eq!(
            twice,
            [
                "--servers: [::1]:9001 and [0:0:0:0:0:0:0:1]:9001 are one address, [::1]:9001; list each address once"
            ]
        );
    }
}
