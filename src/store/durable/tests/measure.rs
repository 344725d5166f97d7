//! Figures, not checks: `cargo test --release --lib store::durable::tests::measure -- --ignored --nocapture`.
#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::time::Instant;

use super::*;
use crate::store::Resident;

const KEYS: u64 = 1_000_000;
const BATCH: u64 = 500;
const USER_BYTES: u64 = KEYS * 112;

fn number_in(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let digits = line.expect("is there").trim().trim_end_matches(" kB");
    digits.parse().expect("a number")
}

/// CPU time of this thread.
fn cpu_ms() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = text.split(' ').next().and_then(|text| text.parse::<u64>().ok());
    nanoseconds.expect("a number") / 1_000_000
}

fn resident_kb() -> u64 {
    number_in("/proc/self/status", "VmRSS:")
}

fn bulk(number: u64, round: u8) -> Batch {
    let value = [round; 100];
    let keys = (number * BATCH..(number + 1) * BATCH).map(|key| key * 7_919 % KEYS);
    Batch {
        records: keys
            .map(|key| record(&format!("key-{key:08}"), Some(&value), number + 1))
            .collect(),
        ..Batch::default()
    }
}

#[test]
#[ignore = "takes a minute; run in release"]
fn bytes_to_disk_and_recovery_of_a_million_records() {
    let dir = TempDir::new().expect("a directory");
    for round in 1..=3 {
        let engine = DurableEngine::open(dir.path()).expect("opens");
        let (begin, before) = (Instant::now(), number_in("/proc/self/io", "write_bytes:"));
        for number in 0..KEYS / BATCH {
            commit(&engine, &bulk(number, round)).expect("is stored");
        }
        let written = number_in("/proc/self/io", "write_bytes:") - before;
        println!(
            "round {round}: {:.2} bytes to disk a user byte, {:?}",
            written as f64 / USER_BYTES as f64,
            begin.elapsed()
        );
        println!(
            "{} MB on disk, {} MB resident",
            engine.state.lock().tables.as_ref().map_or(0, Tables::table_bytes) / 1_000_000,
            resident_kb() / 1024
        );
        drop(engine);
        recovery(dir.path());
    }
}

fn recovery(dir: &Path) {
    let before = cpu_ms();
    let engine = DurableEngine::open(dir).expect("opens");
    println!("open: {} ms of CPU", cpu_ms() - before);
    let recovered = engine.recover().expect("can be read");
    println!(
        "open and recover: {} ms of CPU for {} records",
        cpu_ms() - before,
        recovered.records.len()
    );
    let resident = Resident::new();
    recovered
        .records
        .into_iter()
        .for_each(|record| drop(resident.put(record)));
    println!("open, recover, make resident: {} ms of CPU", cpu_ms() - before);
}

#[test]
#[ignore = "measures memory; run alone and in release"]
fn resident_bytes_a_key() {
    for keys in [700_000, 1_000_000, 1_300_000] {
        let (resident, before) = (Resident::new(), resident_kb());
        for key in 0..keys {
            resident.put(record(&format!("key-{key:08}"), Some(&[7; 100]), key + 1));
        }
        println!(
            "{keys} keys: {} bytes a key",
            (resident_kb() - before) * 1024 / keys
        );
        let begin = Instant::now();
        let found = (0..keys).filter(|key| resident.get(&format!("key-{:08}", key * 7_919 % keys)).is_some());
        println!(
            "{} found, {:?} a look-up",
            found.count(),
            begin.elapsed() / keys as u32
        );
        std::mem::forget(resident);
    }
}
