//! The format of a record in the database: a version byte, a checksum, the record's block.
//!
//! The database has its own checksums for its files. The checks here find what those cannot: a row under
//! another key, or a record that was damaged before it was handed over.

use crate::protocol::causality::Record;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;

/// A row that does not hold the record that was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored record of key {key:?} is damaged: {reason}")]
pub(super) struct DamagedRow {
    key: String,
    reason: &'static str,
}

/// The bytes that are stored under the record's key.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    let block = record.as_block();
    let mut row = Vec::with_capacity(HEADER_BYTES + block.len());
    row.push(VERSION);
    row.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
    row.extend_from_slice(block);
    row
}

/// The length of a record's row.
pub(super) fn len(record: &Record) -> usize {
    HEADER_BYTES + record.as_block().len()
}

/// The record that was stored under `key` as `row`.
pub(super) fn decode(key: &[u8], row: &[u8]) -> Result<Record, DamagedRow> {
    decode_block(key, row).map_err(|reason| DamagedRow {
        key: String::from_utf8_lossy(key).into_owned(),
        reason,
    })
}

fn decode_block(key: &[u8], row: &[u8]) -> Result<Record, &'static str> {
    let (header, block) = row.split_at_checked(HEADER_BYTES).ok_or("it is cut")?;
    if header[0] != VERSION {
        return Err("its version is unknown");
    }
    if header[1..] != crc32fast::hash(block).to_le_bytes() {
        return Err("its checksum does not match");
    }
    let record = Record::from_block(block).map_err(|_| "it is no record")?;
    if record.key_bytes() != key {
        return Err("it belongs to another key");
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::{Dot, Epoch, Key, Log, MemberId};
    use crate::protocol::causality::{Timestamp, VersionVector};
    use crate::store::conformance::record;

    fn records() -> BoxedStrategy<Record> {
        let value = proptest::option::of(any::<Vec<u8>>());
        let dot = (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(epoch, member, number)| Dot {
            log: Log {
                epoch: Epoch(epoch),
                member: MemberId(member),
            },
            number,
        });
        let dependencies = proptest::collection::vec(dot.clone(), 0..3);
        ("\\PC{1,200}", value, dot, any::<u64>(), dependencies)
            .prop_map(|(key, value, dot, timestamp, dependencies)| {
                let key = Key::new(&key).expect("is a key");
                let dependencies: VersionVector = dependencies.into_iter().collect();
                Record::new(&key, value.as_deref(), dot, Timestamp(timestamp), &dependencies)
            })
            .boxed()
    }

    /// A row with a valid checksum, whatever its block is.
    fn sealed(block: &[u8]) -> Vec<u8> {
        [&[VERSION], &crc32fast::hash(block).to_le_bytes()[..], block].concat()
    }

    proptest! {
        #[test]
        fn every_record_survives_its_row(record in records()) {
            let row = encode(&record);
            prop_assert_eq!(len(&record), row.len());
            prop_assert_eq!(decode(record.key().as_bytes(), &row), Ok(record));
        }

        #[test]
        fn any_bytes_are_refused_or_a_record_of_that_key(
            key in any::<Vec<u8>>(),
            bytes in any::<Vec<u8>>(),
            record in records(),
            at in any::<prop::sample::Index>(),
            with in any::<u8>(),
        ) {
            prop_assert!(decode(&key, &bytes).is_err());
            // Damaged before the checksum was computed: the record's own lengths and flags may be wrong.
            let mut block = record.as_block().to_vec();
            let at = at.index(block.len());
            block[at] = with;
            for row in [sealed(&bytes), sealed(&block), sealed(&block[..at])] {
                for key in [&key[..], record.key().as_bytes()] {
                    if let Ok(read) = decode(key, &row) {
                        prop_assert_eq!(read.key().as_bytes(), key);
                        prop_assert_eq!(encode(&read), row.clone());
                        prop_assert_eq!(read.value().is_none(), read.is_tombstone());
                        prop_assert_eq!(read.renumbered(read.dot()), read);
                    }
                }
            }
        }
    }

    #[test]
    fn a_record_survives_its_row() {
        let record = record("key", Some(b"value"), 7);
        assert_eq!(decode(b"key", &encode(&record)), Ok(record));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_an_error_that_names_the_key() {
        let row = encode(&record("key", Some(b"value"), 7));
        for at in 0..row.len() {
            let mut flipped = row.clone();
            flipped[at] ^= 1;
            let error = decode(b"key", &flipped).expect_err("is damaged").to_string();
            assert!(error.contains("\"key\""), "{error}");
            assert!(decode(b"key", &row[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_row_of_another_key_is_refused() {
        let row = encode(&record("key", Some(b"value"), 7));
        assert!(decode(b"kez", &row).is_err());
    }
}
