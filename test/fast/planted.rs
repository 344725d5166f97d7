//! Mutation is the check of the checks: every rule of the store is switched off once, and some run or
//! schedule must notice. A rule that nothing catches is not tested, or not needed.
//!
//! `cargo test --features planted-faults --test planted -- --nocapture` shows what caught which fault.
//! The switch is one for the whole process, so all faults are planted in one test, one after the other.

#[path = "planted/facts.rs"]
mod facts;
#[path = "steps/heal.rs"]
mod heal;
#[path = "steps/replica.rs"]
mod replica;
#[path = "steps/scenes.rs"]
mod scenes;
#[path = "planted/schedules.rs"]
mod schedules;
#[path = "planted/steps.rs"]
mod steps;
#[path = "../support/mod.rs"]
mod support;
#[path = "steps/world.rs"]
mod world;

use std::panic::catch_unwind;

use causeway::planted::{Fault, plant};
use support::simulated::panics;
use support::simulated::run::{Setting, run};

/// A fault is given this many seeds.
const SEEDS: u64 = 200;

/// What a schedule saw go wrong.
type Seen = Result<(), String>;

/// Faults that random runs notice: the simulator's plans and clients must stay bad enough for that.
const BY_CHANCE: [Fault; 11] = [
    Fault::NumberNotStored,
    Fault::SameIncarnation,
    Fault::ArrivalOrderWins,
    Fault::ClockNotRaised,
    Fault::DependenciesLeftOut,
    Fault::NeverWaits,
    Fault::SentBeforeStored,
    Fault::AcknowledgedBeforeStored,
    Fault::GapsTaken,
    Fault::WritesAfterTheSeal,
    Fault::StableByMajority,
];

/// Faults that are too rare for chance, each with the schedule that shows it.
const BY_SCHEDULE: [(Fault, fn() -> Seen); 22] = [
    (Fault::StableTombstoneDropped, schedules::a_deletion_behind_a_copy),
    (Fault::NotReadyServes, schedules::a_new_owner_without_a_giver),
    (Fault::OldLogsCovered, schedules::a_write_of_who_is_passed_over),
    (Fault::NoFence, facts::a_removed_owner_that_is_cut_off),
    (
        Fault::NoFence,
        schedules::a_reader_who_comes_back_to_a_removed_owner,
    ),
    (Fault::LogByLog, schedules::a_write_superseded_by_another_log),
    (Fault::CopyClaimsItsEnd, schedules::a_write_behind_a_copy),
    (Fault::HalfIsAQuorum, schedules::two_halves_at_birth),
    (Fault::PromisesForgotten, facts::two_proposers_for_one_epoch),
    (Fault::VotesNotStored, schedules::votes_on_disks),
    (
        Fault::PushesAfterTheSeal,
        schedules::a_push_to_who_has_handed_over,
    ),
    (
        Fault::AcknowledgementsAfterTheSeal,
        facts::an_acknowledgement_that_comes_after_the_seal,
    ),
    (
        Fault::ClosedByWhoIsBehind,
        facts::a_closing_that_comes_to_who_is_behind,
    ),
    (
        Fault::LacksLoweredByAnyOwner,
        facts::a_giver_that_owned_the_slot_long_ago,
    ),
    (Fault::OldDotsTaken, facts::a_removed_node_that_comes_back),
    (Fault::DroppedAtActivation, steps::a_removed_owner_that_goes_first),
    (Fault::KeptClosed, facts::a_member_that_keeps_what_moved_away),
    (
        Fault::ReturnsForEver,
        facts::a_removed_node_that_comes_back_too_late,
    ),
    (
        Fault::CopiesNotVouchedFor,
        steps::a_copy_whose_giver_is_passed_over,
    ),
    (
        Fault::RemovedNotAwaited,
        steps::slots_that_come_back_without_what_was_written_elsewhere,
    ),
    (Fault::NotReadyServes, steps::a_new_owner_that_took_nothing),
    (Fault::NeverGivesUp, steps::a_reader_of_what_nobody_has),
];

#[test]
fn every_rule_that_is_switched_off_is_noticed() {
    for (fault, schedule) in BY_SCHEDULE {
        assert_eq!(
            schedule(),
            Ok(()),
            "the schedule for {fault:?}, with nothing planted"
        );
    }
    panics::count();
    panics::silence(true);
    let missed_by_schedule = BY_SCHEDULE.into_iter().filter(|(fault, schedule)| {
        let seen = planted(*fault, || caught_by_schedule(*schedule));
        tell(*fault, seen)
    });
    let mut missed: Vec<Fault> = missed_by_schedule.map(|(fault, _)| fault).collect();
    missed.extend(
        BY_CHANCE
            .into_iter()
            .filter(|fault| tell(*fault, planted(*fault, caught_by_chance))),
    );
    panics::silence(false);
    assert!(missed.is_empty(), "nothing caught {missed:?}");
}

fn planted<T>(fault: Fault, run: impl FnOnce() -> T) -> T {
    plant(Some(fault));
    let outcome = run();
    plant(None);
    outcome
}

/// Says what caught a fault. True if nothing did.
fn tell(fault: Fault, caught: Option<String>) -> bool {
    match &caught {
        Some(what) => println!("{fault:?} caught {what}"),
        None => println!("{fault:?} not caught"),
    }
    caught.is_none()
}

fn caught_by_schedule(schedule: fn() -> Seen) -> Option<String> {
    let seen = catch_unwind(schedule).unwrap_or_else(|_| Err("it did not come to its end".to_owned()));
    seen.err().map(|what| format!("by its schedule: {what}"))
}

/// The first seed that notices, and what it saw.
fn caught_by_chance() -> Option<String> {
    (1..=SEEDS).find_map(|seed| Some(format!("at seed {seed}: {}", seen_at(seed)?)))
}

fn seen_at(seed: u64) -> Option<String> {
    let setting = Setting::of_seed(seed);
    match catch_unwind(|| run(&setting)) {
        Err(_) => Some("no recovery".to_owned()),
        Ok(outcomes) if outcomes.is_safe() => None,
        Ok(outcomes) => Some(outcomes.summary()),
    }
}
