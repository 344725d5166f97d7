//! A soak of planted faults: switches off each rule of the store, and counts how many seeds, or replays
//! of a written schedule, notice.

use std::collections::BTreeMap;
use std::ops::Range;

use causeway::planted::Fault;

use crate::arguments::Asked;
use crate::crew::{Go, work};
use crate::faults::{BY_CHANCE, BY_PLAIN_CHANCE, BY_SCHEDULE, Schedule, planted, seen_by};
use crate::progress::Progress;
use crate::simulated::panics;
use crate::simulated::plain::{self, PlainSetting};
use crate::simulated::run::{Setting, attempt};

/// True if every fault was noticed, and no schedule fails without one.
pub(crate) fn soak(asked: &Asked) -> bool {
    let mut progress = Progress::begin();
    let mut all_caught = true;
    for (fault, schedules) in by_fault() {
        let seeds = asked.seeds();
        let caught = planted(fault, || {
            count(seeds.clone(), &mut progress, fault, |seed| {
                notices(&schedules, seed)
            })
        });
        let alarms: Vec<String> = schedules
            .iter()
            .filter_map(|schedule| seen_by(*schedule))
            .collect();
        let how = if schedules.is_empty() {
            ""
        } else {
            " by its written schedule"
        };
        let total = seeds.end - seeds.start;
        progress.clear();
        println!("{} caught {caught}/{total}{how}", name(fault));
        alarms
            .iter()
            .for_each(|alarm| println!("{} alarms with nothing planted: {alarm}", name(fault)));
        // A schedule shows its fault every time; chance must show it at least once.
        all_caught &= alarms.is_empty() && caught >= if schedules.is_empty() { 1 } else { total };
    }
    for fault in BY_PLAIN_CHANCE {
        let seeds = asked.seeds();
        let total = seeds.end - seeds.start;
        let caught = planted(fault, || count(seeds, &mut progress, fault, notices_plainly));
        progress.clear();
        println!("{} caught {caught}/{total} by plain runs", name(fault));
        all_caught &= caught >= 1;
    }
    all_caught
}

fn name(fault: Fault) -> String {
    format!("{fault:?}")
}

/// Every fault once, with its schedules: none if chance is enough.
fn by_fault() -> Vec<(Fault, Vec<Schedule>)> {
    let mut listed: BTreeMap<u8, (Fault, Vec<Schedule>)> = BTreeMap::new();
    for fault in BY_CHANCE {
        listed.entry(fault as u8).or_insert((fault, Vec::new()));
    }
    for (fault, schedule) in BY_SCHEDULE {
        listed
            .entry(fault as u8)
            .or_insert((fault, Vec::new()))
            .1
            .push(schedule);
    }
    listed.into_values().collect()
}

/// True if all schedules of a fault see it, or a random run of this seed does.
fn notices(schedules: &[Schedule], seed: u64) -> bool {
    panics::count();
    panics::silence(true);
    if schedules.is_empty() {
        let setting = Setting::of_seed(seed);
        return !attempt(&setting, &setting.plan()).is_safe();
    }
    schedules.iter().all(|schedule| seen_by(*schedule).is_some())
}

/// True if clients that carry no payload notice, in the run of this seed.
fn notices_plainly(seed: u64) -> bool {
    panics::count();
    panics::silence(true);
    !plain::run(&PlainSetting::of_seed(seed)).is_safe()
}

fn count(
    seeds: Range<u64>,
    progress: &mut Progress,
    fault: Fault,
    notices: impl Fn(u64) -> bool + Sync,
) -> u64 {
    let (mut done, mut caught) = (0, 0);
    work(seeds, notices, |noticed| {
        done += u64::from(noticed.is_some());
        caught += u64::from(noticed == Some(true));
        progress.tell(|| format!("{}: {caught} of {done}", name(fault)));
        Go::On
    });
    caught
}
