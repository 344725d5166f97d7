//! Reads the configuration file of a process that replicates with a few others: a port, its peers, and
//! the number of copies. They are the usual settings under other names.

use toml::{Table, Value};

use super::{ConfigError, Settings};
use crate::names::{NodeId, NodeIdError};
use crate::text;

pub(super) const NAMES: [&str; 4] = ["port", "peers", "replication_factor", "address"];

/// Takes such a file's names out of the table and gives their settings; none if it has none of them.
pub(super) fn settings_from(table: &mut Table) -> (Settings, Vec<ConfigError>) {
    let mut mistakes = Vec::new();
    let is_empty = |value: &Value| {
        value
            .as_str()
            .is_some_and(|written| text::setting(written).is_none())
    };
    let given = NAMES.map(|name| table.remove(name).filter(|value| !is_empty(value)));
    if given.iter().all(Option::is_none) {
        return (Settings::default(), mistakes);
    }
    let others = ["listen", "ipport", "view", "k"];
    for other in others
        .into_iter()
        .filter(|other| table.keys().any(|name| name.eq_ignore_ascii_case(other)))
    {
        let text = format!(
            "{other} means the same as port, peers, replication_factor and address; use only one of the two forms"
        );
        mistakes.push(mistake(text));
    }
    let [port, peers, replication_factor, address] = given;
    let port = noted(port_of(port), &mut mistakes);
    let mut peers = peers_of(peers, &mut mistakes);
    let address = noted(address_of(address, port, &peers), &mut mistakes).flatten();
    // A list of all processes, this one included, means the same.
    peers.retain(|peer| Some(peer) != address.as_ref());
    let copies = noted(copies_of(replication_factor, peers.len() + 1), &mut mistakes);
    if !mistakes.is_empty() {
        return (Settings::stand_in(), mistakes);
    }
    let mut view = peers;
    view.extend(address.clone());
    let settings = Settings {
        listen: port.map(|port| format!("0.0.0.0:{port}")),
        // Two processes that are started in one folder must not share their data.
        data_dir: port.map(|port| format!("causeway-data-{port}")),
        ipport: address,
        view: Some(view.join(",")),
        k: copies.map(|copies| copies.to_string()),
        ..Settings::default()
    };
    (settings, mistakes)
}

fn mistake(problem: impl Into<String>) -> ConfigError {
    ConfigError::new("configuration file", problem)
}

fn noted<T>(result: Result<T, ConfigError>, mistakes: &mut Vec<ConfigError>) -> Option<T> {
    result.map_err(|mistake| mistakes.push(mistake)).ok()
}

fn port_of(value: Option<Value>) -> Result<u16, ConfigError> {
    let port = value
        .as_ref()
        .and_then(number)
        .and_then(|number| u16::try_from(number).ok())
        .filter(|port| *port != 0);
    port.ok_or_else(|| mistake("port must be a number from 1 to 65535, such as port = 4455"))
}

/// A number, also if it is written as a text, as every other setting may be.
fn number(value: &Value) -> Option<i64> {
    let written = || text::setting(value.as_str()?)?.parse().ok();
    value.as_integer().or_else(written)
}

/// The peers that are addresses, each once.
fn peers_of(value: Option<Value>, mistakes: &mut Vec<ConfigError>) -> Vec<String> {
    let listed = match &value {
        None => Some(Vec::new()),
        Some(value) => value
            .as_array()
            .and_then(|peers| peers.iter().map(Value::as_str).collect()),
    };
    let Some(listed) = listed else {
        let text = "peers must be a list of host:port, such as peers = [\"localhost:4466\"]";
        mistakes.push(mistake(text));
        return Vec::new();
    };
    let mut peers = Vec::new();
    for peer in listed.into_iter().map(by_name) {
        match peer {
            Err(error) => mistakes.push(mistake(format!("peers: {error}"))),
            Ok(peer) if peers.contains(&peer) => {}
            Ok(peer) => peers.push(peer),
        }
    }
    peers
}

fn copies_of(value: Option<Value>, processes: usize) -> Result<i64, ConfigError> {
    let Some(value) = value else {
        return Ok(i64::try_from(processes).unwrap_or(1));
    };
    let copies = number(&value).filter(|copies| *copies > 0);
    copies
        .ok_or_else(|| mistake("replication_factor must be a number from 1, such as replication_factor = 2"))
}

/// The address at which the others reach this process.
fn address_of(
    value: Option<Value>,
    port: Option<u16>,
    peers: &[String],
) -> Result<Option<String>, ConfigError> {
    let advice = || mistake("address must be host:port, such as address = \"host-a:4455\"");
    if let Some(value) = value {
        let address = by_name(value.as_str().ok_or_else(advice)?);
        return address
            .map(Some)
            .map_err(|error| mistake(format!("address: {error}")));
    }
    if let Some(far) = peers.iter().find(|peer| !peer.starts_with("localhost:")) {
        let text = format!(
            "address is missing, and {far} is on another machine; set the address at which that machine reaches this process, such as address = \"host-a:4455\""
        );
        return Err(mistake(text));
    }
    Ok(port.map(|port| format!("localhost:{port}")))
}

