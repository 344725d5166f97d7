//! Views of a raised generation: they outrank every number of the line that they left, and whoever
//! followed that line serves no more.

use super::*;
use crate::placement::ViewParts;

fn raised(view: &View, generation: u32) -> Arc<View> {
    let parts = ViewParts {
        generation,
        ..view.to_parts()
    };
    Arc::new(View::from_parts(parts).expect("is a view"))
}

fn known(facts: &Facts) -> Vec<(u64, u32)> {
    let views = facts.views.values();
    views.map(|view| (view.epoch.0, view.generation)).collect()
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
fn a_raised_generation_takes_the_place_of_every_view_of_the_line_that_it_left() {
    let one = first(2, 3);
    let (two, three) = (minus(&one, 2), same(&minus(&one, 2)));
    let mut facts = facts(&member(0), &[&one]);
    assert!(facts.learn(&two) && facts.learn(&three));
    let other = raised(&minus(&one, 1), 1);
    assert!(facts.learn(&other));
    assert_eq!(known(&facts), [(1, 0), (2, 1)]);
    // Of that line nothing is taken any more, whatever its number.
    assert!(!facts.learn(&two) && !facts.learn(&three) && !facts.learn(&same(&three)));
    assert!(facts.learn(&same(&other)));
    assert_eq!(known(&facts), [(1, 0), (2, 1), (3, 1)]);
}

#[test]
fn an_earlier_view_of_a_lower_generation_is_the_way_to_a_raised_one() {
    let one = first(2, 3);
    let two = minus(&one, 2);
    let mut facts = Facts::new(member(0));
    assert!(facts.learn(&raised(&same(&two), 1)) && facts.learn(&two) && facts.learn(&one));
    assert_eq!(known(&facts), [(1, 0), (2, 0), (3, 1)]);
}

#[test]
fn who_follows_a_line_that_was_outranked_serves_no_more() {
    let one = first(2, 3);
    let (two, forced) = (minus(&one, 2), raised(&minus(&one, 1), 1));
    let [mut left, other] = [0, 1].map(|number| Replica::new(&member(number), &[&one, &two]));
    let slot = Slot(0);
    assert!(read(&left.facts, slot, &[]).is_ok());
    let ask = left.facts.ask_steady();
    assert!(left.facts.learn(&forced) && !left.facts.learn(&forced));
    assert!(left.facts.outranked && !left.facts.is_member());
    assert_eq!(read(&left.facts, slot, &[]), Err(NotHere::NotOwner));
    let write = crate::replication::may_write(&left.facts, slot, Epoch(2));
    assert_eq!(write, Err(NotHere::NotOwner));
    let (given, _) = other.give(&ask).expect("is given");
    assert_eq!(left.facts.take_steady(&ask, &given), Err(NoExchange::NotListed));
    assert_eq!(left.give(&ask).err(), Some(NoExchange::NotListed));
    // Nor does it take its place in the other line with what it has of this one.
    let after = same(&forced);
    assert!(left.facts.learn(&after));
    left.activate(3);
    assert_eq!(left.facts.active, Epoch(2));
    assert_eq!(left.facts.routing(), Some(&after));
}

#[test]
fn the_same_view_decided_again_with_a_raised_generation_is_no_other_line() {
    let one = first(2, 3);
    let two = minus(&one, 2);
    let mut facts = facts(&member(0), &[&one, &two]);
    assert!(facts.learn(&raised(&two, 1)));
    assert!(facts.is_member() && known(&facts) == [(1, 0), (2, 1)]);
    assert!(!facts.learn(&raised(&two, 1)));
}
