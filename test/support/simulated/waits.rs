//! How long clients waited for answers, and which of them waited too long.

use super::fault::{Event, Fault, QUICK_SYNC_MS};
use crate::support::history::{self, History, Phase};

/// A request is answered or refused within this time. One with several operations may take it for each,
/// since partitions are asked one after the other.
const ANSWER_LIMIT_US: u64 = 1_300_000;

/// For this long after its start a node may keep requests waiting.
const STARTING_US: u64 = 2_000_000;

/// The waiting times of all clients.
#[derive(Debug, Default)]
pub struct Waits {
    /// For each operation of the run itself, in microseconds, and whether the asked node is excused: it
    /// was just starting, it or its disk was frozen, or disks were slow.
    pub run: Vec<(u64, bool)>,
    /// Answers over the limit that nothing excuses.
    pub late: Vec<String>,
}

impl Waits {
    pub fn of(history: &History, plan: &[Event], began_us: u64) -> Self {
        let mut waits = Self::default();
        for event in &history.events {
            let took_us = event.took_us();
            let is_excused = event.phase == Phase::Run && is_excused(event, plan, began_us);
            if event.phase == Phase::Run {
                waits.run.push((took_us, is_excused));
            }
            let of_it = |other: &&history::Event| other.is_of_the_request_of(event);
            let operations = history.events.iter().filter(of_it).count() as u64;
            if took_us > operations * ANSWER_LIMIT_US && !is_excused {
                waits.late.push(format!("took {} ms: {event}", took_us / 1000));
            }
        }
        waits
    }
}

fn is_excused(event: &history::Event, plan: &[Event], began_us: u64) -> bool {
    let node = event.node;
    let at_us = |one: &Event| began_us + one.at_ms * 1000;
    let lasts = |begins: Fault, ends: Fault| {
        let mut since_us = None;
        let ended_after_it_began = plan.iter().any(|one| {
            if one.fault == begins {
                since_us = since_us.or(Some(at_us(one)));
            }
            let lasted = one.fault == ends && since_us.take().is_some_and(|since| since <= event.end_us);
            lasted && event.start_us <= at_us(one)
        });
        ended_after_it_began || since_us.is_some_and(|since| since <= event.end_us)
    };
    let is_slow = plan.iter().any(|one| match one.fault {
        Fault::Start(started) | Fault::GoBack(started) if started == node => {
            (at_us(one)..at_us(one) + STARTING_US).contains(&event.start_us)
        }
        Fault::SlowDisk(_, sync_ms) => sync_ms > QUICK_SYNC_MS && at_us(one) <= event.end_us,
        _ => false,
    });
    is_slow
        || lasts(Fault::Freeze(node), Fault::Thaw(node))
        || lasts(Fault::DiskInDoubt(node, true), Fault::DiskInDoubt(node, false))
}
