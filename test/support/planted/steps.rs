//! Schedules that the model of a change's steps (`test/support/model`) found, on its replicas.

use std::collections::BTreeSet;

use causeway::protocol::causality::VersionVector;
use causeway::protocol::replication::may_read;

use super::Seen;
use crate::model::Steps;
use crate::model::heal::heal;
use crate::model::scenes::{after, first_removed, removal, there_and_back};
use crate::model::world::Action;
use crate::model::world::Action::{Activate, Choose, CleanUp, Copy, Exchange, Seal, TakeOver, Write};

fn safe(steps: &Steps, actions: &[Action]) -> Seen {
    let world = after(steps, actions);
    if world.is_lost() {
        return Err("a write is nowhere any more".to_owned());
    }
    if world.may_read_stale(steps) {
        return Err("a reader was told what came before".to_owned());
    }
    heal(steps, &world)
}

/// n0 is removed with a write that only it has, and activates the next view before any node took it.
pub(crate) fn a_removed_owner_that_goes_first() -> Seen {
    safe(&removal(), &[Write(0), Choose, Activate(0)])
}

/// n2 copied a write of n0, which is passed over before it hands over: no giver vouches for the copy.
pub(crate) fn a_copy_whose_giver_is_passed_over() -> Seen {
    let steps = Steps {
        copies: true,
        ..removal()
    };
    let world = after(&steps, &[Write(0), Choose, Copy(2, 0), Activate(1), Activate(2)]);
    let replica = &world.nodes[2];
    let region = replica.state.region_of(steps.key.slot());
    let holds = region
        .map(|region| replica.state.holds(region))
        .unwrap_or_default();
    match replica.valid().filter(|record| !holds.includes(record.dot())) {
        None => heal(&steps, &world),
        Some(_) => Err("a replica has a record that its vectors do not speak of".to_owned()),
    }
}

/// n0 is removed with a write that no other node has, and does not return in time: the others must not
/// make its reader wait for ever.
pub(crate) fn a_reader_of_what_nobody_has() -> Seen {
    let steps = removal();
    let actions = [
        Write(0),
        Choose,
        Activate(1),
        Activate(2),
        Exchange(1, 2),
        Exchange(2, 1),
    ];
    let mut world = after(&steps, &actions);
    let removed = BTreeSet::from([world.nodes[0].state.id]);
    for owner in [1, 2] {
        world.nodes[owner].state.expire(&removed);
    }
    for exchange in [Exchange(1, 2), Exchange(2, 1)] {
        world.act(&steps, &exchange);
    }
    let state = &world.nodes[1].state;
    match may_read(state, &VersionVector::default(), steps.key.slot(), &world.payload) {
        Ok(_) => heal(&steps, &world),
        Err(reason) => Err(format!("a reader waits for ever: {reason:?}")),
    }
}

/// n1 took a write in slots that it owned for a while, and was removed before n0 had it: n0 may not
/// answer that the key is absent.
pub(crate) fn slots_that_come_back_without_what_was_written_elsewhere() -> Seen {
    let actions = [
        Choose,
        Seal(0),
        TakeOver(1, 0),
        Activate(0),
        Activate(1),
        Write(1),
        Choose,
        CleanUp(0),
        Activate(0),
    ];
    safe(&there_and_back(), &actions)
}

/// n0 keeps what n1 did not take before activating: n1 may not answer that the key is absent.
pub(crate) fn a_new_owner_that_took_nothing() -> Seen {
    safe(&first_removed(), &[Write(0), Choose, Activate(1), Activate(0)])
}