/// One spelling for this machine: all processes must list the same nodes.
fn by_name(text: &str) -> Result<String, NodeIdError> {
    let node: NodeId = text.parse()?;
    Ok(match node.host() {
        "127.0.0.1" | "[::1]" => format!("localhost:{}", node.port()),
        _ => node.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Settings, Vec<String>) {
        let mut table: Table = text.parse().expect("is TOML");
        let (settings, mistakes) = settings_from(&mut table);
        let mistakes = mistakes.iter().map(|mistake| mistake.problem.clone());
        (settings, mistakes.collect())
    }

    #[test]
    fn two_processes_on_one_machine_are_one_view() {
        let (one, mistakes) = read("port = 4455\npeers = [\"localhost:4466\"]\nreplication_factor = 2");
        assert_eq!(mistakes, Vec::<String>::new());
        let expected = Settings {
            listen: Some("0.0.0.0:4455".into()),
            data_dir: Some("causeway-data-4455".into()),
            ipport: Some("localhost:4455".into()),
            view: Some("localhost:4466,localhost:4455".into()),
            k: Some("2".into()),
            ..Settings::default()
        };
        assert_eq!(one, expected);
        let (other, _) = read("port = 4466\npeers = [\"127.0.0.1:4455\"]");
        assert_eq!(other.view.as_deref(), Some("localhost:4455,localhost:4466"));
        assert_eq!(other.k.as_deref(), Some("2"));
    }

    #[test]
    fn numbers_may_be_written_as_texts() {
        let (numbers, _) = read("port = 4455\npeers = [\"localhost:4466\"]\nreplication_factor = 2");
        let texts = read("port = \" 4455\"\npeers = [\"localhost:4466\"]\nreplication_factor = \"2\"");
        assert_eq!(texts, (numbers, Vec::new()));
        for wrong in [
            "port = \"4455x\"",
            "port = \"0\"",
            "port = \"70000\"",
            "port = \"-1\"",
        ] {
            let (_, mistakes) = read(wrong);
            assert!(
                mistakes[0].contains("port must be a number"),
                "{wrong}: {mistakes:?}"
            );
        }
    }

    #[test]
    fn peers_may_be_a_list_of_all_and_name_one_twice() {
        let all = "\"localhost:4455\", \"127.0.0.1:4466\", \"localhost:4466\"";
        let spelt = "\"LocalHost.:04466\", \"[0:0:0:0:0:0:0:1]:4466\", \"[::ffff:127.0.0.1]:4455\"";
        let (settings, mistakes) = read(&format!("port = 4455\npeers = [{all}, {spelt}]"));
        assert_eq!(mistakes, Vec::<String>::new());
        assert_eq!(settings.view.as_deref(), Some("localhost:4466,localhost:4455"));
        assert_eq!(settings.k.as_deref(), Some("2"));
    }

    #[test]
    fn one_mistake_is_not_taken_for_two() {
        for text in [
            "replication_factor = 0\nport = 1",
            "peers = []",
            "port = 1\npeers = [\"x\"]",
        ] {
            let (settings, mistakes) = read(text);
            assert_eq!(mistakes.len(), 1, "{text}");
            let judged = crate::config::understand(&settings, &|_| true);
            assert!(judged.is_ok(), "{text}: {judged:?}");
        }
    }

    #[test]
    fn machines_are_named_by_how_the_others_reach_them() {
        let (settings, mistakes) = read("port = 4455\naddress = \"host-a:4455\"\npeers = [\"host-b:4455\"]");
        assert_eq!(mistakes, Vec::<String>::new());
        assert_eq!(settings.view.as_deref(), Some("host-b:4455,host-a:4455"));
        assert_eq!(settings.ipport.as_deref(), Some("host-a:4455"));
    }

    #[test]
    fn every_mistake_is_named() {
        for (text, reasons) in [
            ("peers = []", vec!["port must be"]),
            ("port = 0", vec!["port must be"]),
            (
                "port = \"x\"\npeers = \"a:1\"\nreplication_factor = 0",
                vec!["port must be", "peers must be", "replication_factor must be"],
            ),
            (
                "port = 1\npeers = [\"host-b:4455\"]",
                vec!["address is missing, and host-b:4455"],
            ),
            ("port = 1\naddress = 7", vec!["address must be"]),
            (
                "port = 1\naddress = \"host\"",
                vec!["address: \"host\" has no port"],
            ),
            (
                "port = 1\npeers = [\"localhost\", \"http://a:1\"]",
                vec!["peers: \"localhost\"", "peers: \"http://a:1\""],
            ),
            (
                "port = 1\nview = \"a:1\"\nK = 2",
                vec!["view means the same", "k means the same"],
            ),
        ] {
            let (_, mistakes) = read(text);
            assert_eq!(mistakes.len(), reasons.len(), "{text}: {mistakes:?}");
            for reason in reasons {
                assert!(
                    mistakes.iter().any(|mistake| mistake.contains(reason)),
                    "{text}: {mistakes:?}"
                );
            }
        }
    }

    #[test]
    fn other_files_are_left_alone() {
        assert_eq!(read("k = 2"), (Settings::default(), vec![]));
    }
}
