//! Mutation tests the tests: every rule of the store is switched off once, and some run or schedule must
//! notice. A rule that no test misses is not tested, or not needed.
//!
//! `cargo test --features planted-faults --test simulated planted:: -- --nocapture` shows what caught
//! which fault; `scripts/soak --planted` counts the seeds that notice. The switch applies to the whole
//! process, so one test plants all faults, one after the other.

use causeway::planted::Fault;

use crate::faults::{BY_CHANCE, BY_PLAIN_CHANCE, BY_SCHEDULE, planted, seen_by};
use crate::simulated::panics;
use crate::simulated::plain::{self, PlainSetting};
use crate::simulated::run::{Setting, attempt};

/// Each fault is tried with this many seeds.
const SEEDS: u64 = 50;

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
        let seen = planted(*fault, || seen_by(*schedule));
        tell(*fault, seen.map(|what| format!("by its schedule: {what}")))
    });
    let mut missed: Vec<Fault> = missed_by_schedule.map(|(fault, _)| fault).collect();
    missed.extend(
        BY_CHANCE
            .into_iter()
            .filter(|fault| tell(*fault, planted(*fault, seen_by_chance))),
    );
    missed.extend(
        BY_PLAIN_CHANCE
            .into_iter()
            .filter(|fault| tell(*fault, planted(*fault, seen_by_plain_chance))),
    );
    panics::silence(false);
    assert!(missed.is_empty(), "nothing caught {missed:?}");
}

/// Prints what caught a fault. True if nothing did.
fn tell(fault: Fault, caught: Option<String>) -> bool {
    match &caught {
        Some(what) => println!("{fault:?} caught {what}"),
        None => println!("{fault:?} not caught"),
    }
    caught.is_none()
}

/// The first seed that notices, and what it saw.
fn seen_by_chance() -> Option<String> {
    (1..=SEEDS).find_map(|seed| Some(format!("at seed {seed}: {}", seen_at(seed)?)))
}

fn seen_at(seed: u64) -> Option<String> {
    let setting = Setting::of_seed(seed);
    let ran = attempt(&setting, &setting.plan());
    let words: Vec<String> = ran.wrongs().into_iter().collect();
    (!ran.is_safe()).then(|| words.join(", "))
}

/// The same for clients that carry no payload.
fn seen_by_plain_chance() -> Option<String> {
    (1..=SEEDS).find_map(|seed| {
        let outcomes = plain::run(&PlainSetting::of_seed(seed));
        let wrong = outcomes.wrongs.first()?;
        let first = wrong.to_string();
        let line = first.lines().next().unwrap_or_default();
        Some(format!("at plain seed {seed}: {line}"))
    })
}
