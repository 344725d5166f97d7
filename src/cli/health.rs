//! `causeway health`: tells Docker every few seconds whether the program of this container answers.
//!
//! It works for any program of this project, however that got its address. It is quick, so that a hung
//! process is detected and not waited for.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::arguments::Health;
use super::running;
use super::settings::all_settings;
use crate::client::Client;
use crate::config::{self, Settings};
use crate::names::NodeId;
use crate::terminal::{Failure, Verdict};

/// Shorter than the interval at which Docker asks.
const LIMIT: Duration = Duration::from_secs(1);

/// Asks each address at which the program listens.
pub async fn health(arguments: Health) -> Result<Verdict, Failure> {
    for listen in addresses(&arguments, Path::new("/proc"))? {
        ask(listen).await?;
    }
    Ok(Verdict::Done)
}

/// The address from the flag; else where the container's program listens, as `proc` shows it; else the one
/// in the settings that a node would start with here.
fn addresses(arguments: &Health, proc: &Path) -> Result<Vec<SocketAddr>, Failure> {
    if arguments.listen.is_none() {
        let found = running::listening(proc, std::process::id());
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let given = Settings {
        listen: arguments
            .listen
            .clone()
            .or_else(|| arguments.listen_variable.clone()),
        ..Settings::default()
    };
    let (settings, mistakes) = all_settings(given, arguments.config.as_deref());
    let listen = config::listen(settings.listen.as_deref());
    match mistakes.into_iter().next().map_or(listen, Err) {
        Ok(listen) => Ok(vec![listen]),
        Err(mistake) => Err(Failure::Usage(mistake.to_string())),
    }
}

async fn ask(listen: SocketAddr) -> Result<(), Failure> {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() && ip.is_ipv6() => format!("[{ip}]"),
        ip if !ip.is_unspecified() => ip.to_string(),
        ip if ip.is_ipv6() => "[::1]".into(),
        _ => "127.0.0.1".into(),
    };
    let node: NodeId = format!("{ip}:{}", listen.port())
        .parse()
        .map_err(|error| Failure::Usage(format!("LISTEN: {error}")))?;
    let client = Client::new(vec![node.clone()]).with_timeout(LIMIT);
    match client.alive(&node).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Failed(format!(
            "{node} answers, but does not report that it is alive"
        ))),
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(
        listen: Option<&str>,
        variable: Option<&str>,
        config: Option<&str>,
    ) -> Result<Vec<String>, String> {
        let arguments = Health {
            listen: listen.map(str::to_owned),
            listen_variable: variable.map(str::to_owned),
            config: config.map(str::to_owned),
        };
        // Other tests run programs of this project.
        let found = addresses(&arguments, Path::new("/no/proc")).map_err(|failure| failure.to_string())?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn settings_are_read_as_the_node_reads_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("is written");
            path.to_str().expect("is text").to_owned()
        };
        let pair = write("pair.toml", "port = 4455\npeers = [\"localhost:4466\"]\n");
        let node = write("node.toml", "\u{feff}listen = \"127.0.0.1:9000\"\r\n");
        let bad = write("bad.toml", "listen = \"nowhere\"\n");
        for (listen, variable, config, expected) in [
            (None, None, None, "0.0.0.0:8080"),
            (None, Some("9001"), None, "0.0.0.0:9001"),
            (None, Some("9001"), Some(&pair), "0.0.0.0:9001"),
            (None, None, Some(&pair), "0.0.0.0:4455"),
            (None, None, Some(&node), "127.0.0.1:9000"),
            (Some("127.0.0.1:7"), Some("9001"), Some(&node), "127.0.0.1:7"),
        ] {
            let config = config.map(String::as_str);
            assert_eq!(asked(listen, variable, config), Ok(vec![expected.to_owned()]));
        }
        assert!(asked(None, None, Some(&bad)).is_err());
        assert!(asked(None, None, Some("/no/such/file")).is_err());
    }
}
