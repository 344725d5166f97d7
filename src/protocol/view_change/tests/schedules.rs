//! Checks the register against every schedule of its model: two views are never chosen (I10). Planted
//! faults show that the model notices.

use stateright::{Checker, Model};

use super::model::{Planted, Register};

/// True if two views can be chosen, and how many states were explored.
fn two_views(register: Register) -> (bool, usize) {
    let checker = register.checker().threads(2).spawn_bfs().join();
    let found = checker.discovery("one view").is_some();
    if !found {
        checker.assert_properties();
    }
    (found, checker.unique_state_count())
}

#[test]
fn in_no_schedule_of_three_nodes_two_views_are_chosen() {
    let (found, states) = two_views(Register::new(3, 1, Planted::Nothing));
    println!("{states} states");
    assert!(!found);
}

#[test]
fn in_no_schedule_of_four_nodes_two_views_are_chosen() {
    let (found, states) = two_views(Register::new(4, 1, Planted::Nothing));
    println!("{states} states");
    assert!(!found);
}

#[test]
fn planted_faults_of_the_register_are_caught() {
    for (count, restarts, planted) in [
        (3, 0, Planted::PromisesForgotten),
        (3, 0, Planted::AcceptancesForgotten),
        (4, 0, Planted::HalfIsAQuorum),
        (3, 1, Planted::BallotsReused),
        (3, 0, Planted::EarlierIgnored),
    ] {
        let (found, states) = two_views(Register::new(count, restarts, planted));
        println!("{planted:?}: {states} states");
        assert!(found, "{planted:?}");
    }
}
