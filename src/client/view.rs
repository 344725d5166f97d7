//! Changing the view: adding a node, removing one, and what came of it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use super::status::texts;
use super::{Client, ClientError, ESCAPED, Reply};
use crate::names::NodeId;

/// A node gives up waiting for the end of a change after `VIEW_CHANGE_TIMEOUT`, 60 s unless it is set, and
/// says what it waits for; it must have the time to.
const VIEW_CHANGE_PATIENCE: Duration = Duration::from_secs(70);

/// A change that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewChange {
    pub node: NodeId,
    pub kind: ViewChangeKind,
    /// Only to be told what would happen.
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewChangeKind {
    Add,
    /// Forced: also if no majority can be asked, and if keys are given up.
    Remove {
        force: bool,
    },
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum ViewChanged {
    Changed(Updated),
    /// A dry run: nothing was changed.
    Preview(Preview),
}

/// The new view serves.
#[derive(Debug, Clone)]
pub struct Updated {
    /// Of the node that was added; -1 for a proxy.
    pub partition_id: Option<i64>,
    pub number_of_partitions: i64,
    /// The new view, where the node says so.
    pub epoch: Option<i64>,
    /// What was given up by force, in words.
    pub warning: Option<String>,
    pub reply: Reply,
}

/// What would happen.
#[derive(Debug, Clone)]
pub struct Preview {
    pub before: Layout,
    pub after: Layout,
    pub slots_moved: i64,
    pub keys_moved: i64,
    pub slots_given_up: i64,
    pub reply: Reply,
}

/// Who is where in a view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The nodes of each partition, by partition id.
    pub partitions: Vec<Vec<String>>,
    pub proxies: Vec<String>,
}

impl Client {
    /// Adds a node to the view or removes one, through the node that answered last; returns when the new
    /// view serves, which may take as long as the copying of keys.
    pub async fn change_view(&self, change: &ViewChange) -> Result<ViewChanged, ClientError> {
        let reply = self.write(&change.request(), VIEW_CHANGE_PATIENCE).await?;
        if !reply.status.is_success() {
            return Err(ClientError::Refused(Box::new(reply)));
        }
        if change.dry_run {
            Preview::from_reply(reply).map(ViewChanged::Preview)
        } else {
            Updated::from_reply(reply).map(ViewChanged::Changed)
        }
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
    /// The node's own words.
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Changed(updated) => &updated.reply,
            Self::Preview(preview) => &preview.reply,
        }
    }
}

impl Updated {
    fn from_reply(reply: Reply) -> Result<Self, ClientError> {
        Ok(Self {
            partition_id: reply.number("partition_id"),
            number_of_partitions: required(&reply, "number_of_partitions")?,
            epoch: reply.number("epoch"),
            warning: reply.text("warning").map(str::to_owned),
            reply,
        })
    }
}

impl Preview {
    fn from_reply(reply: Reply) -> Result<Self, ClientError> {
        // A node that does not know dry runs would have changed the view.
        if reply.body.get("dry_run").and_then(Value::as_bool) != Some(true) {
            return Err(reply.garbled("it does not say that this was a dry run; look at the view"));
        }
        Ok(Self {
            before: Layout::read(&reply, "before")?,
            after: Layout::read(&reply, "after")?,
            slots_moved: required(&reply, "slots_moved")?,
            keys_moved: required(&reply, "keys_moved")?,
            slots_given_up: required(&reply, "slots_given_up")?,
            reply,
        })
    }
}

impl Layout {
    fn read(reply: &Reply, field: &str) -> Result<Self, ClientError> {
        let layout = reply.body.get(field).filter(|layout| layout.is_object());
        let layout = layout.ok_or_else(|| missing(reply, field))?;
        let partitions = layout.get("partitions").and_then(Value::as_array);
        Ok(Self {
            partitions: partitions.map_or_else(Vec::new, |all| all.iter().map(texts).collect()),
            proxies: layout.get("proxies").map_or_else(Vec::new, texts),
        })
    }
}

fn required(reply: &Reply, field: &str) -> Result<i64, ClientError> {
    reply.number(field).ok_or_else(|| missing(reply, field))
}

fn missing(reply: &Reply, field: &str) -> ClientError {
    reply.garbled(format!("no {field} in its reply"))
}
