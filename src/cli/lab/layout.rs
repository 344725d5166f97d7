//! What a lab consists of: how many nodes, where they listen, how their data is kept.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::super::Failure;
use super::super::arguments::Lab as Arguments;
use crate::names::NodeId;

const NODES_DEFAULT: u16 = 5;
const REPLICAS_DEFAULT: u32 = 2;
const BASE_PORT_DEFAULT: u16 = 8081;

/// How many ports are looked at, from the base on, for those that are free.
const PORTS_TRIED: u16 = 1000;

/// What a lab consists of. It never changes; `--fresh` makes another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) replicas: u32,
    pub(super) memory: bool,
    pub(super) base_port: u16,
    pub(super) ports: Vec<u16>,
}

impl Layout {
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        let address = |port: &u16| format!("127.0.0.1:{port}").parse();
        let nodes = self
            .ports
            .iter()
            .map(|port| address(port).expect("is an address"));
        nodes.collect()
    }

    /// A new lab as it is asked for: the first free ports from the base on, the same each time.
    pub(super) fn choose_free(arguments: &Arguments) -> Result<Self, Failure> {
        Self::choose(arguments, is_free)
    }

    fn choose(arguments: &Arguments, is_free: impl Fn(u16) -> bool) -> Result<Self, Failure> {
        let count = usize::from(arguments.nodes.unwrap_or(NODES_DEFAULT));
        let base_port = arguments.base_port.unwrap_or(BASE_PORT_DEFAULT);
        let candidates = base_port..=base_port.saturating_add(PORTS_TRIED);
        let ports: Vec<u16> = candidates.filter(|port| is_free(*port)).take(count).collect();
        if ports.len() < count {
            let text =
                format!("there are not {count} free ports from {base_port} on; choose another --base-port");
            return Err(Failure::Failed(text));
        }
        Ok(Self {
            replicas: arguments.k.unwrap_or(REPLICAS_DEFAULT),
            memory: arguments.memory,
            base_port,
            ports,
        })
    }

    /// An earlier lab, if it is the one that is asked for and its ports are free.
    pub(super) fn wanted(self, arguments: &Arguments) -> Result<Self, Failure> {
        let other_nodes = arguments
            .nodes
            .is_some_and(|nodes| usize::from(nodes) != self.ports.len());
        let other_replicas = arguments.k.is_some_and(|k| k != self.replicas);
        let other_base = arguments.base_port.is_some_and(|port| port != self.base_port);
        if other_nodes || other_replicas || other_base || (arguments.memory && !self.memory) {
            return Err(Failure::Usage(format!(
                "the lab in {} has {} nodes from port {} on, K={}, {}; leave these arguments out to go on with it, \
                 or use --fresh to wipe it, or --dir for another one",
                arguments.dir.display(),
                self.ports.len(),
                self.base_port,
                self.replicas,
                if self.memory { "in memory" } else { "on disk" },
            )));
        }
        let busy: Vec<String> = self
            .ports
            .iter()
            .filter(|port| !is_free(**port))
            .map(u16::to_string)
            .collect();
        if busy.is_empty() {
            return Ok(self);
        }
        Err(Failure::Failed(format!(
            "the lab in {} needs its ports again, and something else listens on {}; stop that, or use --fresh",
            arguments.dir.display(),
            busy.join(", ")
        )))
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let layout: Value = serde_json::from_str(text).ok()?;
        let number = |field: &str| layout.get(field)?.as_u64();
        let ports = layout.get("ports")?.as_array()?.iter();
        let ports: Option<Vec<u16>> = ports.map(|port| u16::try_from(port.as_u64()?).ok()).collect();
        Some(Self {
            replicas: number("k")?.try_into().ok()?,
            memory: layout.get("memory")?.as_bool()?,
            base_port: number("base_port")?.try_into().ok()?,
            ports: ports.filter(|ports| !ports.is_empty())?,
        })
    }

    pub(super) fn to_text(&self) -> String {
        let layout = json!({
            "k": self.replicas, "memory": self.memory, "base_port": self.base_port, "ports": self.ports,
        });
        format!("{layout}\n")
    }
}

/// Asks by taking it, and lets it go.
fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> Arguments {
        Arguments {
            nodes: None,
            k: None,
            dir: "lab".into(),
            base_port: None,
            memory: false,
            fresh: false,
            json: false,
        }
    }

    #[test]
    fn busy_ports_are_skipped_and_free_ones_are_always_the_same() {
        let layout = Layout::choose(&arguments(), |port| port != 8083).expect("enough ports");
        assert_eq!(layout.ports, [8081, 8082, 8084, 8085, 8086]);
        assert!(Layout::choose(&arguments(), |port| port < 8083).is_err());
    }

    #[test]
    fn a_layout_survives_its_text() {
        let layout = Layout {
            replicas: 3,
            memory: true,
            base_port: 9000,
            ports: vec![9000, 9002],
        };
        assert_eq!(Layout::from_text(&layout.to_text()), Some(layout));
        assert_eq!(Layout::from_text("{}"), None);
        assert_eq!(Layout::from_text(""), None);
    }
}
