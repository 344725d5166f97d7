//! Changes the view: adds or removes a node, and reads the outcome.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use super::{Client, ClientError, ESCAPED, Reply};
use crate::names::NodeId;
use crate::wire::public::{ViewPreview, ViewUpdated};

/// A node stops waiting for the end of a change after `VIEW_CHANGE_TIMEOUT`, 60 s unless it is set, and
/// says what it waits for; it must have the time to.
const VIEW_CHANGE_PATIENCE: Duration = Duration::from_secs(70);

/// A requested change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewChange {
    pub node: NodeId,
    pub kind: ViewChangeKind,
    /// True to learn only what would happen.
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewChangeKind {
    Add,
    /// Forced: even if no majority is reachable, and if keys are given up.
    Remove {
        force: bool,
    },
}

/// The outcome of a change, with the reply of the node.
#[derive(Debug, Clone)]
pub enum ViewChanged {
    /// The new view serves.
    Changed(ViewUpdated, Reply),
    /// A dry run: nothing was changed.
    Preview(ViewPreview, Reply),
}

impl Client {
    /// Adds a node to the view or removes one, through the node that answered last. Returns when the new
    /// view serves, which may take as long as the copying of keys.
    pub async fn change_view(&self, change: &ViewChange) -> Result<ViewChanged, ClientError> {
        let reply = self.write(&change.request(), VIEW_CHANGE_PATIENCE).await?;
        if !reply.status.is_success() {
            return Err(ClientError::Refused(Box::new(reply)));
        }
        if !change.dry_run {
            return Ok(ViewChanged::Changed(reply.read()?, reply));
        }
        // A node that does not know dry runs would have changed the view.
        if reply.body.get("dry_run").and_then(Value::as_bool) != Some(true) {
            return Err(reply.garbled("it does not say that this was a dry run; look at the view"));
        }
        Ok(ViewChanged::Preview(reply.read()?, reply))
    }
}

impl ViewChange {
    fn request(&self) -> Request<Bytes> {
        let (kind, force) = match self.kind {
            ViewChangeKind::Add => ("add", false),
            ViewChangeKind::Remove { force } => ("remove", force),
        };
        let node = utf8_percent_encode(self.node.as_str(), ESCAPED);
        let mut target = format!("/kv-store/update_view?type={kind}&ip_port={node}");
        for (flag, is_set) in [("force", force), ("dry_run", self.dry_run)] {
            if is_set {
                target.push_str(&format!("&{flag}=true"));
            }
        }
        let request = Request::put(target).header(header::ACCEPT, "application/json");
        request
            .body(Bytes::new())
            .expect("an escaped address fits into a request")
    }
}

impl ViewChanged {
    /// The node's own reply.
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Changed(_, reply) | Self::Preview(_, reply) => reply,
        }
    }
}
