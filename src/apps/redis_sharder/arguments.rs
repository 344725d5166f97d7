//! The arguments of `causeway redis`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config;

/// A sharder over Redis servers, and its shell.
#[derive(Debug, Args)]
pub struct Redis {
    /// The port of the first server; the others follow
    #[arg(long, default_value_t = 9000, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub base_port: u16,
    /// Refuse to store pairs while fewer servers live than a pair has copies
    #[arg(long)]
    pub strict: bool,
    /// Serve the same operations over HTTP, also after the commands have ended
    #[arg(long, value_name = "IP:PORT", value_parser = http_address)]
    pub http: Option<SocketAddr>,
    /// A file with commands, instead of standard input
    pub script: Option<PathBuf>,
}

/// An address to listen on; a port alone is for this machine only, like those of the servers.
fn http_address(text: &str) -> Result<SocketAddr, String> {
    let full = match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        Ok(port) => format!("127.0.0.1:{port}"),
        Err(_) => text.to_owned(),
    };
    let address = config::listen(Some(&full))
        .ok()
        .filter(|_| !text.trim().is_empty());
    address.ok_or_else(|| "write ip:port, such as 127.0.0.1:8080".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        for (text, address) in [
            ("8080", Some("127.0.0.1:8080")),
            (":8080", Some("127.0.0.1:8080")),
            ("localhost:8080", Some("127.0.0.1:8080")),
            ("0.0.0.0:8080", Some("0.0.0.0:8080")),
            ("[::1]:8080", Some("[::1]:8080")),
            ("LocalHost.:08080", Some("127.0.0.1:8080")),
            ("0", None),
            ("65536", None),
            ("nowhere", None),
            ("", None),
        ] {
            let got = http_address(text).ok().map(|address| address.to_string());
            assert_eq!(got.as_deref(), address, "{text:?}");
        }
    }
}
