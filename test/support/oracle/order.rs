//! Lists the operations in causal order: each comes after everything that it depends on.
//!
//! A cycle is reported. Its reads are removed from the causal order, so that the rest can be judged.

use super::ledger::Ledger;
use super::{Kind, Violation};

/// All operations, dependencies first. Reads-from edges that close a cycle are removed from the ledger.
pub(super) fn causal_order(ledger: &mut Ledger<'_>, violations: &mut Vec<Violation>) -> Vec<usize> {
    let (order, placed) = sort(ledger);
    if order.len() == ledger.events.len() {
        return order;
    }
    let cycle = find_cycle(ledger, &placed);
    let told: Vec<_> = cycle.iter().map(|index| ledger.tell(*index)).collect();
    let sentence = format!(
        "each comes causally before the next, and the last before the first: {}",
        told.join("; ")
    );
    violations.push(ledger.violation(Kind::Cycle, &cycle, sentence));
    for index in (0..placed.len()).filter(|index| !placed[*index]) {
        ledger.source[index] = None;
    }
    let (mut order, placed) = sort(ledger);
    // Payloads alone form a cycle only if no time passed between the operations.
    for index in (0..placed.len()).filter(|index| !placed[*index]) {
        ledger.after[index].clear();
        order.push(index);
    }
    order
}

/// The operations that this one depends on directly.
pub(super) fn causes<'l>(ledger: &'l Ledger<'_>, index: usize) -> impl Iterator<Item = usize> + 'l {
    ledger.after[index].iter().copied().chain(ledger.source[index])
}

/// Kahn's algorithm; operations on or behind a cycle are not placed.
fn sort(ledger: &Ledger<'_>) -> (Vec<usize>, Vec<bool>) {
    let count = ledger.events.len();
    let mut waits_for: Vec<usize> = (0..count).map(|index| causes(ledger, index).count()).collect();
    let mut effects = vec![Vec::new(); count];
    for index in 0..count {
        causes(ledger, index).for_each(|cause| effects[cause].push(index));
    }
    let mut order: Vec<usize> = (0..count).filter(|index| waits_for[*index] == 0).collect();
    let mut next = 0;
    while let Some(index) = order.get(next).copied() {
        next += 1;
        for effect in &effects[index] {
            waits_for[*effect] -= 1;
            if waits_for[*effect] == 0 {
                order.push(*effect);
            }
        }
    }
    (order, waits_for.iter().map(|left| *left == 0).collect())
}

/// Follows causes among the unplaced operations until one repeats. Causes come first.
fn find_cycle(ledger: &Ledger<'_>, placed: &[bool]) -> Vec<usize> {
    let start = placed
        .iter()
        .position(|placed| !placed)
        .expect("called when some are not placed");
    let mut path = vec![start];
    let mut met = vec![false; placed.len()];
    loop {
        let last = *path.last().expect("begins with one");
        met[last] = true;
        let cause = causes(ledger, last)
            .find(|cause| !placed[*cause])
            .expect("an operation is not placed because one of its causes is not");
        if met[cause] {
            let first = path.iter().position(|index| *index == cause).expect("it was met");
            let mut cycle = path.split_off(first);
            cycle.reverse();
            return cycle;
        }
        path.push(cause);
    }
}
