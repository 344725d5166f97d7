//! The layout of a lab: the number of nodes, their ports, the place of their data.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::super::arguments::Lab as Arguments;
use crate::names::NodeId;
use crate::terminal::Failure;

const NODES_DEFAULT: u16 = 5;
const SPARES_DEFAULT: u16 = 1;
const REPLICAS_DEFAULT: u32 = 2;
const BASE_PORT_DEFAULT: u16 = 8081;

/// Ports that are tried, from the base on, to find free ones.
const PORTS_TRIED: u16 = 1000;

/// The layout of a lab. It never changes; `--fresh` makes another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) replicas: u32,
    pub(super) memory: bool,
    pub(super) base_port: u16,
    /// The ports of the nodes of the first view.
    pub(super) ports: Vec<u16>,
    /// The ports of the nodes that wait, or waited once, to be added.
    pub(super) spare_ports: Vec<u16>,
}

impl Layout {
    /// The nodes of the first view.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        addresses(&self.ports)
    }

    pub(super) fn spares(&self) -> Vec<NodeId> {
        addresses(&self.spare_ports)
    }

    /// A new lab as requested, on the first free ports from the base on: the same ones each time.
    pub(super) fn choose_free(arguments: &Arguments) -> Result<Self, Failure> {
        Self::choose(arguments, is_free)
    }

    fn choose(arguments: &Arguments, is_free: impl Fn(u16) -> bool) -> Result<Self, Failure> {
        let nodes = usize::from(arguments.nodes.unwrap_or(NODES_DEFAULT));
        let count = nodes + usize::from(arguments.spare.unwrap_or(SPARES_DEFAULT));
        let base_port = arguments.base_port.unwrap_or(BASE_PORT_DEFAULT);
        let candidates = base_port..=base_port.saturating_add(PORTS_TRIED);
        let mut ports: Vec<u16> = candidates.filter(|port| is_free(*port)).take(count).collect();
        if ports.len() < count {
            let text =
                format!("there are not {count} free ports from {base_port} on; choose another --base-port");
            return Err(Failure::Failed(text));
        }
        let spare_ports = ports.split_off(nodes);
        Ok(Self {
            replicas: arguments.k.unwrap_or(REPLICAS_DEFAULT),
            memory: arguments.memory,
            base_port,
            ports,
            spare_ports,
        })
    }

    /// An earlier lab, if it is as requested and its ports are free.
    pub(super) fn wanted(self, arguments: &Arguments) -> Result<Self, Failure> {
        let other =
            |asked: Option<u16>, ports: &[u16]| asked.is_some_and(|asked| usize::from(asked) != ports.len());
        let other_nodes = other(arguments.nodes, &self.ports) || other(arguments.spare, &self.spare_ports);
        let other_replicas = arguments.k.is_some_and(|k| k != self.replicas);
        let other_base = arguments.base_port.is_some_and(|port| port != self.base_port);
        if other_nodes || other_replicas || other_base || (arguments.memory && !self.memory) {
            return Err(Failure::Usage(format!(
                "the lab in {} has {} from port {} on, K={}, {}; leave these arguments out to continue it, \
                 or use --fresh to wipe it, or --dir for another one",
                arguments.dir.display(),
                self.size(),
                self.base_port,
                self.replicas,
                if self.memory { "in memory" } else { "on disk" },
            )));
        }
        let busy: Vec<String> = self
            .ports
            .iter()
            .chain(&self.spare_ports)
            .filter(|port| !is_free(**port))
            .map(u16::to_string)
            .collect();
        if busy.is_empty() {
            return Ok(self);
        }
        Err(Failure::Failed(format!(
            "the lab in {} needs its ports, but another process listens on {}; stop that process, or use --fresh",
            arguments.dir.display(),
            busy.join(", ")
        )))
    }

    /// How many nodes there are, in words.
    pub(super) fn size(&self) -> String {
        let count = |number: usize, one: &str, many: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {many}"),
        };
        let nodes = count(self.ports.len(), "node", "nodes");
        match self.spare_ports.len() {
            0 => nodes,
            spares => format!("{nodes} and {}", count(spares, "spare", "spares")),
        }
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let layout: Value = serde_json::from_str(text).ok()?;
        let number = |field: &str| layout.get(field)?.as_u64();
        let ports = |list: &Value| -> Option<Vec<u16>> {
            let ports = list.as_array()?.iter();
            ports.map(|port| u16::try_from(port.as_u64()?).ok()).collect()
        };
        // A marker that does not mention spares belongs to a lab without any.
        let spare_ports = layout.get("spare_ports").map_or(Some(Vec::new()), ports)?;
        Some(Self {
            replicas: number("k")?.try_into().ok()?,
            memory: layout.get("memory")?.as_bool()?,
            base_port: number("base_port")?.try_into().ok()?,
            ports: ports(layout.get("ports")?).filter(|ports| !ports.is_empty())?,
            spare_ports,
        })
    }

    pub(super) fn to_text(&self) -> String {
        let layout = json!({
            "k": self.replicas, "memory": self.memory, "base_port": self.base_port, "ports": self.ports,
            "spare_ports": self.spare_ports,
        });
        format!("{layout}\n")
    }
}

fn addresses(ports: &[u16]) -> Vec<NodeId> {
    let address = |port: &u16| format!("127.0.0.1:{port}").parse().expect("is an address");
    ports.iter().map(address).collect()
}

/// Tests a port by binding it for a moment.
fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> Arguments {
        Arguments {
            nodes: None,
            spare: None,
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
        assert_eq!(layout.spare_ports, [8087]);
        assert!(Layout::choose(&arguments(), |port| port < 8083).is_err());
    }

    #[test]
    fn a_layout_survives_its_text() {
        let layout = Layout {
            replicas: 3,
            memory: true,
            base_port: 9000,
            ports: vec![9000, 9002],
            spare_ports: vec![9003],
        };
        assert_eq!(Layout::from_text(&layout.to_text()), Some(layout));
        let earlier = r#"{"k":2,"memory":false,"base_port":9000,"ports":[9000]}"#;
        let earlier = Layout::from_text(earlier).expect("is a layout");
        assert_eq!((earlier.ports.len(), earlier.spare_ports.len()), (1, 0));
        assert_eq!(Layout::from_text("{}"), None);
        assert_eq!(Layout::from_text(""), None);
    }
}
