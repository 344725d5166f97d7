//! The replica that the tests of this folder judge by.

use std::sync::Arc;

use crate::protocol::placement::examples::{first, member};
use crate::protocol::placement::next;
use crate::protocol::replication::ReplicaState;

/// Node 0 of three, each alone with its slots, in the second view, which changed nothing.
pub(super) fn state() -> ReplicaState {
    let one = first(1, 3, 0);
    let two = next::admit(&one, &[]);
    let mut state = ReplicaState::new(member(0));
    for view in [one, two] {
        let epoch = view.epoch;
        state.learn(&Arc::new(view));
        state.activate(epoch);
    }
    state
}
