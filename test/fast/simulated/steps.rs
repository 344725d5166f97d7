//! Searches the schedules of view changes in a few small clusters: real replicas
//! (`replication::Replica`) and the real driver (`view_change::Change`), with messages that are
//! lost, late and repeated, and nodes that restart. The agreement on views has its own model, next to
//! the code in `view_change`. Here views follow one another as a quorum could have chosen them.
//!
//! `cargo test --test simulated in_no_schedule -- --nocapture` prints the number of states; `--ignored`
//! searches larger clusters, for minutes.

use stateright::{Checker, Model};

use crate::model::heal::heal;
use crate::model::scenes::{after, first_removed, removal, there_and_back};
use crate::model::{REACHED, Steps};

/// Searches at most this many states, nearest to the beginning first.
fn check(name: &str, steps: Steps, steps_max: usize) {
    let checker = steps.clone().checker().threads(2);
    let checker = checker.target_state_count(steps_max).spawn_bfs().join();
    let all = if checker.state_count() < steps_max {
        "all"
    } else {
        "the nearest"
    };
    println!("{name}: {all} {} states", checker.unique_state_count());
    for (property, path) in checker.discoveries() {
        if property == REACHED {
            continue;
        }
        let actions = path.into_actions();
        let world = after(&steps, &actions);
        panic!(
            "{name}: not true: {property}\n{actions:?}\n{:?}",
            heal(&steps, &world)
        );
    }
    assert!(
        checker.discovery(REACHED).is_some(),
        "{name}: the end is never reached"
    );
}

#[test]
fn in_no_schedule_a_removal_loses_a_write_or_misleads_a_reader() {
    check("an owner is removed", removal(), 40_000);
}

#[test]
fn in_no_schedule_slots_that_come_back_lose_a_write_or_mislead_a_reader() {
    check("slots go and come back", there_and_back(), 150_000);
}

#[test]
fn in_no_schedule_slots_whose_first_owner_is_removed_lose_a_write_or_mislead_a_reader() {
    check("slots go, and their first owner too", first_removed(), 150_000);
}

#[test]
#[ignore = "takes minutes"]
fn in_no_schedule_of_larger_clusters_anything_goes_wrong() {
    const STEPS_MAX: usize = 400_000;
    let rarely = |steps: Steps| Steps { heals: 64, ..steps };
    let twice = |steps: Steps| Steps {
        writes: 2,
        ..rarely(steps)
    };
    check("removal", rarely(removal()), STEPS_MAX);
    check("removal with two writes", twice(removal()), STEPS_MAX);
    check(
        "removal with a copy",
        Steps {
            copies: true,
            ..rarely(removal())
        },
        STEPS_MAX,
    );
    check(
        "removal with a restart",
        Steps {
            restarts: 1,
            ..rarely(removal())
        },
        STEPS_MAX,
    );
    check(
        "there and back with two writes",
        twice(there_and_back()),
        STEPS_MAX,
    );
    check("first removed with two writes", twice(first_removed()), STEPS_MAX);
}
