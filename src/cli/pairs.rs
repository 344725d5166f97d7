//! `causeway proxy` and `causeway data-server`: what they are started with, or every mistake in it.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::logging::Logging;
use crate::config;

const PROXY_LISTEN: &str = "127.0.0.1:8080";
const DATA_SERVER_LISTEN: &str = "127.0.0.1:9001";
const DATA_DIR: &str = "causeway-pairs";

/// A proxy of pairs.
#[derive(Debug, Args)]
pub struct Proxy {
    /// Where to accept connections; 0.0.0.0:8080 takes them from other machines too [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// The data servers to begin with, in any order; a list that they have already goes over it
    #[arg(long, value_name = "HOST:PORT,…")]
    pub servers: Option<String>,
    #[command(flatten)]
    pub logging: Logging,
}

/// A data server of pairs.
#[derive(Debug, Args)]
pub struct DataServer {
    /// Where to accept connections [default: 127.0.0.1:9001]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// The folder where pairs are kept [default: causeway-pairs]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub logging: Logging,
}

/// Where a proxy listens and which servers it begins with.
pub fn proxy(arguments: &Proxy) -> Result<(SocketAddr, Vec<String>), Failure> {
    let listen = listen(arguments.listen.as_deref(), PROXY_LISTEN);
    match (listen, servers(arguments.servers.as_deref())) {
        (Ok(listen), Ok(servers)) => Ok((listen, servers)),
        (listen, servers) => {
            let mut mistakes: Vec<String> = listen.err().into_iter().collect();
            mistakes.extend(servers.err().unwrap_or_default());
            Err(Failure::Usage(list("proxy", &mistakes)))
        }
    }
}

/// Where a data server listens and where it keeps its pairs.
pub fn data_server(arguments: &DataServer) -> Result<(SocketAddr, PathBuf), Failure> {
    let listen = listen(arguments.listen.as_deref(), DATA_SERVER_LISTEN);
    let listen = listen.map_err(|mistake| Failure::Usage(list("data server", &[mistake])))?;
    let data_dir = arguments.data_dir.clone();
    Ok((listen, data_dir.unwrap_or_else(|| PathBuf::from(DATA_DIR))))
}

fn listen(text: Option<&str>, default: &str) -> Result<SocketAddr, String> {
    let listen = config::listen(Some(text.unwrap_or(default)));
    listen.map_err(|mistake| format!("--listen: {}", mistake.problem))
}

fn servers(text: Option<&str>) -> Result<Vec<String>, Vec<String>> {
    let (servers, mut mistakes) = config::addresses(text.unwrap_or_default(), config::address);
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

/// A mistake that only the data servers could show.
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
