//! The operations that a client asks for: separate from the parser that reads them, because the files that
//! answer need only these types.

use bytes::Bytes;

use crate::names::Key;
use crate::node::ViewRequest;
use crate::protocol::replication;
use crate::wire::peer::Listing;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    Get {
        key: Key,
        payload: String,
        form: Form,
    },
    Put {
        key: Key,
        value: Bytes,
        payload: String,
    },
    Delete {
        key: Key,
        payload: String,
    },
    List {
        listing: Listing,
        payload: String,
    },
    Batch {
        operations: Vec<replication::Operation>,
        payload: String,
    },
    PlainGet {
        key: Key,
    },
    PlainSet {
        key: Key,
        value: Bytes,
    },
    UpdateView(ViewRequest),
    Ask(Question),
    Home,
    Status,
    Alive,
    Ready {
        verbose: bool,
    },
    /// Which methods a path takes.
    Options {
        allow: &'static str,
    },
}

/// The form in which the client wants a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Bytes,
}

/// The information endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    PartitionId,
    AllPartitionIds,
    PartitionMembers(i64),
    NodeDetails,
    AllReplicas,
}
