//! Fuzzes record blocks, as a peer or the disk gives them, and the notes of a node's own state.
#![no_main]

use causeway::protocol::causality::Record;
use causeway::wire::notes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::from_block(bytes) {
        assert_eq!(record.as_block(), bytes);
        assert_eq!(record.is_tombstone(), record.value().is_none());
        assert_eq!(record.renumbered(record.dot()), record);
        let _ = (record.slot(), record.timestamp(), record.dependencies().count());
    }
    for name in ["member", "standing", "vector", "acceptors"] {
        let _ = notes::read(&[(name.to_owned(), bytes.to_vec())]);
    }
});
