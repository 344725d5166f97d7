//! Messages between `master-svr` and `svr`: postcard, field by field.
//!
//! They have no version: the three programs are built together and run on one machine, and no message is
//! kept.

use bytes::Bytes;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use super::decisions::{Batch, Beat, Change, Layout, Server, Version};
use crate::wire::{by_fields, by_form};

/// Bytes that are not such a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message of this build of master-svr and svr")]
pub struct BadMessage;

/// Encodes a message.
pub fn encode<T: Serialize>(message: &T) -> Bytes {
    let bytes = postcard::to_stdvec(message).expect("every message can be written");
    Bytes::from(bytes)
}

/// Decodes a message.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadMessage> {
    postcard::from_bytes(bytes).map_err(|_| BadMessage)
}

by_fields! {
    Server { port, run }
    Version { term, step }
    Layout { version, shards, change, completed, is_opening }
    Change { id, to, is_sealed }
    Beat { server, age_ms, layout, is_drained }
}

by_form! {
    Batch as (Version, u64, u64, Vec<(i64, Vec<u8>)>): |batch| {
        let pairs = batch.pairs.iter().map(|(key, value)| (*key, value.to_vec()));
        (batch.change, batch.from, batch.number, pairs.collect())
    }, |(change, from, number, pairs)| {
        let pairs = pairs.into_iter().map(|(key, value)| (key, value.into())).collect();
        Ok(Batch { change, from, number, pairs })
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        let server = Server {
            port: 4000,
            run: u64::MAX,
        };
        let version = Version { term: 7, step: 1 };
        let change = Change {
            id: version,
            to: vec![server],
            is_sealed: true,
        };
        let layout = Layout {
            version,
            shards: vec![server, server],
            change: Some(change),
            completed: Version { term: 6, step: 9 },
            is_opening: true,
        };
        let beat = Beat {
            server,
            age_ms: 12,
            layout,
            is_drained: true,
        };
        assert_eq!(decode(&encode(&beat)), Ok(beat));
        let pairs = vec![(i64::MIN, Bytes::from_static(b"\0\xff")), (7, Bytes::new())];
        let batch = Batch {
            change: version,
            from: 1,
            number: 2,
            pairs,
        };
        let bytes = encode(&batch);
        assert_eq!(decode(&bytes), Ok(batch));
        assert_eq!(decode::<Batch>(&bytes[..bytes.len() - 1]), Err(BadMessage));
    }
}
