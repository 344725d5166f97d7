//! Lines of views: a decision without a quorum begins one that outranks the line which it left, and whoever
//! followed that line serves no more.

use super::*;
use crate::protocol::replication::Ending;

/// The number and the generation of each view that is known.
fn known(facts: &Facts) -> Vec<(u64, u32)> {
    let epochs = facts.views.keys();
    epochs
        .map(|epoch| (epoch.number(), epoch.line().generation()))
        .collect()
}

#[test]
fn a_view_is_news_once() {
    let one = first(2, 3);
    let mut facts = facts(&member(0), &[&one]);
    let two = same(&one);
    assert!(facts.learn(&two) && !facts.learn(&two) && !facts.learn(&one));
    assert!(facts.newest() == Some(&two) && facts.view() == Some(&one));
}

#[test]
fn a_line_takes_the_place_of_every_view_of_the_one_that_it_outranks() {
    let one = first(2, 3);
    let two = minus(&one, 2);
    let three = same(&two);
    let mut facts = facts(&member(0), &[&one]);
    assert!(facts.learn(&two) && facts.learn(&three));
    let other = forked(&minus(&one, 1));
    assert!(facts.learn(&other) && facts.ended.is_none());
    assert_eq!(known(&facts), [(1, 0), (2, 1)]);
    // Of the other line is remembered that it is lost, whatever its number.
    assert!(facts.lost.keys().eq([&two.epoch, &three.epoch]));
    assert!(!facts.learn(&two) && facts.learn(&same(&three)) && !facts.learn(&same(&three)));
    assert!(facts.learn(&same(&other)));
    assert_eq!(known(&facts), [(1, 0), (2, 1), (3, 1)]);
    assert_eq!(facts.lost.len(), 3);
}

#[test]
fn an_earlier_view_of_a_lower_line_is_the_way_to_one_that_was_forked() {
    let one = first(2, 3);
    let two = minus(&one, 2);
    let mut facts = Facts::new(member(0));
    assert!(facts.learn(&forked(&same(&two))) && facts.learn(&two) && facts.learn(&one));
    assert_eq!(known(&facts), [(1, 0), (2, 0), (3, 1)]);
}

#[test]
fn who_followed_a_line_that_was_outranked_serves_no_more() {
    let one = first(2, 3);
    let (two, won) = (minus(&one, 2), forked(&minus(&one, 1)));
    let [mut left, other] = [0, 1].map(|number| Replica::new(&member(number), &[&one, &two]));
    let slot = Slot(0);
    assert!(read(&left.facts, slot, &[]).is_ok());
    let ask = left.facts.ask_steady();
    assert!(left.facts.learn(&won) && !left.facts.learn(&won));
    assert!(left.facts.ended == Some(Ending::Outranked) && !left.facts.is_member());
    assert_eq!(read(&left.facts, slot, &[]), Err(NotHere::NotOwner));
    let write = crate::protocol::replication::may_write(&left.facts, slot, Epoch(2));
    assert_eq!(write, Err(NotHere::NotOwner));
    let (given, _) = other.give(&ask).expect("is given");
    assert_eq!(left.facts.take_steady(&ask, &given), Err(NoExchange::NotListed));
    assert_eq!(left.give(&ask).err(), Some(NoExchange::NotListed));
    // Nor does it take its place in the other line with what it has of this one.
    let after = same(&won);
    assert!(left.facts.learn(&after));
    left.facts.activate(after.epoch);
    assert_eq!(left.facts.active, Epoch(2));
    assert_eq!(left.facts.routing(), Some(&after));
}
