//! A client with values of 0 to 4 MiB, all in one slot, which becomes longer than any frame. Its batches
//! ask for more than an answer can hold, at any node, for as long as faults strike.
//!
//! Separate from the workload, whose history would fill up with such values. It checks its own reads: a
//! value says under which key and by which write it was stored.

use causeway::names::Slot;
use causeway::node::{AllDone, Done, Refusal};
use causeway::protocol::causality::Payload;
use causeway::protocol::replication::Operation;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::key;
use super::setting::Setting;
use super::stage::Stage;
use crate::support::driver::Cluster;

const SIZES: [usize; 7] = [0, 1, 1000, 100_000, 600_000, 1024 * 1024, 4 * 1024 * 1024];

/// Together they are longer than an answer may be.
const KEYS: usize = 6;

/// How often one batch asks for each key.
const TIMES: usize = 2;

const PAUSE_US: std::ops::Range<u64> = 100_000..600_000;

/// Names of keys that share a slot.
pub fn names_in_one_slot(count: usize) -> Vec<String> {
    let slot = Slot::of("large");
    let names = (0..).map(|number| format!("large-{number}"));
    names.filter(|name| Slot::of(name) == slot).take(count).collect()
}

/// A value of a key: it begins with the name, if it is long enough, and the rest of it shows its length.
pub fn value(name: &str, write: usize, bytes: usize) -> Vec<u8> {
    let head = format!("{name} {write} {bytes} ");
    let mut whole = head.repeat(bytes / head.len() + 1).into_bytes();
    whole.truncate(bytes);
    whole
}

/// True if `found` is a complete value of this key.
fn is_whole(name: &str, found: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&found[..found.len().min(64)]).into_owned();
    let mut words = head.split(' ');
    let (of, write, bytes) = (words.next(), words.next(), words.next());
    let number = |word: Option<&str>| word.and_then(|word| word.parse().ok());
    match (number(write), number(bytes)) {
        (Some(write), Some(bytes)) if found.len() >= 64 => {
            of == Some(name) && found == value(name, write, bytes)
        }
        // Too short to say it.
        _ => found.len() < 64,
    }
}

/// Writes and reads until the faults are over. Returns what was wrong.
pub async fn load(stage: &Stage, setting: &Setting) -> Vec<String> {
    let mut rng = StdRng::seed_from_u64(setting.seed ^ 0x1A46E);
    let names = names_in_one_slot(KEYS);
    let (mut wrong, mut seen) = (Vec::new(), Payload::default());
    for write in 0.. {
        stage.sleep_us(rng.random_range(PAUSE_US)).await;
        if stage.is_over.get() {
            break;
        }
        let size = SIZES[rng.random_range(0..SIZES.len())];
        let name = &names[rng.random_range(0..names.len())];
        let stored = value(name, write, size);
        let mut operations = Vec::new();
        if rng.random_bool(0.6) {
            let (key, value) = (key(name), stored.clone());
            operations.push(Operation::Put { key, value });
        }
        let reads = names.iter().cycle().take(TIMES * KEYS);
        operations.extend(reads.map(|name| Operation::Get { key: key(name) }));
        let node = rng.random_range(0..stage.nodes());
        let asked = operations.clone();
        let sent = seen.clone();
        let done = stage.request(node, async |node| node.requests.batch(asked, sent).await);
        // The faults decide whether an answer comes at all.
        let Ok(done) = done.await else { continue };
        wrong.extend(judged(&operations, &done));
        seen = done.payload;
    }
    wrong
}

/// What is wrong with the results: a value that was never stored, a read that misses the write before
/// it, a write that is refused because of the answer's length.
fn judged(operations: &[Operation], done: &AllDone) -> Vec<String> {
    let mut wrong = Vec::new();
    if done.results.len() != operations.len() {
        wrong.push(format!(
            "{} results for {} operations",
            done.results.len(),
            operations.len()
        ));
    }
    let mut written = None;
    for (operation, result) in operations.iter().zip(&done.results) {
        let name = operation.key().as_str();
        match (operation, result) {
            (Operation::Put { value, .. }, Ok(Done::Written(_))) => written = Some((name, value)),
            (Operation::Get { .. }, Ok(Done::Found(found))) => {
                let found = found.record.value().expect("is found");
                let is_own = written.is_none_or(|(of, value)| of != name || value == found);
                if !is_own || !is_whole(name, found) {
                    wrong.push(format!(
                        "{name} was read as {} bytes that are another's",
                        found.len()
                    ));
                }
            }
            (Operation::Put { .. }, Err(Refusal::AnswerTooLarge)) => {
                wrong.push(format!("a write of {name} is refused as if it were a read"));
            }
            _ => {}
        }
    }
    wrong
}
