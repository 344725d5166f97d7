//! Checks that the node at the other end of a link is the one that was called.
//!
//! A node knows its peers by name: an acknowledgement counts for the member that was called. A pasted
//! IPPORT, a swapped port or a proxy leads to another node, which would answer in that member's name.

use crate::names::NodeId;
use crate::planted::{self, Fault};
use crate::wire::peer::Greeting;

/// Why this node refuses a peer that greets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Unfit {
    pub text: String,
    pub is_other_cluster: bool,
}

/// Refuses a peer that greets with another name than the one that was called.
pub(crate) fn check_name(called: &NodeId, ours: &Greeting, theirs: &Greeting) -> Result<(), Unfit> {
    let other = &theirs.member.node;
    if other.is_same_address(called) || planted::is(Fault::OtherNamesBelieved) {
        return Ok(());
    }
    let text = if theirs.boot == ours.boot {
        format!(
            "that address leads to this very node, whose IPPORT is {other}; set it to {called} if that is this node"
        )
    } else {
        format!(
            "the node there calls itself {other}; set its IPPORT to {called}, or mend the port or proxy that leads to it"
        )
    };
    Err(Unfit {
        text,
        is_other_cluster: false,
    })
}
