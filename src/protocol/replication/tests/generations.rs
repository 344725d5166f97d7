//! Lines of views: a decision without a quorum begins one that outranks the line which it left, and
//! members of that line stop serving.

use super::*;
use crate::protocol::replication::Ending;

/// The number and the generation of each view that is known.
fn known(state: &ReplicaState) -> Vec<(u64, u32)> {
    let epochs = state.views.keys();
    epochs
        .map(|epoch| (epoch.number(), epoch.line().generation()))
        .collect()
}

#[test]
fn a_view_is_news_once() {
    let one = first(2, 3);
    let mut state = state(&member(0), &[&one]);
    let two = same(&one);
    assert!(state.learn(&two) && !state.learn(&two) && !state.learn(&one));
    assert!(state.newest() == Some(&two) && state.view() == Some(&one));
}

#[test]
fn a_line_takes_the_place_of_every_view_of_the_one_that_it_outranks() {
    let one = first(2, 3);
    let two = minus(&one, 2);
    let three = same(&two);
    let mut state = state(&member(0), &[&one]);
    assert!(state.learn(&two) && state.learn(&three));
    let other = forked(&minus(&one, 1));
    assert!(state.learn(&other) && state.ended.is_none());
    assert_eq!(known(&state), [(1, 0), (2, 1)]);
    // The other line is remembered as lost, whatever its epochs' numbers.
    assert!(state.lost.keys().eq([&two.epoch, &three.epoch]));
    assert!(!state.learn(&two) && state.learn(&same(&three)) && !state.learn(&same(&three)));
    assert!(state.learn(&same(&other)));
    assert_eq!(known(&state), [(1, 0), (2, 1), (3, 1)]);
    assert_eq!(state.lost.len(), 3);
}

#[test]
fn an_earlier_view_of_a_lower_line_is_the_way_to_one_that_was_forked() {
    let one = first(2, 3);
    let two = minus(&one, 2);
    let mut state = ReplicaState::new(member(0));
    assert!(state.learn(&forked(&same(&two))) && state.learn(&two) && state.learn(&one));
    assert_eq!(known(&state), [(1, 0), (2, 0), (3, 1)]);
}

#[test]
fn a_member_of_an_outranked_line_stops_serving() {
    let one = first(2, 3);
    let (two, won) = (minus(&one, 2), forked(&minus(&one, 1)));
    let [mut left, other] = [0, 1].map(|number| Node::new(&member(number), &[&one, &two]));
    let slot = Slot(0);
    assert!(read(&left.state, slot, &[]).is_ok());
    let ask = left.state.ask_steady();
    assert!(left.state.learn(&won) && !left.state.learn(&won));
    assert!(left.state.ended == Some(Ending::Outranked) && !left.state.is_member());
    assert_eq!(read(&left.state, slot, &[]), Err(NotHere::NotOwner));
    let write = crate::protocol::replication::may_write(&left.state, slot, Epoch(2));
    assert_eq!(write, Err(NotHere::NotOwner));
    let (given, _) = other.give(&ask).expect("is given");
    assert_eq!(left.state.take_steady(&ask, &given), Err(NoExchange::NotListed));
    assert_eq!(left.give(&ask).err(), Some(NoExchange::NotListed));
    // It does not join the other line with what it has of this one either.
    let after = same(&won);
    assert!(left.state.learn(&after));
    left.state.activate(after.epoch);
    assert_eq!(left.state.active, Epoch(2));
    assert_eq!(left.state.routing(), Some(&after));
}
