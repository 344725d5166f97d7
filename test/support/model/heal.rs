//! From any state on, lets every node answer and checks that the cluster recovers. The change is driven
//! to its end as `view_change::Change` says. Nodes that were passed over catch up, kept slots return to
//! their owners, epochs close.

use std::collections::{BTreeMap, BTreeSet};

use causeway::names::{Epoch, MemberId};
use causeway::protocol::causality::Record;
use causeway::protocol::view_change::{Change, Order, Phase, Report};

use super::Steps;
use super::world::{Action, World};

/// More rounds than any successful recovery takes.
const ROUNDS: u64 = 60;

/// One node, as the driver of the change sees it.
#[derive(Default)]
struct Part {
    copied: bool,
    through_with: BTreeSet<MemberId>,
}

/// Says what is still wrong when no further step is possible.
pub(crate) fn heal(steps: &Steps, world: &World) -> Result<(), String> {
    let mut world = world.clone();
    world.act_if_possible(steps);
    drive(steps, &mut world)?;
    settle(steps, &mut world);
    judge(steps, &world)
}

impl World {
    /// Every node learns of a chosen view, one after the other.
    fn act_if_possible(&mut self, steps: &Steps) {
        for number in 0..self.nodes.len() {
            self.act(steps, &Action::Close(number));
        }
    }
}

fn drive(steps: &Steps, world: &mut World) -> Result<(), String> {
    let Some(before) = world.chosen.checked_sub(2).map(|at| &steps.views[at]) else {
        return Ok(());
    };
    let after = &steps.views[world.chosen - 1];
    let mut change = Change::new(Some(before), after, 0, |_| 0);
    let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
    for round in 0..ROUNDS {
        let order = change.order();
        if order.phase == Phase::Done {
            return Ok(());
        }
        for number in 0..world.nodes.len() {
            let node = world.nodes[number].state.me.node.clone();
            if !change.nodes().any(|other| *other == node) {
                continue;
            }
            let part = parts.entry(number).or_default();
            follow(steps, world, number, &order, part);
            let report = report(world, number, part);
            change.heard(&node, report, round);
        }
        change.step(round);
    }
    Err("the change does not come to its end".to_owned())
}

fn follow(steps: &Steps, world: &mut World, number: usize, order: &Order, part: &mut Part) {
    let others = 0..world.nodes.len();
    match order.phase {
        Phase::Copy => {
            part.copied = true;
            if steps.copies {
                for other in others.filter(|other| *other != number) {
                    world.act(steps, &Action::Copy(number, other));
                }
            }
        }
        Phase::Seal => {
            world.act(steps, &Action::Seal(number));
        }
        Phase::HandOver => {
            world.act(steps, &Action::Seal(number));
            for other in others {
                let giver = world.nodes[other].state.id;
                if order.givers.contains(&giver) && part.through_with.insert(giver) {
                    world.act(steps, &Action::TakeOver(number, other));
                }
            }
        }
        Phase::Activate | Phase::Done => {
            world.act(steps, &Action::Activate(number));
        }
    }
}

fn report(world: &World, number: usize, part: &Part) -> Report {
    let state = &world.nodes[number].state;
    Report {
        by: state.id,
        knows: true,
        active: state.active,
        sealed: state.sealed,
        copied: part.copied,
        keys_moved: 0,
        keys_to_go: 0,
        through_with: part.through_with.clone(),
    }
}

/// Runs the steps that nodes take by themselves, until no step changes anything.
fn settle(steps: &Steps, world: &mut World) {
    for _ in 0..ROUNDS {
        let before = world.fingerprint();
        let all = 0..world.nodes.len();
        for one in all.clone() {
            world.act(steps, &Action::Activate(one));
            for other in all.clone().filter(|other| *other != one) {
                world.act(steps, &Action::Exchange(one, other));
                world.act(steps, &Action::Gossip(one, other));
            }
            world.act(steps, &Action::Close(one));
            world.act(steps, &Action::CleanUp(one));
            for other in all.clone().filter(|other| *other != one) {
                world.act(steps, &Action::Return(one, other));
            }
        }
        if before == world.fingerprint() {
            return;
        }
    }
}

fn judge(steps: &Steps, world: &World) -> Result<(), String> {
    let view = &steps.views[world.chosen - 1];
    let last = world.written.iter().map(Record::timestamp).max();
    for replica in &world.nodes {
        let state = &replica.state;
        let wrong = |what: &str| Err(format!("{}: {what}: {state:?}", state.me.node));
        if !view.is_member(&state.me) {
            if state.active != Epoch::NONE || replica.record().is_some() {
                return wrong("is not listed, and has not begun anew");
            }
            continue;
        }
        if state.active != view.epoch {
            return wrong("is not in the last view");
        }
        if !state.is_ready() || !state.gone.is_empty() {
            return wrong("is not ready");
        }
        if !state.kept.is_empty() {
            return wrong("keeps what others have");
        }
        if state.closed.below != state.active {
            return wrong("an earlier epoch is open");
        }
        if replica.owns(steps.key.slot()) {
            if replica.record().map(Record::timestamp) != last {
                return wrong("lacks the last write");
            }
        } else if replica.record().is_some() {
            return wrong("has what it does not own");
        }
    }
    Ok(())
}
