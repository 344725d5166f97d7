//! A model of the steps of a view change: it tries all steps in every order and checks properties after
//! each. `steps` in `test/fast/simulated` searches it; planted faults have schedules on it.

pub(crate) mod heal;
mod judge;
pub(crate) mod node;
pub(crate) mod scenes;
pub(crate) mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use causeway::names::{Epoch, Key, NodeId};
use causeway::protocol::causality::{Payload, Timestamp};
use causeway::protocol::placement::{View, is_quorum_of};
use causeway::protocol::replication::Closed;
use stateright::{Model, Property};

use heal::heal;
use node::Node;
use world::{Action, World, member, node};

/// The property that shows that the model gets anywhere at all.
pub(crate) const REACHED: &str = "all are in the last view";

/// The actions that may happen, and how often.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    /// The views in their order; the first one is active at the start.
    pub(crate) views: Vec<Arc<View>>,
    pub(crate) nodes: u64,
    pub(crate) key: Key,
    pub(crate) writes: u64,
    pub(crate) restarts: u64,
    /// True if slots are copied before they are handed over.
    pub(crate) copies: bool,
    /// One in this many states is healed and must recover; healing every state would take too long.
    pub(crate) heals: u64,
}

impl Steps {
    pub(crate) fn begin(&self) -> World {
        let one = &self.views[..1];
        let nodes = (0..self.nodes).map(|number| {
            let mut begun = Node::new(member(number));
            if one[0].lists(&node(number)) {
                begun.learn(one, &Closed::default());
                begun.activate(Epoch::FIRST);
            }
            begun
        });
        World {
            nodes: nodes.collect(),
            chosen: 1,
            written: Vec::new(),
            payload: Payload::default(),
            seen: Timestamp::ZERO,
            stable: Timestamp::ZERO,
            writes: 0,
            restarts: 0,
        }
    }

    /// The next view needs a quorum of votes from members that have the view before active.
    fn may_choose(&self, world: &World) -> bool {
        let Some(before) = self
            .views
            .get(world.chosen - 1)
            .filter(|_| world.chosen < self.views.len())
        else {
            return false;
        };
        let votes = |one: &&Node| one.state.active == before.epoch && before.is_member(&one.state.me);
        let agreeing: BTreeSet<NodeId> = world
            .nodes
            .iter()
            .filter(votes)
            .map(|one| one.state.me.node.clone())
            .collect();
        is_quorum_of(&agreeing, &before.nodes().cloned().collect())
    }
}

impl Model for Steps {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.begin()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let all = || 0..world.nodes.len();
        let pairs = || all().flat_map(|one| all().map(move |other| (one, other)));
        let pairs = || pairs().filter(|(one, other)| one != other);
        if world.writes < self.writes {
            actions.extend(all().map(Action::Write));
        }
        if world.restarts < self.restarts {
            actions.extend(all().map(Action::Restart));
        }
        if self.may_choose(world) {
            actions.push(Action::Choose);
        }
        actions.extend(all().map(Action::Read));
        let records = 0..world.written.len();
        actions.extend(records.flat_map(|record| all().map(move |to| Action::Push(record, to))));
        actions.extend(pairs().map(|(one, other)| Action::Gossip(one, other)));
        actions.extend(pairs().map(|(one, other)| Action::Exchange(one, other)));
        if world.chosen > 1 {
            actions.extend(all().map(Action::Seal));
            actions.extend(all().map(Action::Activate));
            actions.extend(all().map(Action::CleanUp));
            actions.extend(all().map(Action::Close));
            actions.extend(pairs().map(|(one, other)| Action::TakeOver(one, other)));
            actions.extend(pairs().map(|(one, other)| Action::Return(one, other)));
            if self.copies {
                actions.extend(pairs().map(|(one, other)| Action::Copy(one, other)));
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        if !world.act(self, &action) {
            return None;
        }
        world.note_stable();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("no write is lost", |_, world: &World| !world.is_lost()),
            Property::always("no reader gets a stale value", |steps: &Self, world: &World| {
                !world.may_read_stale(steps)
            }),
            Property::sometimes(REACHED, |steps: &Self, world: &World| {
                let last = steps.views.last().expect("there are views");
                let is_there = |one: &Node| one.state.active == last.epoch || !last.is_member(&one.state.me);
                world.nodes.iter().all(is_there)
            }),
        ];
        properties.push(Property::always(
            "all is well in the end",
            |steps: &Self, world: &World| {
                !world.fingerprint().is_multiple_of(steps.heals) || heal(steps, world).is_ok()
            },
        ));
        properties
    }
}
