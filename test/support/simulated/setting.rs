//! The setting that a seed stands for: the number of nodes, the workload, the severity.

use std::time::Duration;

use causeway::config::Limits;

use super::dice::Dice;
use super::fault::Event;
use super::plan::{Severity, draw, draw_old_disks, draw_two_lines, draw_wrong_names};
use crate::support::workload::{Shape, spread_keys};

/// In gentle runs tombstones expire after this: longer than anything is in flight there.
const FORGET_SOON: Duration = Duration::from_secs(4);

/// How many nodes there are, spares included. Small clusters come more often: there, faults overlap
/// more.
const SIZES: [u64; 12] = [3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 9];

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Setting {
    pub seed: u64,
    /// The nodes of the first view.
    pub nodes: usize,
    /// Additional nodes that wait to be added.
    pub spares: usize,
    pub replicas: u32,
    pub shape: Shape,
    pub severity: Severity,
    /// True if one client sends forged payloads.
    pub hostile: bool,
    /// True if one client has values of all lengths, and batches whose answers exceed a frame.
    pub large: bool,
}

impl Setting {
    /// The setting of a seed, which determines sizes, workload and severity.
    pub fn of_seed(seed: u64) -> Self {
        let dice = Dice::new(seed ^ 0x5EED);
        let size = SIZES[usize::try_from(dice.between(0, SIZES.len() as u64 - 1)).expect("few")];
        let replicas = [1, 2, 2, 2, 2, 3, 3, 3, 3][usize::try_from(dice.between(0, 8)).expect("nine")];
        let span_ms = dice.between(4_000, 12_000);
        let shape = Shape {
            operations: usize::try_from(dice.between(200, 600)).expect("few operations"),
            // Few keys are hot keys.
            keys: spread_keys(4, usize::try_from(dice.between(1, 2)).expect("few keys")),
            pause_us_max: span_ms * 1000 / 40,
            hand_overs: if dice.chance(50) { 0.3 } else { 0.1 },
            batches: if seed % 4 == 2 { 0.3 } else { 0.0 },
            ..Shape::default()
        };
        let gentle = dice.chance(12);
        let faults = dice.between(2, 14);
        let may_wipe = dice.chance(60) && replicas > 1;
        let changes = if dice.chance(60) { dice.between(1, 8) } else { 0 };
        let spares = if changes > 0 {
            dice.between(0, 3).min(size - 2)
        } else {
            0
        };
        let severity = Severity {
            faults,
            span_ms,
            changes,
            wipes: may_wipe,
            rough_birth: dice.chance(25),
            gentle,
            // Not drawn, so that the plans of other seeds stay the same.
            clock_steps: if seed % 7 == 4 { 1 + seed / 7 % 4 } else { 0 },
        };
        Self {
            seed,
            nodes: usize::try_from(size - spares).expect("few nodes"),
            spares: usize::try_from(spares).expect("few nodes"),
            replicas,
            shape,
            severity,
            hostile: seed % 8 == 3,
            large: seed % 32 == 10,
        }
    }

    /// The faults, drawn from the seed alone: the plan does not depend on the run.
    pub fn plan(&self) -> Vec<Event> {
        let dice = Dice::new(self.seed ^ 0xFA17);
        let mut plan = draw(&dice, self.nodes, self.spares, self.replicas, self.severity);
        // From separate dice: the other draws of a seed stay the same.
        let dice = Dice::new(self.seed ^ 0x4A3E);
        let wrong_names = draw_wrong_names(&dice, self.nodes, self.spares, self.severity);
        // Before other faults of the same time: a node is started once.
        plan.splice(0..0, wrong_names);
        let dice = Dice::new(self.seed ^ 0x21E5);
        plan.extend(draw_two_lines(&dice, self.nodes, self.spares, self.severity));
        let dice = Dice::new(self.seed ^ 0x01D);
        plan.extend(draw_old_disks(&dice, self.nodes, self.severity));
        plan.sort_by_key(|event| event.at_ms);
        plan
    }

    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        if self.severity.gentle {
            limits.forget_after = FORGET_SOON;
            limits.clock_limit = FORGET_SOON / 8;
        }
        limits
    }
}
