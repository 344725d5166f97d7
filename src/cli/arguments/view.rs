//! The arguments of `causeway view`, `view add` and `view remove`.

use clap::{Args, Subcommand};

use super::Asking;
use crate::names::NodeId;

#[derive(Debug, Args)]
pub struct View {
    #[command(flatten)]
    pub asking: Asking,
    #[command(subcommand)]
    pub command: Option<ViewCommand>,
}

/// A change of the view.
#[derive(Debug, Subcommand)]
pub enum ViewCommand {
    /// Add a node that was started without VIEW, and wait until the new view serves
    Add(AddNode),
    /// Remove a node, dead or alive, and wait until the new view serves
    Remove(RemoveNode),
}

#[derive(Debug, Args)]
pub struct AddNode {
    /// The node's own address, its IPPORT
    #[arg(value_name = "IP:PORT")]
    pub address: NodeId,
    /// Refused with the reason: the parser would advise to write it as a value
    #[arg(long, hide = true)]
    pub force: bool,
    /// Show the effect of the change without making it
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct RemoveNode {
    /// The node's address, as the view lists it
    #[arg(value_name = "IP:PORT")]
    pub address: NodeId,
    /// Remove it even if no majority agrees or keys get lost; the output says how many slots lost their keys
    #[arg(long)]
    pub force: bool,
    /// Show the effect of the change without making it
    #[arg(long)]
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::parsed;
    use super::*;

    #[test]
    fn the_node_to_ask_may_stand_anywhere_in_a_view_command() {
        for words in [
            &["view", "remove", "b:2", "--force", "--node", "a:1", "--json"][..],
            &["view", "--node", "a:1", "--json", "remove", "b:2", "--force"],
        ] {
            let Ok(Command::View(view)) = parsed(words) else {
                panic!("{words:?} should be about the view");
            };
            assert_eq!((view.asking.node.0[0].as_str(), view.asking.json), ("a:1", true));
            let Some(ViewCommand::Remove(remove)) = view.command else {
                panic!("{words:?} should remove");
            };
            assert_eq!(
                (remove.address.as_str(), remove.force, remove.dry_run),
                ("b:2", true, false)
            );
        }
        let Ok(Command::View(view)) = parsed(&["view"]) else {
            panic!("it should show the view");
        };
        assert!(view.command.is_none() && view.asking.node.0[0].port() == 8080);
        for words in [
            &["view", "add"][..],
            &["view", "add", "b"],
            &["view", "swap", "b:2"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }
}
