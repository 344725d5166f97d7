//! Bounds the connections by file descriptors, so that clients that open many cannot take those that the
//! store and the peers need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the store's files, the streams of peers and other open files; a quarter, if the limit is low.
const RESERVED: usize = 256;

/// Raises the soft limit to the hard limit, and returns how many connections fit below it.
pub(super) fn room_for_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let most = getrlimit(Resource::Nofile).current;
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    most - RESERVED.min(most / 4)
}
