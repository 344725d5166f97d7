//! Delta debugging: reduces a failing list to the fewest items that still fail.

/// Leaves out runs of `items`, large ones first, while `fails` is true for the rest; calls it
/// `tries_max` times at most. If the tries sufficed, no single item can be left out of the result.
pub fn shrink<T: Clone>(items: &[T], tries_max: usize, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = items.to_vec();
    let mut tries = 0;
    let mut size = kept.len().div_ceil(2);
    while size > 0 && !kept.is_empty() {
        let (mut at, before) = (0, kept.len());
        while at < kept.len() {
            if tries == tries_max {
                return kept;
            }
            tries += 1;
            let mut fewer = kept.clone();
            fewer.drain(at..(at + size).min(kept.len()));
            if fails(&fewer) {
                kept = fewer;
            } else {
                at += size;
            }
        }
        let may_go_on = size > 1 || kept.len() < before;
        size = if may_go_on { (size / 2).max(1) } else { 0 };
    }
    kept
}
