//! View changes: joining, requesting a change, choosing the next view, and carrying it out.
//!
//! A request (`request`) is checked (`preflight`), chosen (`propose`), driven by one node (`drive`) and
//! followed by all (`follow`, `copy`). A node that leaves hands over what it kept (`retire`). What an
//! earlier life left behind (`left_behind`) comes back through `admission`. `join` finds a place for a node
//! without a view; `watch` takes over a change whose driver dies.

pub(super) mod admission;
pub(super) mod copy;
pub(super) mod drive;
pub(super) mod follow;
pub(super) mod join;
pub(super) mod left_behind;
pub(super) mod preflight;
pub(super) mod propose;
pub(super) mod request;
pub(super) mod retire;
pub(super) mod view_request;
pub(super) mod watch;
