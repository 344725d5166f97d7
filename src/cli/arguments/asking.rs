//! The arguments of every command that asks a node.

use std::str::FromStr;

use clap::Args;

use crate::names::NodeId;
use crate::terminal::given::unquoted;

/// One or more nodes to ask, in this order.
#[derive(Debug, Clone)]
pub struct Nodes(pub Vec<NodeId>);

impl FromStr for Nodes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = unquoted(text)?;
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let mut nodes: Vec<NodeId> = Vec::new();
        for entry in entries {
            let node = entry.parse().map_err(|error| format!("{error}"))?;
            // Asking a node twice would change nothing.
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        if nodes.is_empty() {
            return Err("no node is named; write host:port".into());
        }
        Ok(Self(nodes))
    }
}

/// The node that is asked if none is named.
pub(in crate::cli) const NODE_DEFAULT: &str = "127.0.0.1:8080";

/// The nodes to ask, and the form of the output.
#[derive(Debug, Args)]
pub struct Asking {
    /// The node to ask, or several: if one does not answer, the next is asked
    #[arg(
        long,
        env = "CAUSEWAY_NODE",
        default_value = NODE_DEFAULT,
        value_name = "HOST:PORT,…",
        global = true
    )]
    pub node: Nodes,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_nodes_keep_their_order() {
        let nodes: Nodes = "b:2, a:1,B.:02,".parse().expect("two nodes");
        let texts: Vec<&str> = nodes.0.iter().map(NodeId::as_str).collect();
        assert_eq!(texts, ["b:2", "a:1"]);
        assert!(" , ".parse::<Nodes>().is_err());
        assert!("a".parse::<Nodes>().is_err());
    }
}
