//! The clusters that the model searches, and a way to run one schedule on them.

use causeway::names::Key;
use causeway::protocol::placement::View;
use stateright::Model;

use super::Steps;
use super::world::{Action, World, first, minus, node, plus};

/// A key that these nodes own in these views.
fn key_of(owners: &[(&View, u64)]) -> Key {
    let keys = (0..).map(|number| Key::new(&format!("k{number}")).expect("is a key"));
    let is_owned = |key: &Key| {
        let owns = |(view, number): &(&View, u64)| view.owners(key.slot()).contains(&node(*number));
        owners.iter().all(owns)
    };
    keys.into_iter().find(is_owned).expect("some key moves like this")
}

/// K = 2: the proxy takes the place of node 0, which is removed.
pub(crate) fn removal() -> Steps {
    let one = first(2, 3);
    let two = minus(&[&one], 0);
    Steps {
        key: key_of(&[(&one, 0)]),
        views: vec![one, two],
        nodes: 3,
        writes: 1,
        restarts: 0,
        copies: false,
        heals: 8,
    }
}

/// K = 1: half of the slots of node 0 go to node 1, and come back when it is removed.
pub(crate) fn there_and_back() -> Steps {
    let one = first(1, 1);
    let two = plus(&one, 1);
    let three = minus(&[&one, &two], 1);
    Steps {
        key: key_of(&[(&one, 0), (&two, 1)]),
        views: vec![one, two, three],
        nodes: 2,
        writes: 1,
        restarts: 0,
        copies: true,
        heals: 8,
    }
}

/// K = 1: the same, but node 0 is removed.
pub(crate) fn first_removed() -> Steps {
    let mut steps = there_and_back();
    steps.views[2] = minus(&[&steps.views[0], &steps.views[1]], 0);
    steps
}

/// The world after these actions, each of which must be possible.
pub(crate) fn after(steps: &Steps, actions: &[Action]) -> World {
    actions.iter().fold(steps.begin(), |world, action| {
        let next = steps.next_state(&world, action.clone());
        next.unwrap_or_else(|| panic!("{action:?} comes to nothing"))
    })
}
